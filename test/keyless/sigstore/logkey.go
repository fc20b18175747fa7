package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// transparencyLog is a Rekor with the key that signs its checkpoints.
type transparencyLog struct {
	url string
	key crypto.PublicKey
	id  []byte // SHA-256 of the key as SubjectPublicKeyInfo
}

// logKey is a log's key, in a file for its server.
type logKey struct {
	file   string
	public crypto.PublicKey
	id     []byte
}

func newLogKey(tb testing.TB) logKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("generate a log's key: %v", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("encode a log's key: %v", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatalf("encode a log's public key: %v", err)
	}
	file := filepath.Join(tb.TempDir(), "log.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		tb.Fatal(err)
	}
	id := sha256.Sum256(public)
	return logKey{file: file, public: key.Public(), id: id[:]}
}

func (k logKey) log(url string) *transparencyLog {
	return &transparencyLog{url: url, key: k.public, id: k.id}
}
