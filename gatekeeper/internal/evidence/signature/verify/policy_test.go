package verify_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// notaryEntry writes a policy whose signer is one of the Notary Project.
func notaryEntry(certificates, timestamps, subject string) string {
	entry, err := json.Marshal(map[string]any{"certificates": certificates, "timestampCertificates": timestamps, "identities": []string{subject}})
	if err != nil {
		panic(err)
	}
	return `{apiVersion: gatekeeper/v1alpha1, kind: PromotionPolicy, metadata: {name: test}, spec: {from: staging, match: {repositories: ["**"]},
  promote: {to: golden, repository: x, tags: [y]}, signatures: [{name: ci, anyOf: [{notary: ` + string(entry) + `}]}]}}`
}

// lintAndPrepare says what reading a policy says, and what preparing its authorities.
func lintAndPrepare(text string) (lint, prepared error) {
	parsed, err := policyfile.Parse("test.yaml", []byte(text), nil)
	if err != nil {
		return err, nil
	}
	for _, a := range parsed[0].Authorities() {
		if _, err := verify.Prepare(verify.Trust{Notaries: []verify.Notary{{ID: a.ID, Notary: *a.Notary}}}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// selfMade makes a certificate, an authority or not, by itself or by another.
func selfMade(tb testing.TB, ca, alone bool) string {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: "one"}, BasicConstraintsValid: true, IsCA: ca,
	}
	parent := *template
	if !alone {
		parent.Subject.CommonName = "other"
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// What a policy may say, the worker can judge by: else one mistake would make
// an error of every judgement.
func TestWhatAPolicyMayNameCanBePrepared(t *testing.T) {
	t.Parallel()
	const subject = "x509.subject: C=US, ST=WA, O=acme"
	root, between := selfMade(t, true, true), selfMade(t, true, false)
	alone, leaf := selfMade(t, false, true), selfMade(t, false, false)
	for name, tt := range map[string]struct {
		certificates, timestamps, subject string
		refused                           string // nothing: read, and prepared
	}{
		"a root":                           {root, "", subject, ""},
		"an intermediate authority":        {between, "", subject, ""},
		"a self-signed signer":             {alone, "", subject, ""},
		"100 certificates":                 {strings.Repeat(root, 100), root, subject, ""},
		"101 certificates":                 {strings.Repeat(root, 101), "", subject, "more than 100"},
		"a signer's certificate":           {root + leaf, "", subject, "certificate 2 is neither"},
		"a timestamp authority":            {root, root, subject, ""},
		"an intermediate for timestamps":   {root, between, subject, "no root authority"},
		"a self-signed one for timestamps": {root, alone, subject, "no root authority"},
		"all attributes":                   {root, "", "x509.subject:CN=a,serialNumber=1,C=US,L=x,S=WA,street=y,O=acme,OU=z,postalCode=7", ""},
		"a comma":                          {root, "", `x509.subject: C=US, ST=WA, O=acme\, inc`, ""},
		"a comma in hexadecimal":           {root, "", `x509.subject: C=US, ST=WA, O=acme\2c inc`, ""},
		"an equals sign":                   {root, "", `x509.subject: C=US, ST=WA, O=a=b`, ""},
		"DC":                               {root, "", subject + ", DC=com", `"DC" is no attribute`},
		"EMAILADDRESS":                     {root, "", subject + ", EMAILADDRESS=a@b", `"EMAILADDRESS" is no attribute`},
		"an identifier":                    {root, "", subject + ", 2.5.4.3=a", "is no attribute"},
		"two attributes in one":            {root, "", subject + ", OU=a+CN=b", "several attributes"},
		"an encoded value":                 {root, "", subject + ", CN=#0403616263", "hexadecimal"},
		"a quoted value":                   {root, "", `x509.subject: C=US, ST=WA, O="acme"`, "backslash"},
		"semicolons":                       {root, "", `x509.subject: C=US; ST=WA; O=acme`, "backslash"},
		"a bare comma":                     {root, "", `x509.subject: C=US, ST=WA, O=acme, inc`, "without a value"},
		"a comma at the end":               {root, "", subject + ",", "without a value"},
		"an empty value":                   {root, "", `x509.subject: C=US, ST= , O=acme`, "empty"},
		"a lone backslash":                 {root, "", subject + `\`, "escapes nothing"},
		"a backslash before a letter":      {root, "", subject + `\x`, "escapes nothing"},
		"twice":                            {root, "", subject + ", o=acme", "there twice"},
		"no state":                         {root, "", "x509.subject: C=US, O=acme", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lint, prepared := lintAndPrepare(notaryEntry(tt.certificates, tt.timestamps, tt.subject))
			if tt.refused == "" && lint != nil || tt.refused != "" && (lint == nil || !strings.Contains(lint.Error(), tt.refused)) {
				t.Errorf("read with %v, want %q", lint, tt.refused)
			}
			if prepared != nil {
				t.Errorf("read, but cannot be prepared: %v", prepared)
			}
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"CN", "DC", "OU", "=", "=", ",", ", ", "+", "#", `"`, ";", `\`, `\,`, `\2c`, "a", " ", "é", "\x00", "<"}), 0, 10).Draw(rt, "more")
		text := subject + rapid.SampledFrom([]string{"", ", "}).Draw(rt, "comma") + strings.Join(parts, "")
		if _, prepared := lintAndPrepare(notaryEntry(root, "", text)); prepared != nil {
			rt.Errorf("%q is read, but cannot be prepared: %v", text, prepared)
		}
	})
}

// A key that a policy may name is one that signatures can be verified with.
func TestKeysThatAPolicyMayNameCanBePrepared(t *testing.T) {
	t.Parallel()
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	factors, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  crypto.PublicKey
		good bool
	}{
		"X25519": {exchange.Public(), false}, "Ed25519": {edwards, true}, "ECDSA": {curve.Public(), true}, "RSA": {factors.Public(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			der, err := x509.MarshalPKIXPublicKey(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			a, err := policy.NewAuthority(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			if (err == nil) != tt.good {
				t.Errorf("%v, want %v", err, tt.good)
			}
			if err != nil {
				return
			}
			if _, err := verify.Prepare(verify.Trust{Keys: []verify.Key{{ID: a.ID, PublicKey: a.PublicKey}}}); err != nil {
				t.Errorf("read, but cannot be prepared: %v", err)
			}
		})
	}
}
