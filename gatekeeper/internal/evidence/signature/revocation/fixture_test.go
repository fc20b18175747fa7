package revocation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ocsp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/revocation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct{ atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.Store(time.Now().Unix())
	return c
}

func (c *clock) now() time.Time { return time.Unix(c.Load(), 0) }

func (c *clock) move(d time.Duration) { c.Add(int64(d / time.Second)) }

// authority is a certificate authority.
type authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB, name string, change ...func(*x509.Certificate)) *authority {
	tb.Helper()
	a := &authority{tb: tb, key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(9000 * time.Hour),
		SubjectKeyId: []byte(name),
	}
	for _, f := range change {
		f(template)
	}
	a.cert = a.sign(template, template, a.key)
	return a
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return c
}

// issue makes a certificate with a serial number.
func (a *authority) issue(serial int64, change ...func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "builder"},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(5000 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for _, f := range change {
		f(template)
	}
	key := newKey(a.tb)
	return a.sign(template, a.cert, key), key
}

func crlAt(urls ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = append(c.CRLDistributionPoints, urls...) }
}

func ocspAt(urls ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.OCSPServer = append(c.OCSPServer, urls...) }
}

// list makes a revocation list of serial numbers that holds for an hour.
func (a *authority) list(revoked []int64, change ...func(*x509.RevocationList)) []byte {
	a.tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(30 * time.Minute)}
	for _, serial := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now().Add(-time.Minute), ReasonCode: 1})
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return der
}

// response makes an OCSP response.
func (a *authority) response(serial int64, status int, change ...func(*ocsp.Response)) []byte {
	a.tb.Helper()
	return a.responseBy(a.cert, a.key, serial, status, change...)
}

func (a *authority) responseBy(signer *x509.Certificate, key *ecdsa.PrivateKey, serial int64, status int, change ...func(*ocsp.Response)) []byte {
	a.tb.Helper()
	template := ocsp.Response{
		Status: status, SerialNumber: big.NewInt(serial), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(30 * time.Minute),
		RevokedAt: time.Now().Add(-time.Minute), ExtraExtensions: nil,
	}
	if signer != a.cert {
		template.Certificate = signer
	}
	for _, f := range change {
		f(&template)
	}
	der, err := ocsp.CreateResponse(a.cert, signer, template, key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return der
}

// server answers by path and counts the requests for each.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

func newServer(tb testing.TB) *server {
	tb.Helper()
	s := &server{answers: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.URL.Path]++
		answer := s.answers[r.URL.Path]
		s.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *server) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

func (s *server) at(path string, answer http.HandlerFunc) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = answer
	return s.URL + path
}

// list serves bytes for GET.
func (s *server) list(path string, body []byte) string {
	return s.at(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		_, _ = w.Write(body)
	})
}

// responder serves bytes for a POST that is an OCSP request.
func (s *server) responder(path string, body []byte) string {
	return s.at(path, func(w http.ResponseWriter, r *http.Request) {
		question, err := io.ReadAll(r.Body)
		if _, badly := ocsp.ParseRequest(question); err != nil || badly != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write(body)
	})
}

// anywhere lets tests be on this machine.
func anywhere(string, netip.Addr) error { return nil }

func newClient(c *clock, change ...func(*revocation.Options)) *revocation.Client {
	o := revocation.Options{Now: c.now, Check: anywhere}
	for _, f := range change {
		f(&o)
	}
	return revocation.New(o)
}
