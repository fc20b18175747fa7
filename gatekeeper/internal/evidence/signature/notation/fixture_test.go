package notation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/tspclient-go"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

const day = 24 * time.Hour

func subject() gatekeeper.Descriptor {
	return gatekeeper.Descriptor{
		MediaType: "application/vnd.oci.image.manifest.v1+json",
		Digest:    "sha256:" + strings.Repeat("a", 64),
		Size:      528,
	}
}

func payloadOf(d gatekeeper.Descriptor) []byte {
	return fmt.Appendf(nil, `{"targetArtifact":{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"Key":"1","key":"2"}}}`, d.MediaType, d.Digest, d.Size)
}

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authority makes certificates of one root.
type authority struct {
	tb   testing.TB
	now  time.Time
	root pair
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	a := &authority{tb: tb, now: time.Now().Truncate(time.Second)}
	template := a.template(pkix.Name{CommonName: name, Organization: []string{name}})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.NotBefore, template.NotAfter = a.now.Add(-10*365*day), a.now.Add(10*365*day)
	a.root = a.issue(template, pair{})
	return a
}

func (a *authority) template(name pkix.Name) *x509.Certificate {
	a.tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.tb.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: name, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: a.now.Add(-30 * day), NotAfter: a.now.Add(365 * day),
	}
}

// issue signs a template with the issuer, or with its own key.
func (a *authority) issue(template *x509.Certificate, issuer pair) pair {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	if issuer.cert == nil {
		issuer = pair{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return pair{cert: cert, key: key}
}

func acme() pkix.Name {
	return pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"acme, inc"}, OrganizationalUnit: []string{"ci"}, CommonName: "builder"}
}

// signer issues a code signing certificate.
func (a *authority) signer(change ...func(*x509.Certificate)) pair {
	a.tb.Helper()
	template := a.template(acme())
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	for _, f := range change {
		f(template)
	}
	return a.issue(template, a.root)
}

// signing is what is put into an envelope.
type signing struct {
	mediaType string
	leaf      pair
	chain     []*x509.Certificate // after the leaf
	request   func(*signature.SignRequest)
}

func sign(tb testing.TB, s signing) []byte {
	tb.Helper()
	signer, err := signature.NewLocalSigner(append([]*x509.Certificate{s.leaf.cert}, s.chain...), s.leaf.key)
	if err != nil {
		tb.Fatal(err)
	}
	request := &signature.SignRequest{
		Payload:       signature.Payload{ContentType: "application/vnd.cncf.notary.payload.v1+json", Content: payloadOf(subject())},
		Signer:        signer,
		SigningTime:   time.Now().Add(-time.Hour),
		SigningScheme: signature.SigningSchemeX509,
		SigningAgent:  "test",
	}
	if s.request != nil {
		s.request(request)
	}
	envelope := jws.NewEnvelope()
	if s.mediaType == notation.MediaTypeCOSE {
		envelope = cose.NewEnvelope()
	}
	data, err := envelope.Sign(request)
	if err != nil {
		tb.Fatalf("sign: %v", err)
	}
	return data
}

// stamper is a time stamp authority. It claims whatever time it is told.
type stamper struct {
	pair
	root *x509.Certificate
	at   time.Time
}

func newStamper(a *authority, at time.Time, change ...func(*x509.Certificate)) *stamper {
	a.tb.Helper()
	template := a.template(pkix.Name{CommonName: "time", Organization: []string{"clock"}})
	template.NotBefore = a.now.Add(-5 * 365 * day)
	template.ExtraExtensions = []pkix.Extension{{ // id-kp-timeStamping alone, critical
		Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
		Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
	}}
	for _, f := range change {
		f(template)
	}
	return &stamper{pair: a.issue(template, a.root), root: a.root.cert, at: at}
}

// Timestamp implements tspclient.Timestamper.
func (s *stamper) Timestamp(_ context.Context, request *tspclient.Request) (*tspclient.Response, error) {
	der, err := request.MarshalBinary()
	if err != nil {
		return nil, err
	}
	asked, err := timestamp.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	answer := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: s.at, Accuracy: time.Second,
		Nonce: asked.Nonce, Policy: asn1.ObjectIdentifier{1, 2, 3, 4}, AddTSACertificate: true,
		Certificates: []*x509.Certificate{s.root},
	}
	der, err = answer.CreateResponseWithOpts(s.cert, s.key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var response tspclient.Response
	return &response, response.UnmarshalBinary(der)
}

// stamped makes a request carry this authority's time stamp.
func (s *stamper) stamped(r *signature.SignRequest) {
	r.Timestamper = s
	r.TSARootCAs = x509.NewCertPool()
	r.TSARootCAs.AddCert(s.root)
}

// list is a Revocation. What it does not name is good.
type list struct {
	revoked *x509.Certificate
	fail    error
	asked   *int
}

func (l list) Revoked(_ context.Context, chain []*x509.Certificate) (bool, error) {
	if l.asked != nil {
		*l.asked++
	}
	if l.revoked != nil && l.revoked.Equal(chain[0]) {
		return true, nil
	}
	return false, l.fail
}

func trusting(a *authority) notation.Trust {
	return notation.Trust{Roots: []*x509.Certificate{a.root.cert}, Identities: []string{`x509.subject: C=US, ST=WA, O=acme\, inc`}}
}

func verifierOf(tb testing.TB, trust notation.Trust, revocation notation.Revocation) *notation.Verifier {
	tb.Helper()
	v, err := notation.New(trust, revocation)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
