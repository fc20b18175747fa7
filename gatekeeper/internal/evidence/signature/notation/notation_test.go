package notation_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/notaryproject/notation-core-go/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

func sum(c *x509.Certificate) string {
	s := sha256.Sum256(c.Raw)
	return hex.EncodeToString(s[:])
}

func keySum(c *x509.Certificate) string {
	s := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(s[:])
}

// forms are the two kinds of envelope.
func forms() map[string]string {
	return map[string]string{"JWS": notation.MediaTypeJWS, "COSE": notation.MediaTypeCOSE}
}

func TestVerifyGood(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	leaf := ca.signer()
	expires := ca.now.Add(day).UTC()
	for name, mediaType := range forms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			envelope := sign(t, signing{
				mediaType: mediaType, leaf: leaf, chain: []*x509.Certificate{ca.root.cert},
				request: func(r *signature.SignRequest) {
					r.SigningTime, r.Expiry = ca.now, expires
					r.ExtendedSignedAttributes = []signature.Attribute{{Key: "com.example.note", Value: "x"}}
				},
			})
			got, err := verifierOf(t, trusting(ca), nil).Verify(t.Context(), envelope, mediaType, subject(), ca.now)
			if err != nil {
				t.Fatal(err)
			}
			want := notation.Signer{
				Subject: leaf.cert.Subject.String(), Fingerprint: sum(leaf.cert), Key: keySum(leaf.cert), Root: sum(ca.root.cert),
				SignedAt: ca.now, Expires: expires,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The refusals, each for both envelopes.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "root"), newAuthority(t, "root")
	sealed := []*x509.Certificate{ca.root.cert}
	cases := map[string]struct {
		leaf    func(*x509.Certificate)
		other   bool // signed under another root
		request func(*signature.SignRequest)
		subject func(*gatekeeper.Descriptor)
		trust   func(*notation.Trust)
		later   time.Duration
		want    error
		text    string
	}{
		"another root": {other: true, want: notation.ErrUnknownSigner, text: "does not contain any trusted certificate"},
		"another organization": {
			leaf: func(c *x509.Certificate) { c.Subject.Organization = []string{"evil"} },
			want: notation.ErrUnknownSigner, text: "none of the trusted identities",
		},
		"the organization twice": {
			leaf: func(c *x509.Certificate) { c.Subject.Organization = []string{"acme, inc", "evil"} },
			want: notation.ErrUnknownSigner, text: "none of the trusted identities",
		},
		"the organization twice, one after the other": {
			leaf: func(c *x509.Certificate) {
				c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "acme, inc"}}
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "acme, inc"})
			},
			want: notation.ErrUnknownSigner, text: "none of the trusted identities",
		},
		"a signing authority": {
			request: func(r *signature.SignRequest) { r.SigningScheme = signature.SigningSchemeX509SigningAuthority },
			want:    notation.ErrUnknownSigner, text: "signingAuthority",
		},
		"wrong digest": {
			subject: func(d *gatekeeper.Descriptor) { d.Digest = "sha256:" + strings.Repeat("b", 64) },
			want:    notation.ErrInvalid, text: "signed was",
		},
		"wrong size": {
			subject: func(d *gatekeeper.Descriptor) { d.Size++ },
			want:    notation.ErrInvalid, text: "signed were 528 bytes",
		},
		"wrong media type": {
			subject: func(d *gatekeeper.Descriptor) { d.MediaType = "application/vnd.oci.image.index.v1+json" },
			want:    notation.ErrInvalid, text: "signed was a",
		},
		"incomplete subject": {
			subject: func(d *gatekeeper.Descriptor) { d.MediaType = "" },
			want:    notation.ErrUndecided, text: "not complete",
		},
		"expired signature": {
			request: func(r *signature.SignRequest) { r.Expiry = time.Now().Add(time.Minute) }, later: time.Hour,
			want: notation.ErrInvalid, text: "the signature expired",
		},
		"expired certificate": {later: 366 * day, want: notation.ErrInvalid, text: "is valid from"},
		"certificate not yet valid": {
			leaf: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-2 * time.Hour) }, later: -3 * time.Hour,
			want: notation.ErrInvalid, text: "is valid from",
		},
		"no time stamp though authorities are trusted": {
			trust: func(t *notation.Trust) { t.TimestampRoots = t.Roots },
			want:  notation.ErrInvalid, text: "there is none",
		},
		"verification plugin": {
			request: func(r *signature.SignRequest) {
				r.ExtendedSignedAttributes = []signature.Attribute{{Key: "io.cncf.notary.verificationPlugin", Critical: true, Value: "evil"}}
			},
			want: notation.ErrInvalid, text: `verification plugin "evil"`,
		},
		"verification plugin, not critical": {
			request: func(r *signature.SignRequest) {
				r.ExtendedSignedAttributes = []signature.Attribute{{Key: "io.cncf.notary.verificationPlugin", Value: "evil"}}
			},
			want: notation.ErrInvalid, text: `verification plugin "evil"`,
		},
		"unknown critical attribute": {
			request: func(r *signature.SignRequest) {
				r.ExtendedSignedAttributes = []signature.Attribute{{Key: "com.example.must", Critical: true, Value: "x"}}
			},
			want: notation.ErrInvalid, text: "com.example.must",
		},
		"too many attributes": {
			request: func(r *signature.SignRequest) {
				for i := range 40 {
					r.ExtendedSignedAttributes = append(r.ExtendedSignedAttributes, signature.Attribute{Key: fmt.Sprintf("a%d", i), Value: "x"})
				}
			},
			want: notation.ErrInvalid, text: "the limit is",
		},
		"another payload type": {
			request: func(r *signature.SignRequest) { r.Payload.ContentType = "application/json" },
			want:    notation.ErrMalformed, text: "application/json",
		},
		"a payload without a target": {
			request: func(r *signature.SignRequest) { r.Payload.Content = []byte(`{"a":1}`) },
			want:    notation.ErrMalformed, text: "no targetArtifact",
		},
		"an unknown critical extension": {
			leaf: func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
			},
			want: notation.ErrInvalid, text: "unhandled critical extension",
		},
	}
	for name, c := range cases {
		for form, mediaType := range forms() {
			t.Run(name+"/"+form, func(t *testing.T) {
				t.Parallel()
				issuer, chain := ca, sealed
				if c.other {
					issuer, chain = other, []*x509.Certificate{other.root.cert}
				}
				var change []func(*x509.Certificate)
				if c.leaf != nil {
					change = append(change, c.leaf)
				}
				envelope := sign(t, signing{mediaType: mediaType, leaf: issuer.signer(change...), chain: chain, request: c.request})
				about, trust := subject(), trusting(ca)
				if c.subject != nil {
					c.subject(&about)
				}
				if c.trust != nil {
					c.trust(&trust)
				}
				_, err := verifierOf(t, trust, nil).Verify(t.Context(), envelope, mediaType, about, ca.now.Add(c.later))
				wantError(t, err, c.want, c.text)
			})
		}
	}
}

// wantError also checks that an error is of one kind only, and short.
func wantError(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), text) {
		t.Fatalf("got %v; want %v with %q", err, want, text)
	}
	kinds := 0
	for _, kind := range []error{notation.ErrMalformed, notation.ErrInvalid, notation.ErrUnknownSigner, notation.ErrUndecided} {
		if errors.Is(err, kind) {
			kinds++
		}
	}
	if kinds != 1 || utf8.RuneCountInString(err.Error()) > 301 {
		t.Errorf("%d kinds in %q", kinds, err)
	}
}

func TestVerifyTampered(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	leaf := ca.signer()
	chain := []*x509.Certificate{ca.root.cert}
	jws := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: leaf, chain: chain})
	cose := sign(t, signing{mediaType: notation.MediaTypeCOSE, leaf: leaf, chain: chain})
	digest := []byte(subject().Digest)
	forged := append([]byte("sha256:"), bytes.Repeat([]byte("b"), 64)...)
	about := gatekeeper.Descriptor{MediaType: subject().MediaType, Digest: string(forged), Size: subject().Size}
	jwsWith := func(change func(map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(jws, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := func(m map[string]any) map[string]any {
		h, ok := m["header"].(map[string]any)
		if !ok {
			t.Fatal("no header")
		}
		return h
	}
	many := make([]any, 11)
	for i := range many {
		many[i] = ca.root.cert.Raw
	}
	cases := map[string]struct {
		envelope  []byte
		mediaType string
		want      error
		text      string
	}{
		"JWS, another payload": {
			jwsWith(func(m map[string]any) { m["payload"] = encode(payloadOf(about)) }), notation.MediaTypeJWS, notation.ErrInvalid, "signature is invalid",
		},
		"JWS, payload no JSON": {
			jwsWith(func(m map[string]any) { m["payload"] = encode([]byte("nope")) }), notation.MediaTypeJWS, notation.ErrMalformed, "the payload",
		},
		"JWS, payload with a key twice": {
			jwsWith(func(m map[string]any) { m["payload"] = encode([]byte(`{"a":1,"A":2}`)) }), notation.MediaTypeJWS, notation.ErrMalformed, "twice",
		},
		"JWS, no algorithm": {
			jwsWith(func(m map[string]any) {
				m["protected"] = encode([]byte(`{"alg":"none","crit":["io.cncf.notary.signingScheme"],"io.cncf.notary.signingScheme":"notary.x509"}`))
				m["signature"] = ""
			}), notation.MediaTypeJWS, notation.ErrInvalid, "signing method none",
		},
		"JWS, no chain":       {jwsWith(func(m map[string]any) { header(m)["x5c"] = []any{} }), notation.MediaTypeJWS, notation.ErrInvalid, "a chain of 0"},
		"JWS, long chain":     {jwsWith(func(m map[string]any) { header(m)["x5c"] = many }), notation.MediaTypeJWS, notation.ErrInvalid, "a chain of 11"},
		"JWS, chain of noise": {jwsWith(func(m map[string]any) { header(m)["x5c"] = []any{[]byte("noise")} }), notation.MediaTypeJWS, notation.ErrMalformed, "certificate 1"},
		"JWS, chain out of order": {
			jwsWith(func(m map[string]any) { header(m)["x5c"] = []any{leaf.cert.Raw, leaf.cert.Raw, ca.root.cert.Raw} }), notation.MediaTypeJWS, notation.ErrInvalid, "not issued by",
		},
		"JWS, chain without its root": {jwsWith(func(m map[string]any) { header(m)["x5c"] = []any{leaf.cert.Raw} }), notation.MediaTypeJWS, notation.ErrInvalid, "self-signed"},
		"JWS, two values":             {append(bytes.Clone(jws), jws...), notation.MediaTypeJWS, notation.ErrMalformed, "follows"},
		"JWS, truncated":              {jws[:len(jws)-1], notation.MediaTypeJWS, notation.ErrMalformed, "EOF"},
		"JWS as COSE":                 {jws, notation.MediaTypeCOSE, notation.ErrMalformed, "the envelope"},
		"COSE, another payload":       {bytes.Replace(cose, digest, forged, 1), notation.MediaTypeCOSE, notation.ErrInvalid, "verification error"},
		"COSE, truncated":             {cose[:len(cose)-1], notation.MediaTypeCOSE, notation.ErrMalformed, "EOF"},
		"COSE, something follows":     {append(bytes.Clone(cose), 0), notation.MediaTypeCOSE, notation.ErrMalformed, "extraneous"},
		"COSE, payload no JSON": {
			sign(t, signing{mediaType: notation.MediaTypeCOSE, leaf: leaf, chain: chain, request: func(r *signature.SignRequest) { r.Payload.Content = []byte("nope") }}),
			notation.MediaTypeCOSE, notation.ErrMalformed, "the payload",
		},
		"COSE as JWS":        {cose, notation.MediaTypeJWS, notation.ErrMalformed, "invalid character"},
		"empty":              {nil, notation.MediaTypeJWS, notation.ErrMalformed, "EOF"},
		"empty COSE":         {nil, notation.MediaTypeCOSE, notation.ErrMalformed, "the envelope"},
		"null":               {[]byte("null"), notation.MediaTypeJWS, notation.ErrMalformed, "the protected header"},
		"unknown media type": {jws, "application/octet-stream", notation.ErrMalformed, "unknown media type"},
		"too large":          {append(bytes.Repeat([]byte(" "), notation.MaxEnvelope), jws...), notation.MediaTypeJWS, notation.ErrMalformed, "the limit is"},
		"too deep":           {[]byte(strings.Repeat("[", 100_000)), notation.MediaTypeJWS, notation.ErrMalformed, "nested deeper"},
		"too deep COSE":      {append([]byte{0xd2}, bytes.Repeat([]byte{0x81}, 100_000)...), notation.MediaTypeCOSE, notation.ErrMalformed, "the envelope"},
	}
	v := verifierOf(t, trusting(ca), nil)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, d := range []gatekeeper.Descriptor{subject(), about} {
				_, err := v.Verify(t.Context(), c.envelope, c.mediaType, d, ca.now)
				wantError(t, err, c.want, c.text)
			}
		})
	}
}

// Whatever is cut off, an envelope never verifies and never crashes.
func TestVerifyTruncatedAnywhere(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	leaf := ca.signer()
	v := verifierOf(t, trusting(ca), nil)
	for name, mediaType := range forms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			envelope := sign(t, signing{mediaType: mediaType, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}})
			for i := range envelope {
				_, err := v.Verify(t.Context(), envelope[:i], mediaType, subject(), ca.now)
				wantError(t, err, notation.ErrMalformed, "")
			}
		})
	}
}

// A chain through an intermediate; trust may also end at the intermediate.
func TestVerifyIntermediate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	template := ca.template(pkix.Name{CommonName: "middle", Organization: []string{"root"}})
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	middle := ca.issue(template, ca.root)
	leaf := ca.issue(ca.template(acme()), middle)
	chain := []*x509.Certificate{middle.cert, ca.root.cert}
	envelope := sign(t, signing{mediaType: notation.MediaTypeCOSE, leaf: leaf, chain: chain})
	for _, root := range chain {
		trust := notation.Trust{Roots: []*x509.Certificate{root}, Identities: []string{"*"}}
		got, err := verifierOf(t, trust, nil).Verify(t.Context(), envelope, notation.MediaTypeCOSE, subject(), ca.now)
		if err != nil || got.Root != sum(root) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestVerifyTimestamp(t *testing.T) {
	t.Parallel()
	ca, clocks, others := newAuthority(t, "root"), newAuthority(t, "clocks"), newAuthority(t, "clocks")
	chain := []*x509.Certificate{ca.root.cert}
	expired := ca.signer(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ca.now.Add(-300*day), ca.now.Add(-100*day) })
	during, after := ca.now.Add(-200*day), ca.now.Add(-50*day)
	atTheEdge := expired.cert.NotAfter // within, but not by its accuracy of a second
	revocable := newStamper(clocks, during, func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example"} })
	cases := map[string]struct {
		stamper    *stamper
		untrusted  bool
		revocation notation.Revocation
		want       error
		text       string
	}{
		"stamped while valid":            {stamper: newStamper(clocks, during)},
		"stamped after it expired":       {stamper: newStamper(clocks, after), want: notation.ErrInvalid, text: "is valid from"},
		"stamped at the last second":     {stamper: newStamper(clocks, atTheEdge), want: notation.ErrInvalid, text: "is valid from"},
		"stamped by somebody else":       {stamper: newStamper(others, during), want: notation.ErrInvalid, text: "the time stamp"},
		"not stamped":                    {want: notation.ErrInvalid, text: "there is none"},
		"stamped, nobody trusted for it": {stamper: newStamper(clocks, during), untrusted: true, want: notation.ErrInvalid, text: "is valid from"},
		"authority good":                 {stamper: revocable, revocation: list{}},
		"authority revoked":              {stamper: revocable, revocation: list{revoked: revocable.cert}, want: notation.ErrInvalid, text: "is revoked"},
		"authority cannot be asked":      {stamper: revocable, want: notation.ErrUndecided, text: "is revoked"},
	}
	for name, c := range cases {
		for form, mediaType := range forms() {
			t.Run(name+"/"+form, func(t *testing.T) {
				t.Parallel()
				envelope := sign(t, signing{mediaType: mediaType, leaf: expired, chain: chain, request: func(r *signature.SignRequest) {
					r.SigningTime = during
					if c.stamper != nil {
						c.stamper.stamped(r)
					}
				}})
				trust := trusting(ca)
				if !c.untrusted {
					trust.TimestampRoots = []*x509.Certificate{clocks.root.cert}
				}
				got, err := verifierOf(t, trust, c.revocation).Verify(t.Context(), envelope, mediaType, subject(), ca.now)
				if c.want != nil {
					wantError(t, err, c.want, c.text)
				} else if err != nil || !got.Timestamp.Equal(during) {
					t.Fatalf("got %+v, %v", got, err)
				}
			})
		}
	}
}

// A time stamp belongs to one signature.
func TestVerifyTimestampMoved(t *testing.T) {
	t.Parallel()
	ca, clocks := newAuthority(t, "root"), newAuthority(t, "clocks")
	leaf := ca.signer()
	s := newStamper(clocks, ca.now.Add(-day))
	signed := func() map[string]json.RawMessage {
		envelope := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}, request: s.stamped})
		var m map[string]json.RawMessage
		if err := json.Unmarshal(envelope, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	first, second := signed(), signed()
	first["header"] = second["header"]
	moved, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	trust := trusting(ca)
	trust.TimestampRoots = []*x509.Certificate{clocks.root.cert}
	_, err = verifierOf(t, trust, nil).Verify(t.Context(), moved, notation.MediaTypeJWS, subject(), ca.now)
	wantError(t, err, notation.ErrInvalid, "mismatched message")
}

func TestVerifyRevocation(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	extension := func(id asn1.ObjectIdentifier, value []byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Value: value})
		}
	}
	// The full name is a directory's entry: Go lists no URL for it.
	directory := []byte{0x30, 0x0c, 0x30, 0x0a, 0xa0, 0x08, 0xa0, 0x06, 0xa4, 0x04, 0x30, 0x02, 0x31, 0x00}
	cases := map[string]func(*x509.Certificate){
		"OCSP":                       func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example"} },
		"CRL":                        func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example"} },
		"CRL in a directory":         extension(asn1.ObjectIdentifier{2, 5, 29, 31}, directory),
		"delta CRL":                  extension(asn1.ObjectIdentifier{2, 5, 29, 46}, directory),
		"OCSP responder by its name": extension(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}, []byte{0x30, 0x10, 0x30, 0x0e, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0xa4, 0x02, 0x30, 0x00}),
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf := ca.signer(change)
			envelope := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}})
			verify := func(r notation.Revocation) error {
				_, err := verifierOf(t, trusting(ca), r).Verify(t.Context(), envelope, notation.MediaTypeJWS, subject(), ca.now)
				return err
			}
			wantError(t, verify(nil), notation.ErrUndecided, "cannot be asked")
			wantError(t, verify(list{fail: errors.New("no route")}), notation.ErrUndecided, "no route")
			wantError(t, verify(list{revoked: leaf.cert}), notation.ErrInvalid, "is revoked")
			asked := 0
			if err := verify(list{asked: &asked}); err != nil || asked != 1 {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	root := []*x509.Certificate{ca.root.cert}
	leaf := []*x509.Certificate{ca.signer().cert}
	good := []string{"x509.subject: C=US, ST=WA, O=acme"}
	cases := map[string]struct {
		trust notation.Trust
		text  string
	}{
		"good":                    {notation.Trust{Roots: root, Identities: good}, ""},
		"anyone":                  {notation.Trust{Roots: root, Identities: []string{"*"}}, ""},
		"the zero value":          {notation.Trust{}, "no root"},
		"no identity":             {notation.Trust{Roots: root}, "no trusted identity"},
		"nil":                     {notation.Trust{Roots: []*x509.Certificate{nil}, Identities: good}, "root 1"},
		"a leaf as root":          {notation.Trust{Roots: leaf, Identities: good}, "root 1"},
		"a leaf as time root":     {notation.Trust{Roots: root, TimestampRoots: leaf, Identities: good}, "time stamp root 1"},
		"anyone and somebody":     {notation.Trust{Roots: root, Identities: append([]string{"*"}, good...)}, "only one"},
		"too many":                {notation.Trust{Roots: root, Identities: make([]string, 101)}, "101"},
		"another kind":            {notation.Trust{Roots: root, Identities: []string{"did:web:acme"}}, "does not begin"},
		"without organization":    {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA"}}, "must be there"},
		"twice":                   {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, S=OR, O=acme"}}, "twice"},
		"several values":          {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O=a+OU=b"}}, "escaped"},
		"unknown attribute":       {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O=a, 2.5.4.3=b"}}, "not supported"},
		"no value":                {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O="}}, "empty"},
		"ends with a comma":       {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O=a,"}}, "without a value"},
		"empty name":              {notation.Trust{Roots: root, Identities: []string{"x509.subject:"}}, "without a value"},
		"backslash at the end":    {notation.Trust{Roots: root, Identities: []string{`x509.subject: C=US, ST=WA, O=a\`}}, "backslash"},
		"star with something":     {notation.Trust{Roots: root, Identities: []string{"*.acme"}}, "does not begin"},
		"identities too long":     {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O=" + strings.Repeat("a", 1024)}}, "1024"},
		"a value in another form": {notation.Trust{Roots: root, Identities: []string{"x509.subject: C=US, ST=WA, O=#0401"}}, "encoded values"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := notation.New(c.trust, nil)
			if (c.text == "") != (err == nil) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("got %v; want %q", err, c.text)
			}
		})
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	name := pkix.Name{
		Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{` a,b=c"+ `}, Locality: []string{"Zürich"},
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b.example"}},
	}
	leaf := ca.issue(ca.template(name), ca.root)
	envelope := sign(t, signing{mediaType: notation.MediaTypeCOSE, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}})
	cases := map[string]bool{
		`x509.subject: C=US, ST=WA, O=\ a\,b\=c\"\+\ `:               true,
		`x509.subject:O=\20a\2cb=c\22\2b\20,S=WA,c=US`:               true,
		`x509.subject: C=US, ST=WA, O=\ a\,b=c\"\+\ , L=Zürich`:      true,
		`x509.subject: C=US, ST=WA, O=\ a\,b=c\"\+\ , L=Z\C3\BCrich`: true,
		`x509.subject: C=US, ST=WA, O= a\,b=c\"\+ `:                  false, // spaces at the ends do not count
		`x509.subject: C=US, ST=WA, O=\ A\,b=c\"\+\ `:                false,
		`x509.subject: C=US, ST=WA, O=\ a\,b=c\"\+\ , OU=ci`:         false,
		`x509.subject: C=US, ST=WA, O=a`:                             false,
	}
	for text, want := range cases {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			trust := notation.Trust{Roots: []*x509.Certificate{ca.root.cert}, Identities: []string{"x509.subject: C=XX, ST=YY, O=other", text}}
			_, err := verifierOf(t, trust, nil).Verify(t.Context(), envelope, notation.MediaTypeCOSE, subject(), ca.now)
			if (err == nil) != want {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The package promises to be pure; nothing that runs programs or keeps trust
// on disk may come in.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.Lines(string(out)) {
		p = strings.TrimSpace(p)
		if p == "os/exec" || p == "plugin" || strings.HasPrefix(p, "github.com/notaryproject/notation-go") || strings.HasPrefix(p, "oras.land/") {
			t.Errorf("depends on %s", p)
		}
	}
}
