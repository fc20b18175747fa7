package notation_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

// A trust policy below "strict" lets an attacker roll back to an image whose
// signature has expired or whose signer was revoked. No Trust can ask for it.
func TestAttack_CVE_2024_23332(t *testing.T) {
	t.Parallel()
	var fields []string
	for f := range reflect.TypeFor[notation.Trust]().Fields() {
		fields = append(fields, f.Name)
	}
	if want := []string{"Roots", "TimestampRoots", "Identities"}; !slices.Equal(fields, want) {
		t.Errorf("Trust has the fields %v; one that relaxes the verification must not be among them", fields)
	}
	ca, clocks := newAuthority(t, "root"), newAuthority(t, "clocks")
	chain := []*x509.Certificate{ca.root.cert}
	stamper := newStamper(clocks, ca.now.Add(-time.Hour))
	old := func(r *signature.SignRequest) {
		stamper.stamped(r)
		r.Expiry = ca.now.Add(-time.Minute)
	}
	revoked := ca.signer(func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example"} })
	for _, identities := range [][]string{{"*"}, trusting(ca).Identities} {
		for _, times := range [][]*x509.Certificate{nil, {clocks.root.cert}} {
			trust := notation.Trust{Roots: chain, TimestampRoots: times, Identities: identities}
			for _, mediaType := range forms() {
				expired := sign(t, signing{mediaType: mediaType, leaf: ca.signer(), chain: chain, request: old})
				_, err := verifierOf(t, trust, nil).Verify(t.Context(), expired, mediaType, subject(), ca.now)
				wantError(t, err, notation.ErrInvalid, "the signature expired")
				withdrawn := sign(t, signing{mediaType: mediaType, leaf: revoked, chain: chain, request: stamper.stamped})
				_, err = verifierOf(t, trust, list{revoked: revoked.cert}).Verify(t.Context(), withdrawn, mediaType, subject(), ca.now)
				wantError(t, err, notation.ErrInvalid, "is revoked")
			}
		}
	}
}

// A cache of revocation lists that cannot be written made sound signatures
// fail. Here is no cache: the answer is the same without any writable folder,
// and nothing is written.
func TestAttack_CVE_2024_51491(t *testing.T) {
	home := t.TempDir()
	blocked := filepath.Join(home, "file")
	if err := os.WriteFile(blocked, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR", "NOTATION_CACHE"} {
		t.Setenv(name, filepath.Join(blocked, "below"))
	}
	ca := newAuthority(t, "root")
	leaf := ca.signer(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://127.0.0.1:1/crl"} })
	envelope := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}})
	for range 2 {
		if _, err := verifierOf(t, trusting(ca), list{}).Verify(t.Context(), envelope, notation.MediaTypeJWS, subject(), ca.now); err != nil {
			t.Error(err)
		}
		_, err := verifierOf(t, trusting(ca), nil).Verify(t.Context(), envelope, notation.MediaTypeJWS, subject(), ca.now)
		wantError(t, err, notation.ErrUndecided, "cannot be asked")
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: something was written", entries, err)
	}
}

// The revocation of a time stamp authority was not looked at. A known
// revocation decides although another certificate's is not known.
func TestAttack_CVE_2024_56138(t *testing.T) {
	t.Parallel()
	ca, clocks := newAuthority(t, "root"), newAuthority(t, "clocks")
	stamper := newStamper(clocks, ca.now.Add(-time.Hour), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example"} })
	leaf := ca.signer(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example"} })
	envelope := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}, request: stamper.stamped})
	trust := trusting(ca)
	trust.TimestampRoots = []*x509.Certificate{clocks.root.cert}
	_, err := verifierOf(t, trust, list{revoked: stamper.cert, fail: errors.New("no route")}).Verify(t.Context(), envelope, notation.MediaTypeJWS, subject(), ca.now)
	wantError(t, err, notation.ErrInvalid, "is revoked")
}

// A distinguished name with an encoded value made the parser allocate what the
// value's length field demands. Neither a trust nor a certificate can do so.
func TestAttack_CVE_2023_25656(t *testing.T) {
	ca := newAuthority(t, "root")
	bombs := map[string]string{
		"long length": "x509.subject: C=US, ST=WA, O=#04847fffffff",
		"at the end":  "x509.subject: C=US, ST=WA, O=acme, CN=#3084ffffffff",
		"no space":    "x509.subject:C=#0484ffffffff",
		"many":        "x509.subject: " + strings.Repeat("C=#0484ffffffff,", 1<<20),
		"escapes":     "x509.subject: C=" + strings.Repeat(`\41`, 1<<20),
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			used := allocated(func() {
				if _, err := notation.New(notation.Trust{Roots: []*x509.Certificate{ca.root.cert}, Identities: []string{bomb}}, nil); err == nil {
					t.Error("accepted")
				}
			})
			if used > 1<<20 {
				t.Errorf("%d bytes allocated", used)
			}
		})
	}
	t.Run("in a certificate", func(t *testing.T) {
		leaf := ca.signer(func(c *x509.Certificate) { c.Subject.CommonName = "#0484ffffffff" })
		envelope := sign(t, signing{mediaType: notation.MediaTypeCOSE, leaf: leaf, chain: []*x509.Certificate{ca.root.cert}})
		v := verifierOf(t, trusting(ca), nil)
		used := allocated(func() {
			if _, err := v.Verify(t.Context(), envelope, notation.MediaTypeCOSE, subject(), ca.now); err != nil {
				t.Error(err) // the name is text, and another attribute's
			}
		})
		if used > 4<<20 {
			t.Errorf("%d bytes allocated", used)
		}
	})
}

// allocated counts the bytes that a call allocates. Not for parallel tests.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whoever writes the envelope also chooses the key it is verified with. One
// of a hundred thousand bits would take seconds for each signature.
func TestAttack_HugeKey(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	n := new(big.Int).Lsh(big.NewInt(1), 100_000)
	n.Add(n, big.NewInt(1))
	template := ca.template(acme())
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root.cert, &rsa.PublicKey{N: n, E: 1<<31 - 1}, ca.root.key)
	if err != nil {
		t.Fatal(err)
	}
	envelope := sign(t, signing{mediaType: notation.MediaTypeJWS, leaf: ca.signer(), chain: []*x509.Certificate{ca.root.cert}})
	var m map[string]any
	if err := json.Unmarshal(envelope, &m); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	m["protected"] = encode([]byte(`{"alg":"PS256"}`))
	m["signature"] = encode(make([]byte, (n.BitLen()+7)/8))
	m["header"] = map[string]any{"x5c": []any{der, ca.root.cert.Raw}}
	envelope, err = json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifierOf(t, trusting(ca), nil).Verify(t.Context(), envelope, notation.MediaTypeJWS, subject(), ca.now)
	wantError(t, err, notation.ErrInvalid, "RSA key of 100001 bits")
}

// A megabyte of CBOR may stand for a million empty arrays.
func TestAttack_ManyCBORItems(t *testing.T) {
	ca := newAuthority(t, "root")
	const each = 1 << 17 // what go-cose lets one array have
	envelope := []byte{0xd2, 0x84, 0x41, 0xa0, 0xa7}
	for i := range byte(7) {
		envelope = append(envelope, 0x38, 100+i, 0x9a, 0x00, 0x02, 0x00, 0x00)
		envelope = append(envelope, bytes.Repeat([]byte{0x80}, each)...)
	}
	envelope = append(envelope, 0x41, 0x00, 0x41, 0x00)
	v := verifierOf(t, trusting(ca), nil)
	used := allocated(func() {
		_, err := v.Verify(t.Context(), envelope, notation.MediaTypeCOSE, subject(), ca.now)
		wantError(t, err, notation.ErrMalformed, "no certificate chain")
	})
	t.Logf("%d bytes of envelope, %d allocated", len(envelope), used)
	if used > 128<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}
