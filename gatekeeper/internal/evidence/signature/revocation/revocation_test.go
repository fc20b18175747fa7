package revocation_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/revocation"
)

const serial = 42

// scope is a critical IssuingDistributionPoint of a list.
func scope(value ...byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(value))}, value...)}}
	}
}

// named is a scope that names a URL as its distribution point.
func named(url string) func(*x509.RevocationList) {
	name := append([]byte{0x86, byte(len(url))}, url...)
	name = append([]byte{0xa0, byte(len(name))}, name...)
	return scope(append([]byte{0xa0, byte(len(name))}, name...)...)
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	namesake := newAuthority(t, "ca")
	unfit := newAuthority(t, "unfit", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	forOCSP := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate, delegateKey := ca.issue(7, forOCSP)
	outdated, outdatedKey := ca.issue(7, forOCSP, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	colleague, colleagueKey := ca.issue(8)
	expiredResponse := func(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-time.Second) }
	tests := map[string]struct {
		ocsp, list []byte // nil: named but not there
		noOCSP     bool
		noList     bool
		revoked    bool
		text       string // of the error; none when empty
	}{
		"OCSP good":                      {ocsp: ca.response(serial, ocsp.Good), noList: true},
		"OCSP revoked":                   {ocsp: ca.response(serial, ocsp.Revoked), list: ca.list(nil), revoked: true},
		"OCSP good by a delegate":        {ocsp: ca.responseBy(delegate, delegateKey, serial, ocsp.Good), noList: true},
		"OCSP unknown":                   {ocsp: ca.response(serial, ocsp.Unknown), noList: true, text: "does not know the certificate"},
		"OCSP unknown, list good":        {ocsp: ca.response(serial, ocsp.Unknown), list: ca.list(nil)},
		"OCSP unreachable, list revoked": {list: ca.list([]int64{1, serial}), revoked: true},
		"OCSP about another":             {ocsp: ca.response(serial+1, ocsp.Good), noList: true, text: "no response matching"},
		"OCSP by another authority":      {ocsp: other.response(serial, ocsp.Good), noList: true, text: "bad OCSP signature"},
		"OCSP by a colleague":            {ocsp: ca.responseBy(colleague, colleagueKey, serial, ocsp.Good), noList: true, text: "not for OCSP"},
		"OCSP by an outdated delegate":   {ocsp: ca.responseBy(outdated, outdatedKey, serial, ocsp.Good), noList: true, text: "not valid now"},
		"OCSP expired":                   {ocsp: ca.response(serial, ocsp.Good, expiredResponse), noList: true, text: "expired at"},
		"OCSP revoked but expired":       {ocsp: ca.response(serial, ocsp.Revoked, expiredResponse), noList: true, text: "expired at"},
		"OCSP without an end":            {ocsp: ca.response(serial, ocsp.Good, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), noList: true, text: "until when"},
		"OCSP of the future":             {ocsp: ca.response(serial, ocsp.Good, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(10 * time.Minute) }), noList: true, text: "only from"},
		"OCSP garbage":                   {ocsp: []byte("garbage"), noList: true, text: "of no use"},
		"OCSP try later":                 {ocsp: ocsp.TryLaterErrorResponse, noList: true, text: "try later"},
		"OCSP huge":                      {ocsp: make([]byte, 64<<10+1), noList: true, text: "more than 65536 bytes"},
		"list good":                      {noOCSP: true, list: ca.list([]int64{1, 2, 3})},
		"list revoked":                   {noOCSP: true, list: ca.list([]int64{1, serial, 3}), revoked: true},
		"list on hold":                   {noOCSP: true, list: ca.list([]int64{serial}, func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 }), revoked: true},
		"list unreachable":               {noOCSP: true, text: "HTTP status 404"},
		"list garbage":                   {noOCSP: true, list: []byte("garbage"), text: "no revocation list"},
		"list with more behind it":       {noOCSP: true, list: append(ca.list(nil), 0), text: "no revocation list"},
		"list huge":                      {noOCSP: true, list: make([]byte, 32<<20+1), text: "more than 33554432 bytes"},
		"list of another authority":      {noOCSP: true, list: other.list(nil), text: "another authority's"},
		"list of a namesake":             {noOCSP: true, list: namesake.list(nil), text: "not signed by"},
		"list with another's entries":    {noOCSP: true, list: spliced(ca.list([]int64{serial}), ca.list([]int64{41})), text: "not signed by"},
		"list expired":                   {noOCSP: true, list: ca.list(nil, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Second) }), text: "expired at"},
		"list of the future":             {noOCSP: true, list: ca.list(nil, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(10 * time.Minute) }), text: "only from"},
		"list for these certificates":    {noOCSP: true, list: ca.list(nil, scope(0x81, 1, 0xff))},
		"list for authorities alone":     {noOCSP: true, list: ca.list(nil, scope(0x82, 1, 0xff)), text: "another kind"},
		"list for attributes alone":      {noOCSP: true, list: ca.list(nil, scope(0x85, 1, 0xff)), text: "another kind"},
		"list for some reasons":          {noOCSP: true, list: ca.list(nil, scope(0x83, 2, 1, 2)), text: "some reasons"},
		"list by several authorities":    {noOCSP: true, list: ca.list(nil, scope(0x84, 1, 0xff)), text: "by another authority"},
		"list of another part":           {noOCSP: true, list: ca.list(nil, named("http://ca.example/part2")), text: "another distribution point"},
		"list that changes another (delta)": {noOCSP: true, list: ca.list(nil, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}), text: "critical extension 2.5.29.27"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var change []func(*x509.Certificate)
			if !tt.noOCSP {
				change = append(change, ocspAt(s.URL+"/ocsp"))
			}
			if !tt.noList {
				change = append(change, crlAt(s.URL+"/list"))
			}
			if tt.ocsp != nil {
				s.responder("/ocsp", tt.ocsp)
			}
			if tt.list != nil {
				s.list("/list", tt.list)
			}
			certificate, _ := ca.issue(serial, change...)
			revoked, err := newClient(newClock()).Revoked(t.Context(), certificate, ca.cert)
			if revoked != tt.revoked {
				t.Errorf("revoked is %t: %v", revoked, err)
			}
			wantUnknown(t, err, tt.text)
			if tt.text != "" && err != nil && (!strings.Contains(err.Error(), strings.TrimPrefix(s.URL, "http://")) || !strings.Contains(err.Error(), "let this service reach")) {
				t.Errorf("%v: neither the host nor what to do is named", err)
			}
		})
	}
	t.Run("issuer that may not sign lists", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		certificate, _ := unfit.issue(serial, crlAt(s.URL+"/list"))
		able := *unfit.cert // crypto/x509 refuses to make what follows
		able.KeyUsage = x509.KeyUsageCRLSign
		s.list("/list", (&authority{tb: t, cert: &able, key: unfit.key}).list(nil))
		_, err := newClient(newClock()).Revoked(t.Context(), certificate, unfit.cert)
		wantUnknown(t, err, "may not sign")
	})
	t.Run("list that names its part", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		certificate, _ := ca.issue(serial, crlAt(s.URL+"/part1"))
		s.list("/part1", ca.list(nil, named(s.URL+"/part1")))
		if revoked, err := newClient(newClock()).Revoked(t.Context(), certificate, ca.cert); revoked || err != nil {
			t.Errorf("%t, %v", revoked, err)
		}
	})
}

// spliced is the first list with the entries of the second; both are of the
// same length.
func spliced(into, from []byte) []byte {
	a, b := entries(into), entries(from)
	return []byte(strings.Replace(string(into), string(a), string(b), 1))
}

func entries(list []byte) []byte {
	l, err := x509.ParseRevocationList(list)
	if err != nil {
		panic(err)
	}
	return l.RevokedCertificateEntries[0].Raw
}

// wantUnknown checks an error that has to be an UnknownError with a text.
func wantUnknown(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var unknown *revocation.UnknownError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v; want an UnknownError with %q", err, text)
	}
}

// Only http and https URLs without credentials are asked; the first that
// answers is enough, and few are tried.
func TestPlaces(t *testing.T) {
	t.Parallel()
	ca, s := newAuthority(t, "ca"), newServer(t)
	good := s.list("/good", ca.list(nil))
	missing := func(n string) string { return s.URL + "/missing" + n }
	tests := map[string]struct {
		urls []string
		text string
	}{
		"directory first": {urls: []string{"ldap:///CN=ca", good}},
		"second":          {urls: []string{missing("1"), good}},
		"too far behind":  {urls: []string{missing("1"), missing("2"), missing("3"), good}, text: "404"},
		"only directory":  {urls: []string{"ldap:///CN=ca"}, text: "names no OCSP responder or revocation list"},
		"file":            {urls: []string{"file:///etc/passwd"}, text: "names no OCSP responder or revocation list"},
		"directory host":  {urls: []string{strings.Replace(good, "http://", "ldap://", 1)}, text: "names no OCSP responder or revocation list"},
		"credentials":     {urls: []string{strings.Replace(good, "http://", "http://user:pass@", 1)}, text: "names no OCSP responder or revocation list"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate, _ := ca.issue(serial, crlAt(tt.urls...))
			_, err := newClient(newClock()).Revoked(t.Context(), certificate, ca.cert)
			wantUnknown(t, err, tt.text)
		})
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	ca, s, elsewhere := newAuthority(t, "ca"), newServer(t), newServer(t)
	s.list("/list", ca.list(nil))
	elsewhere.list("/list", ca.list(nil))
	to := func(url string) http.HandlerFunc { return http.RedirectHandler(url, http.StatusFound).ServeHTTP }
	tests := map[string]struct{ url, text string }{
		"same host":    {url: s.at("/same", to("/list"))},
		"another host": {url: s.at("/other", to(elsewhere.URL+"/list")), text: "is not followed"},
		"another port": {url: s.at("/port", to("http://127.0.0.1:1/list")), text: "is not followed"},
		"credentials":  {url: s.at("/user", to(strings.Replace(s.URL, "//", "//u:p@", 1)+"/list")), text: "is not followed"},
		"a circle":     {url: s.at("/circle", to("/circle")), text: "more than 2 redirects"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate, _ := ca.issue(serial, crlAt(tt.url))
			_, err := newClient(newClock()).Revoked(t.Context(), certificate, ca.cert)
			wantUnknown(t, err, tt.text)
		})
	}
	t.Run("a question that becomes a read", func(t *testing.T) {
		t.Parallel()
		certificate, _ := ca.issue(serial, ocspAt(s.at("/ocsp", to("/answer"))))
		s.at("/answer", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(ca.response(serial, ocsp.Good)) })
		_, err := newClient(newClock()).Revoked(t.Context(), certificate, ca.cert)
		wantUnknown(t, err, "loses the request")
	})
	t.Cleanup(func() {
		if n := elsewhere.count("/list"); n != 0 {
			t.Errorf("another host was asked %d times", n)
		}
		if n := s.count("/circle"); n != 3 {
			t.Errorf("%d requests in a circle", n)
		}
	})
}

// No certificate makes this service ask itself, or the machine's cloud.
func TestAddressesThatAreNotAsked(t *testing.T) {
	t.Parallel()
	ca, s := newAuthority(t, "ca"), newServer(t)
	s.list("/list", ca.list(nil))
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	for _, url := range []string{
		s.URL + "/list", "http://localhost:" + port + "/list", "http://[::ffff:127.0.0.1]:" + port + "/list",
		"http://169.254.169.254/latest", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://0.0.0.0:" + port + "/list", "http://100.100.100.200/",
	} {
		certificate, _ := ca.issue(serial, crlAt(url))
		_, err := revocation.New(revocation.Options{Now: newClock().now}).Revoked(t.Context(), certificate, ca.cert)
		wantUnknown(t, err, "nothing is asked")
	}
	if n := s.count("/list"); n != 0 {
		t.Errorf("asked %d times", n)
	}
	for _, private := range []string{"10.1.2.3", "192.168.0.1", "fd12::1", "93.184.215.14"} {
		if err := revocation.Check("ca:80", netip.MustParseAddr(private)); err != nil {
			t.Error(err)
		}
	}
}

// Answers are kept while the authority says that they hold, at most an hour,
// and failures for a minute.
func TestCache(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	long := func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(100 * time.Hour) }
	tests := map[string]struct {
		body  []byte
		kept  time.Duration
		later time.Duration
		text  string
		then  string // of the error after it
	}{
		"until the next update": {body: ca.list(nil), kept: 29 * time.Minute, later: 2 * time.Minute, then: "expired at"},
		"an hour at most":       {body: ca.list(nil, long), kept: 59 * time.Minute, later: 2 * time.Minute},
		"garbage":               {body: []byte("garbage"), kept: 59 * time.Second, later: 2 * time.Second, text: "no use", then: "no use"},
		"unreachable":           {kept: 59 * time.Second, later: 2 * time.Second, text: "404", then: "404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now := newServer(t), newClock()
			if tt.body != nil {
				s.list("/list", tt.body)
			}
			certificate, _ := ca.issue(serial, crlAt(s.URL+"/list"))
			c := newClient(now)
			for range 2 {
				_, err := c.Revoked(t.Context(), certificate, ca.cert)
				wantUnknown(t, err, tt.text)
				if n := s.count("/list"); n != 1 {
					t.Errorf("asked %d times", n)
				}
				now.move(tt.kept / 2)
			}
			now.move(tt.kept/2 + tt.later)
			_, err := c.Revoked(t.Context(), certificate, ca.cert)
			wantUnknown(t, err, tt.then)
			if n := s.count("/list"); n != 2 {
				t.Errorf("asked %d times, want again", n)
			}
		})
	}
}

// An answer about one certificate is none about another, nor one that holds
// with another issuer.
func TestCacheKeepsCertificatesApart(t *testing.T) {
	t.Parallel()
	ca, namesake, s := newAuthority(t, "ca"), newAuthority(t, "ca"), newServer(t)
	url := s.list("/list", ca.list([]int64{serial}))
	c := newClient(newClock())
	good, _ := ca.issue(1, crlAt(url))
	bad, _ := ca.issue(serial, crlAt(url))
	for range 2 {
		for certificate, want := range map[*x509.Certificate]bool{good: false, bad: true} {
			if revoked, err := c.Revoked(t.Context(), certificate, ca.cert); revoked != want || err != nil {
				t.Errorf("%t, %v", revoked, err)
			}
			_, err := c.Revoked(t.Context(), certificate, namesake.cert)
			wantUnknown(t, err, "not signed by")
		}
	}
}

// Many who ask at the same time make one request.
func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	ca, s := newAuthority(t, "ca"), newServer(t)
	body := ca.list(nil)
	url := s.at("/list", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	certificate, _ := ca.issue(serial, crlAt(url))
	c := newClient(newClock())
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := c.Revoked(t.Context(), certificate, ca.cert); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.count("/list"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A slow authority costs the time limit once, then nothing for a minute. A
// caller that gives up leaves no failure behind.
func TestSlow(t *testing.T) {
	t.Parallel()
	ca, s := newAuthority(t, "ca"), newServer(t)
	block := make(chan struct{})
	impatient, cancel := context.WithCancel(t.Context())
	url := s.at("/ocsp", func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-block
	})
	t.Cleanup(func() { close(block) })
	certificate, _ := ca.issue(serial, ocspAt(url))
	c := newClient(newClock(), func(o *revocation.Options) { o.Timeout = 500 * time.Millisecond })
	if _, err := c.Revoked(impatient, certificate, ca.cert); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	limit, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	for range 2 {
		_, err := c.Revoked(limit, certificate, ca.cert)
		wantUnknown(t, err, "no answer in time")
	}
	if n := s.count("/ocsp"); n != 2 || limit.Err() != nil {
		t.Errorf("asked %d times, %v; want once by each caller", n, limit.Err())
	}
}

// A large list takes little more memory than its bytes, and no longer than a
// look at each entry.
func TestLargeList(t *testing.T) {
	ca, s := newAuthority(t, "ca"), newServer(t)
	many := make([]int64, 200_000)
	for i := range many {
		many[i] = int64(i) + 1000
	}
	url := s.list("/list", ca.list(many))
	certificate, _ := ca.issue(serial, crlAt(url))
	withdrawn, _ := ca.issue(1000+199_999, crlAt(url))
	c := newClient(newClock())
	if revoked, err := c.Revoked(t.Context(), certificate, ca.cert); revoked || err != nil {
		t.Errorf("%t, %v", revoked, err)
	}
	if revoked, err := c.Revoked(t.Context(), withdrawn, ca.cert); !revoked || err != nil {
		t.Errorf("%t, %v", revoked, err)
	}
}

// FuzzList feeds bytes as a list and as a response.
func FuzzList(f *testing.F) {
	ca := newAuthority(f, "ca")
	f.Add(ca.list([]int64{1}))
	f.Add(ca.list(nil, scope(0x81, 1, 0xff)))
	f.Add(ca.response(serial, ocsp.Good))
	certificate, _ := ca.issue(serial, crlAt("http://ca.example/"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{"list", "response"} {
			revoked, err := revocation.Read(kind, body, certificate, ca.cert, time.Now())
			if revoked {
				t.Fatalf("revoked by nobody: %v", err)
			}
		}
	})
}
