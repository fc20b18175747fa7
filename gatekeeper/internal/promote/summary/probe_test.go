package summary_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
)

// scheme signs another way than the gatekeeper verifies, as a key in a service
// does that was made for something else.
type scheme struct {
	*keys.Signer
	sign func(data []byte) ([]byte, error)
}

func (s scheme) SignData(_ context.Context, data []byte) (sig, signed []byte, err error) {
	sig, err = s.sign(data)
	return sig, data, err
}

func load(t *testing.T, private crypto.PrivateKey) *keys.Signer {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := keys.Load(t.Context(), keys.Reference{Key: file})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func made[K any](t *testing.T) func(K, error) K {
	t.Helper()
	return func(key K, err error) K {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}

func TestAKeyIsTriedBeforeItIsNeeded(t *testing.T) {
	t.Parallel()
	p384 := made[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	bits := made[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sha512Sum := func(data []byte) []byte { sum := sha512.Sum512(data); return sum[:] }
	for name, tt := range map[string]struct {
		key crypto.PrivateKey
		as  func(data []byte) ([]byte, error) // nil: as it should
	}{
		"P-384 over SHA-256": {p384, nil},
		"RSA":                {bits, nil},
		"Ed25519":            {edwards, nil},
		"P-384 over SHA-512": {p384, func(data []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, p384, sha512Sum(data)) }},
		"RSA with PSS": {bits, func(data []byte) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, bits, crypto.SHA512, sha512Sum(data), nil)
		}},
		"Ed25519 over a hash": {edwards, func(data []byte) ([]byte, error) {
			return edwards.Sign(nil, sha512Sum(data), &ed25519.Options{Hash: crypto.SHA512})
		}},
		"a service that fails": {edwards, func([]byte) ([]byte, error) { return nil, errors.New("no answer") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := load(t, tt.key)
			trust, err := summary.NewTrust([][]byte{key.PublicKeyPEM()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := summary.KeySigner{Key: key}
			if tt.as != nil {
				s.Key = scheme{key, tt.as}
			}
			err = summary.Probe(t.Context(), s, trust)
			if (err == nil) != (tt.as == nil) || err != nil && !strings.Contains(err.Error(), "signing.key") {
				t.Errorf("%v", err)
			}
		})
	}
}
