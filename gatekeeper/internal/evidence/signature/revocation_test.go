package signature_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	notary "github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/tspclient-go"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/revocation"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// notaryCert is a certificate with its key.
type notaryCert struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func (c notaryCert) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// issueCert makes a certificate by an issuer, or by itself. The subject is the
// one that the tests' policies trust.
func issueCert(tb testing.TB, name string, by *notaryCert, change ...func(*x509.Certificate)) *notaryCert {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return issueCertFor(tb, key, name, by, change...)
}

func issueCertFor(tb testing.TB, key *ecdsa.PrivateKey, name string, by *notaryCert, change ...func(*x509.Certificate)) *notaryCert {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, KeyUsage: x509.KeyUsageDigitalSignature,
		Subject:   pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"acme"}, CommonName: name},
		NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	if by == nil {
		by = &notaryCert{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &notaryCert{c, key}
}

func asCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
}

func asCodeSigner(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func asClock(c *x509.Certificate) {
	c.ExtraExtensions = []pkix.Extension{{ // id-kp-timeStamping alone, critical
		Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
		Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
	}}
}

func listedAt(url string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = []string{url} }
}

// clockAuthority is a time stamp authority.
type clockAuthority struct{ cert, root *notaryCert }

// Timestamp implements tspclient.Timestamper.
func (c clockAuthority) Timestamp(_ context.Context, request *tspclient.Request) (*tspclient.Response, error) {
	der, err := request.MarshalBinary()
	if err != nil {
		return nil, err
	}
	asked, err := timestamp.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	answer := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: time.Now().Add(-time.Hour), Accuracy: time.Second,
		Nonce: asked.Nonce, Policy: asn1.ObjectIdentifier{1, 2, 3, 4}, AddTSACertificate: true,
		Certificates: []*x509.Certificate{c.root.Certificate},
	}
	if der, err = answer.CreateResponseWithOpts(c.cert.Certificate, c.cert.key, crypto.SHA256); err != nil {
		return nil, err
	}
	var response tspclient.Response
	return &response, response.UnmarshalBinary(der)
}

const imageManifest = "application/vnd.oci.image.manifest.v1+json"

// notarySign signs the subject.
func notarySign(tb testing.TB, clock *clockAuthority, chain ...*notaryCert) []byte {
	tb.Helper()
	var certificates []*x509.Certificate
	for _, c := range chain {
		certificates = append(certificates, c.Certificate)
	}
	by, err := notary.NewLocalSigner(certificates, chain[0].key)
	if err != nil {
		tb.Fatal(err)
	}
	payload := fmt.Appendf(nil, `{"targetArtifact":{"mediaType":%q,"digest":%q,"size":1}}`, imageManifest, subject)
	request := &notary.SignRequest{
		Payload: notary.Payload{ContentType: "application/vnd.cncf.notary.payload.v1+json", Content: payload},
		Signer:  by, SigningTime: time.Now().Add(-time.Hour), SigningScheme: notary.SigningSchemeX509,
	}
	if clock != nil {
		request.Timestamper, request.TSARootCAs = clock, x509.NewCertPool()
		request.TSARootCAs.AddCert(clock.root.Certificate)
	}
	data, err := jws.NewEnvelope().Sign(request)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// image is a store that has the subject's manifest too.
type image struct{ *store }

func (i image) Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error) {
	if digest == subject {
		return registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: imageManifest, Digest: subject, Size: 1}}, nil
	}
	return i.store.Manifest(ctx, r, digest)
}

// putNotary stores a signature of the Notary Project.
func (i image) putNotary(tb testing.TB, envelope []byte) {
	tb.Helper()
	i.blobs[digestOf(envelope)] = envelope
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": imageManifest, "artifactType": verify.TypeNotary,
		"config":  map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digestOf([]byte("{}")), "size": 2},
		"subject": map[string]any{"mediaType": imageManifest, "digest": subject, "size": 1},
		"layers":  []any{map[string]any{"mediaType": verify.TypeNotaryJWS, "digest": digestOf(envelope), "size": len(envelope)}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	i.manifests[digestOf(body)] = body
	i.referrers = append(i.referrers, registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: digestOf(body)}})
}

// notaryWorld has two authorities, for signers and for clocks, that publish
// their lists.
type notaryWorld struct {
	root, clocks *notaryCert
	url          string
	lists        map[string][]byte // by path; not changed while requests are made
	asked        atomic.Int32
}

func newNotaryWorld(tb testing.TB) *notaryWorld {
	tb.Helper()
	w := &notaryWorld{root: issueCert(tb, "root", nil, asCA), clocks: issueCert(tb, "clocks", nil, asCA), lists: map[string][]byte{}}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if body, ok := w.lists[r.URL.Path]; ok {
			_, _ = rw.Write(body)
			return
		}
		http.NotFound(rw, r)
	}))
	tb.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// publish makes a list of revoked certificates.
func (w *notaryWorld) publish(tb testing.TB, path string, by *notaryCert, revoked ...*notaryCert) {
	tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, by.Certificate, by.key)
	if err != nil {
		tb.Fatal(err)
	}
	w.lists[path] = der
}

// collect has an envelope judged; clocks have to vouch for its time when
// timed.
func (w *notaryWorld) collect(tb testing.TB, by signature.Verifier, root *notaryCert, timed bool, envelope []byte) (gatekeeper.Signed, error) {
	tb.Helper()
	authority := policy.Authority{ID: "notary", Notary: &policy.Notary{Certificates: root.pem(), Identities: []string{"x509.subject: C=US, ST=WA, O=acme"}}}
	if timed {
		authority.Notary.TimestampCertificates = w.clocks.pem()
	}
	source := image{newStore()}
	source.putNotary(tb, envelope)
	c := signature.New(signature.Deps{
		Source: source, Verifier: by, TrustRoots: noRoots{}, Now: time.Now,
		Revocation: revocation.New(revocation.Options{Now: time.Now, Check: func(string, netip.Addr) error { return nil }}),
	})
	return c.CollectSigned(tb.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{authority})
}

// Whether a certificate is revoked is looked up once the rest of a signature
// is good, for the signer's chain and the time stamp's.
func TestRevocation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		signers, clocks bool // whether their lists are there
		revoked         string
		timed           bool
		want            policy.Verification // none: an error
		text            string
		asked           int32
	}{
		"good":                                {signers: true, want: policy.Verified, asked: 2},
		"signer revoked":                      {signers: true, revoked: "signer", want: policy.Invalid, text: "is revoked", asked: 2},
		"intermediate revoked":                {signers: true, revoked: "middle", want: policy.Invalid, text: "is revoked", asked: 2},
		"unreachable":                         {text: "let this service reach", asked: 2},
		"good with time":                      {signers: true, clocks: true, timed: true, want: policy.Verified, asked: 3},
		"clock revoked":                       {signers: true, clocks: true, timed: true, revoked: "clock", want: policy.Invalid, text: "is revoked", asked: 3},
		"clock unreachable":                   {signers: true, timed: true, text: "HTTP status 404", asked: 3},
		"clock revoked, signers unreachable":  {clocks: true, timed: true, revoked: "clock", want: policy.Invalid, text: "is revoked", asked: 3},
		"signer revoked, clocks' unreachable": {signers: true, timed: true, revoked: "signer", want: policy.Invalid, text: "is revoked", asked: 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNotaryWorld(t)
			certs := map[string]*notaryCert{}
			certs["middle"] = issueCert(t, "middle", w.root, asCA, listedAt(w.url+"/root"))
			certs["signer"] = issueCert(t, "builder", certs["middle"], asCodeSigner, listedAt(w.url+"/middle"))
			certs["clock"] = issueCert(t, "clock", w.clocks, asClock, listedAt(w.url+"/clocks"))
			var revoked []*notaryCert
			if tt.revoked != "" {
				revoked = append(revoked, certs[tt.revoked])
			}
			if tt.signers {
				w.publish(t, "/root", w.root, revoked...)
				w.publish(t, "/middle", certs["middle"], revoked...)
			}
			if tt.clocks {
				w.publish(t, "/clocks", w.clocks, revoked...)
			}
			var clock *clockAuthority
			if tt.timed {
				clock = &clockAuthority{certs["clock"], w.clocks}
			}
			got, err := w.collect(t, here{}, w.root, tt.timed, notarySign(t, clock, certs["signer"], certs["middle"], w.root))
			if n := w.asked.Load(); n != tt.asked {
				t.Errorf("%d requests, want %d", n, tt.asked)
			}
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "could not decide") || len(got.Signatures) != 0 {
					t.Errorf("%v; want an error with %q and no result %+v", err, tt.text, got)
				}
				return
			}
			if err != nil || len(got.Signatures) != 1 || got.Signatures[0].Result != tt.want || !strings.Contains(got.Signatures[0].Reason, tt.text) {
				t.Errorf("%+v, %v; want %s with %q", got, err, tt.want, tt.text)
			}
			// It is called by its key, as a policy calls that key.
			key := sha256.Sum256(certs["signer"].RawSubjectPublicKeyInfo)
			if tt.want == policy.Verified && got.Signatures[0].Certificate != fmt.Sprintf("sha256:%x", key) {
				t.Errorf("signed by the certificate %q, want that of %x", got.Signatures[0].Certificate, key)
			}
		})
	}
}

// Nobody but the policies' own authorities makes this service contact
// anything, whatever he signs.
func TestAttack_StrangersChooseNoAddress(t *testing.T) {
	t.Parallel()
	w := newNotaryWorld(t)
	here := here{}
	stranger := issueCert(t, "root", nil, asCA)
	listed := listedAt(w.url + "/list")
	signer := issueCert(t, "builder", w.root, asCodeSigner)
	middle := issueCert(t, "middle", w.root, asCA)
	below := issueCert(t, "builder", middle, asCodeSigner)
	genuine := notarySign(t, nil, below, middle, w.root)
	// Anybody can certify a name and a public key of others.
	forgedRoot := issueCertFor(t, w.root.key, "root", stranger, asCA, listed)
	another := issueCert(t, "builder", w.root, asCodeSigner, listed, func(c *x509.Certificate) { c.Subject.Organization = []string{"other"} })
	withList := issueCert(t, "builder", w.root, asCodeSigner, listed)
	tests := map[string]struct {
		root     *notaryCert
		envelope []byte
		want     policy.Verification
	}{
		"a stranger's signature":           {w.root, notarySign(t, nil, issueCert(t, "builder", stranger, asCodeSigner, listed), stranger), policy.UnknownSigner},
		"another identity":                 {w.root, notarySign(t, nil, another, w.root), policy.UnknownSigner},
		"a broken signature":               {w.root, brokenSignature(t, notarySign(t, nil, withList, w.root)), policy.Invalid},
		"an authority above the trusted":   {middle, rechained(t, genuine, below, middle, forgedRoot, stranger), policy.Verified},
		"a trusted one that names nothing": {w.root, notarySign(t, nil, signer, w.root), policy.Verified},
	}
	for name, tt := range tests {
		got, err := w.collect(t, here, tt.root, false, tt.envelope)
		if err != nil || len(got.Signatures) != 1 || got.Signatures[0].Result != tt.want {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, tt.want)
		}
		if n := w.asked.Swap(0); n != 0 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

func changeEnvelope(tb testing.TB, envelope []byte, change func(map[string]any)) []byte {
	tb.Helper()
	var m map[string]any
	if err := json.Unmarshal(envelope, &m); err != nil {
		tb.Fatal(err)
	}
	change(m)
	data, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func brokenSignature(tb testing.TB, envelope []byte) []byte {
	tb.Helper()
	return changeEnvelope(tb, envelope, func(m map[string]any) { m["signature"] = strings.Repeat("A", 86) })
}

// rechained puts another chain into an envelope: no signature covers it.
func rechained(tb testing.TB, envelope []byte, chain ...*notaryCert) []byte {
	tb.Helper()
	return changeEnvelope(tb, envelope, func(m map[string]any) {
		var x5c []any
		for _, c := range chain {
			x5c = append(x5c, c.Raw)
		}
		m["header"].(map[string]any)["x5c"] = x5c //nolint:errcheck,forcetypeassert // of this test's own making
	})
}

// asking is a verifier that somebody took over.
type asking struct {
	lookups []verify.Lookup
	rounds  *int
}

func (a asking) Verify(context.Context, verify.Trust, verify.Item) (verify.Answer, error) {
	*a.rounds++
	return verify.Answer{Lookups: a.lookups}, nil
}

// A worker in the hands of an attacker chooses no address either, and keeps
// nobody busy.
func TestAttack_WorkerAsksForLookups(t *testing.T) {
	t.Parallel()
	w := newNotaryWorld(t)
	stranger := issueCert(t, "root", nil, asCA)
	listed := listedAt(w.url + "/list")
	w.publish(t, "/list", w.root)
	own := issueCert(t, "builder", w.root, asCodeSigner, listed)
	foreign := issueCert(t, "builder", stranger, asCodeSigner, listed)
	forgedRoot := issueCertFor(t, w.root.key, "root", stranger, asCA, listed)
	lookup := func(chain ...*notaryCert) verify.Lookup {
		var l verify.Lookup
		for _, c := range chain {
			l.Chain = append(l.Chain, c.Raw)
		}
		return l
	}
	long := []*notaryCert{own}
	for range 11 {
		long = append(long, w.root)
	}
	var many []verify.Lookup
	for range 11 {
		many = append(many, lookup(own, w.root))
	}
	tests := map[string]struct {
		lookups []verify.Lookup
		text    string
		asked   int32
		rounds  int
	}{
		"a stranger's":             {[]verify.Lookup{lookup(foreign, stranger)}, "vouches for", 0, 1},
		"a stranger's below ours":  {[]verify.Lookup{lookup(foreign, w.root)}, "not by its issuer", 0, 1},
		"a stranger's beside ours": {[]verify.Lookup{lookup(own, w.root), lookup(foreign, stranger)}, "vouches for", 0, 1},
		"above ours":               {[]verify.Lookup{lookup(forgedRoot, stranger)}, "vouches for", 0, 1},
		"ours by somebody else":    {[]verify.Lookup{lookup(w.root, stranger)}, "not by its issuer", 0, 1},
		"no issuer":                {[]verify.Lookup{lookup(own)}, "a chain of 1", 0, 1},
		"a long chain":             {[]verify.Lookup{lookup(long...)}, "a chain of 12", 0, 1},
		"many":                     {many, "at most 10", 0, 1},
		"garbage":                  {[]verify.Lookup{{Chain: [][]byte{{1}, {2}}}}, "certificate 1", 0, 1},
		"the same again and again": {[]verify.Lookup{lookup(own, w.root)}, "asks for revocations again", 1, 2},
	}
	for name, tt := range tests {
		rounds := 0
		got, err := w.collect(t, asking{tt.lookups, &rounds}, w.root, false, notarySign(t, nil, own, w.root))
		if err == nil || !strings.Contains(err.Error(), tt.text) || len(got.Signatures) != 0 {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, tt.text)
		}
		if n := w.asked.Swap(0); n != tt.asked || rounds != tt.rounds {
			t.Errorf("%s: %d requests in %d rounds, want %d in %d", name, n, rounds, tt.asked, tt.rounds)
		}
	}
}

// Without anybody to ask, nothing is decided.
func TestRevocationIsNotConfigured(t *testing.T) {
	t.Parallel()
	w := newNotaryWorld(t)
	signer := issueCert(t, "builder", w.root, asCodeSigner, listedAt(w.url+"/list"))
	source := image{newStore()}
	source.putNotary(t, notarySign(t, nil, signer, w.root))
	authority := policy.Authority{ID: "notary", Notary: &policy.Notary{Certificates: w.root.pem(), Identities: []string{"*"}}}
	got, err := collector(source).CollectSigned(t.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{authority})
	if err == nil || !strings.Contains(err.Error(), "nobody can be asked") || len(got.Signatures) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
