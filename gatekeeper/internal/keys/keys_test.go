package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
)

func file(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What is signed verifies with the public key that the signer names.
func verifies(t *testing.T, s *keys.Signer) {
	t.Helper()
	sig, signed, err := s.SignData(t.Context(), []byte("a summary"))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pem.Decode(s.PublicKeyPEM())
	public, err := x509.ParsePKIXPublicKey(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(sig), strings.NewReader("a summary")); err != nil {
		t.Errorf("verify: %v", err)
	}
	if verifier.VerifySignature(bytes.NewReader(sig), strings.NewReader("another summary")) == nil {
		t.Error("the signature holds for anything")
	}
	sum := sha256.Sum256([]byte("a summary"))
	if _, pure := public.(ed25519.PublicKey); !pure && !bytes.Equal(signed, sum[:]) {
		t.Errorf("signed %x, want the SHA-256", signed)
	}
}

func TestKeyFilesThatSign(t *testing.T) {
	t.Parallel()
	pair, err := cosignkey.Generate([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	p256, p384 := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P384())
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := encrypted.Encrypt(pkcs8(t, p256), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRSA(t, 2048)
	for name, text := range map[string][]byte{
		"cosign":                        pair.Private,
		"an older cosign":               block("ENCRYPTED COSIGN PRIVATE KEY", old),
		"PKCS #8, P-256":                block("PRIVATE KEY", pkcs8(t, p256)),
		"PKCS #8, P-384":                block("PRIVATE KEY", pkcs8(t, p384)),
		"PKCS #8, Ed25519":              block("PRIVATE KEY", pkcs8(t, ed)),
		"SEC 1":                         block("EC PRIVATE KEY", sec1),
		"openssl ecparam":               append(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}), block("EC PRIVATE KEY", sec1)...),
		"PKCS #1":                       block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)),
		"with an empty line at the end": append(block("PRIVATE KEY", pkcs8(t, p256)), '\n', '\n'),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := keys.Load(t.Context(), keys.Reference{Key: file(t, text), Password: []byte("secret")})
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, s)
		})
	}
}

func TestKeyFilesThatDoNot(t *testing.T) {
	t.Parallel()
	pair, err := cosignkey.Generate([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	p256 := block("PRIVATE KEY", pkcs8(t, newECDSA(t, elliptic.P256())))
	for name, c := range map[string]struct {
		text     []byte
		password string
		want     string
	}{
		"the wrong password": {pair.Private, "guess", "password"},
		"a public key":       {pair.Public, "", "public key"},
		"two keys":           {append(bytes.Clone(p256), p256...), "", "more than one"},
		"no PEM":             {[]byte("secret"), "", "no PEM block"},
		"a certificate":      {block("CERTIFICATE", []byte("x")), "", "CERTIFICATE"},
		"torn":               {block("PRIVATE KEY", []byte("x")), "", "asn1"},
		"a short RSA key":    {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(newRSA(t, 1024))), "", "1024 bits"},
		"endless":            {bytes.Repeat([]byte("x"), 1<<17), "", "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := keys.Load(t.Context(), keys.Reference{Key: file(t, c.text), Password: []byte(c.password)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := keys.Load(t.Context(), keys.Reference{Key: filepath.Join(t.TempDir(), "absent")}); err == nil {
		t.Error("an absent file was loaded")
	}
}

// vault is the part of HashiCorp Vault's transit engine that signing needs.
func vault(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, data any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"data": data}); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/transit/keys/golden", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"latest_version": 1, "keys": map[string]any{"1": map[string]any{"name": "P-256", "public_key": string(block("PUBLIC KEY", der))}},
		})
	})
	mux.HandleFunc("PUT /v1/transit/sign/golden/sha2-256", func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Input     []byte `json:"input"`
			Prehashed bool   `json:"prehashed"`
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || !body.Prehashed || len(body.Input) != sha256.Size {
			t.Errorf("asked to sign %+v (%v)", body, err)
		}
		sig, err := ecdsa.SignASN1(rand.Reader, key, body.Input)
		if err != nil {
			t.Error(err)
		}
		answer(w, map[string]any{"signature": "vault:v1:" + base64.StdEncoding.EncodeToString(sig)})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Vault-Token") != "token-of-the-test" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestVaultSigns(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	t.Setenv("VAULT_ADDR", vault(t, key))
	t.Setenv("VAULT_TOKEN", "token-of-the-test")
	s, err := keys.Load(t.Context(), keys.Reference{Key: "hashivault://golden"})
	if err != nil {
		t.Fatal(err)
	}
	verifies(t, s)
	text, err := keys.PublicKeyPEM(t.Context(), "hashivault://golden")
	if err != nil || !bytes.Equal(text, s.PublicKeyPEM()) {
		t.Errorf("public key %s, %v", text, err)
	}
	if _, err := keys.PublicKeyPEM(t.Context(), "hashivault://absent"); err == nil {
		t.Error("an absent key was read")
	}
	t.Setenv("VAULT_TOKEN", "")
	t.Setenv("BAO_TOKEN", "")
	if _, err := keys.PublicKeyPEM(t.Context(), "hashivault://golden"); err == nil || !strings.Contains(err.Error(), "VAULT_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
}

// The library runs the program sigstore-kms-SCHEME for a scheme it does not
// know; nothing that a configuration or a policy names may get that far.
func TestUnknownSchemesRunNothing(t *testing.T) {
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	script := "#!/bin/sh\ntouch " + ran + "\n"
	if err := os.WriteFile(filepath.Join(dir, "sigstore-kms-evil"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, uri := range []string{"evil://key", "openbao://golden", "HASHIVAULT://golden", " evil://key"} {
		if keys.IsKMS(uri) {
			t.Errorf("%q is taken for a known service", uri)
		}
		if _, err := keys.PublicKeyPEM(t.Context(), uri); err == nil || !strings.Contains(err.Error(), "hashivault://") {
			t.Errorf("%q: %v", uri, err)
		}
		if _, err := keys.Load(t.Context(), keys.Reference{Key: uri}); err == nil {
			t.Errorf("%q was loaded", uri)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program was run")
	}
}
