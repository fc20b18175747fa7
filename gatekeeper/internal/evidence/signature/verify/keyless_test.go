package verify_test

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A signature with a certificate of the trust root says who signed, in every
// form and however the time is proven.
func TestACertificateSaysWhoSigned(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	want := []policy.Identity{{TrustRoot: "acme", Issuer: issuer, Subject: workflow}}
	for _, require := range []verify.Require{byDefault(), byClocks(), {LogEntries: 1}, {Timestamps: 1}, {CertificateTimestamps: 1, LogEntries: 1, Timestamps: 2}} {
		for _, f := range forms() {
			a := judge(t, in.trusting(require), in.of(f, in.leaf(workflow)).item(t))
			if diff := cmp.Diff(want, a.Identities); diff != "" || a.Result != policy.Verified {
				t.Errorf("%s, %+v: %s %s\n%s", f, require, a.Result, a.Reason, diff)
			}
			if (f == att) != a.Attestation || (f == att) != (len(a.Predicate) > 0) {
				t.Errorf("%s: %+v", f, a)
			}
		}
	}
}

// What is stored compressed is read all the same.
func TestCompressedEvidenceIsRead(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	for _, f := range forms() {
		item := in.of(f, in.leaf(workflow)).item(t)
		item.Data = compressed(t, item.Data)
		if a := judge(t, in.trusting(byDefault()), item); a.Result != policy.Verified {
			t.Errorf("%s: %s: %s", f, a.Result, a.Reason)
		}
		item.Data = item.Data[:len(item.Data)-9]
		wantRefused(t, in.trusting(byDefault()), item, policy.Malformed, "it cannot be decompressed")
	}
}

func compressed(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// Whose a certificate is decides whether something is a stranger's or broken.
func TestWhoseACertificateIs(t *testing.T) {
	t.Parallel()
	in, other := newInstance(t), newInstance(t)
	trusted := in.trusting(byDefault())
	second, err := url.Parse(stranger)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		leaf    *certificate
		want    policy.Verification
		because string
	}{
		"of another instance":       {other.leaf(workflow), policy.UnknownSigner, "no certificate of their trust roots"},
		"of two subjects":           {in.leaf(workflow, func(c *x509.Certificate) { c.URIs = append(c.URIs, second) }), policy.Invalid, "names 2 subjects"},
		"of a subject and a person": {in.leaf(workflow, func(c *x509.Certificate) { c.EmailAddresses = []string{"mallory@example"} }), policy.Invalid, "names 2 subjects"},
		"by nobody":                 {in.leaf(workflow, func(c *x509.Certificate) { c.ExtraExtensions = nil }), policy.Invalid, "who vouched"},
		"in no certificate log":     {in.leafIn(nil, workflow), policy.Invalid, "SCT"},
		"for servers":               {in.leaf(workflow, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), policy.UnknownSigner, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, f := range forms() {
				wantRefused(t, trusted, in.of(f, tt.leaf).item(t), tt.want, tt.because)
			}
		})
	}
}

// A key that has to be in a log is worth nothing without the entry; one that
// need not be is worth the same with it.
func TestAKeyInALog(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	key := &certificate{key: in.newKey()}
	inLog := in.trusting(byDefault(), in.keyInLog(key.key))
	alone := in.trusting(byDefault(), verify.Key{ID: "ci", PublicKey: in.keyInLog(key.key).PublicKey})
	for _, f := range forms() {
		e := in.of(f, key)
		for _, trusted := range []*verify.Trusted{inLog, alone} {
			a := judge(t, trusted, e.item(t))
			if diff := cmp.Diff([]string{"ci"}, a.VerifiedBy); diff != "" || a.Result != policy.Verified {
				t.Errorf("%s: %s %s\n%s", f, a.Result, a.Reason, diff)
			}
		}
		e.entries = nil
		wantRefused(t, inLog, e.item(t), policy.UnknownSigner, "signed by none of the policies' keys")
		wantVerified(t, alone, e)
	}
}

// A trust root whose certificates do not count proves log entries alone.
func TestATrustRootForItsLogIssuesNothing(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted, err := verify.Prepare(verify.Trust{TrustRoots: []verify.TrustRoot{{Name: "acme", Require: byDefault(), Content: in.trustedRoot()}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms() {
		wantRefused(t, trusted, in.of(f, in.leaf(workflow)).item(t), policy.UnknownSigner, "")
	}
}

func TestWhatCannotBePrepared(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	good := in.keyInLog(in.newKey())
	root := verify.TrustRoot{Name: "acme", Content: in.trustedRoot()}
	private, err := x509.MarshalECPrivateKey(in.newKey())
	if err != nil {
		t.Fatal(err)
	}
	for name, trust := range map[string]verify.Trust{
		"no trust root of the name": {Keys: []verify.Key{good}},
		"no key":                    {Keys: []verify.Key{{ID: "ci", PublicKey: []byte("ssh-rsa AAAA")}}},
		"a private key":             {Keys: []verify.Key{{ID: "ci", PublicKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})}}},
		"no trusted root":           {TrustRoots: []verify.TrustRoot{{Name: "acme", Content: []byte("{}")}}},
		"an empty trusted root":     {TrustRoots: []verify.TrustRoot{{Name: "acme"}}},
		"a trusted root, and more":  {TrustRoots: []verify.TrustRoot{{Name: "acme", Content: append(in.trustedRoot(), '{')}}},
		"a huge trusted root":       {TrustRoots: []verify.TrustRoot{{Name: "acme", Content: append(in.trustedRoot(), bytes.Repeat([]byte(" "), verify.MaxTrustRoot)...)}}},
	} {
		if _, err := verify.Prepare(trust); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	root.Content = append(root.Content, newInstance(t).trustedRoot()...)
	if _, err := verify.Prepare(verify.Trust{Keys: []verify.Key{good}, TrustRoots: []verify.TrustRoot{root}}); err != nil {
		t.Error(err)
	}
}

// A trusted root of another shape is refused, or proves nothing.
func TestOddTrustedRoots(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	item := in.of(bundle, in.leaf(workflow)).item(t)
	for _, bad := range append(parts(string(in.trustedRoot())), spoiled(string(in.trustedRoot()))...) {
		trusted, err := verify.Prepare(verify.Trust{TrustRoots: []verify.TrustRoot{{Name: "acme", Keyless: true, Require: byDefault(), Content: []byte(bad)}}})
		if err == nil {
			survives(t, trusted, item)
		}
	}
}

func FuzzAnnotations(f *testing.F) {
	in := newInstance(f)
	trusted := in.trusting(byDefault(), in.keyInLog(in.newKey()))
	names := verify.Annotations()
	good := in.of(sig, in.leaf(workflow)).item(f)
	f.Add(good.Annotations[names[0]], good.Annotations[names[1]], good.Annotations[names[2]], good.Annotations[names[3]])
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		item := good
		item.Annotations = map[string]string{names[0]: a, names[1]: b, names[2]: c, names[3]: d}
		survives(t, trusted, item)
	})
}
