package policy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// NewAuthority reads a public key in PEM (PKIX). Its KeyID is the SHA-256 of
// the DER form, so that one key has one name wherever it is written.
func NewAuthority(text []byte) (Authority, error) {
	block, rest := pem.Decode(bytes.TrimSpace(text))
	switch {
	case block == nil:
		return Authority{}, errors.New("no PEM block; write a public key as cosign generate-key-pair leaves it in cosign.pub")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return Authority{}, errors.New("this is a private key; name the public key, and keep the private one away from policies")
	case len(bytes.TrimSpace(rest)) > 0:
		return Authority{}, errors.New("more than one PEM block; name one key a file")
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return Authority{}, fmt.Errorf("no public key in PKIX form: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	return Authority{
		KeyID:     "sha256:" + hex.EncodeToString(sum[:]),
		PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes}),
	}, nil
}
