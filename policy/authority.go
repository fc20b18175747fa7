package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Authority is somebody whose signature counts: a public key, an identity in
// short-lived certificates, or a subject of the Notary Project's certificates.
// Exactly one of PublicKey, Keyless and Notary is set.
type Authority struct {
	// ID names the authority in evidence: "sha256:" and 64 hex digits. That
	// of a key is the SHA-256 of its PKIX DER form, so that one key has one
	// name wherever it is written.
	ID        string
	PublicKey []byte // PEM, PKIX
	// TrustRoot names a trust root of the configuration. With Keyless it
	// says whose certificates count; with PublicKey, in whose transparency
	// log the signature has to be (no log when empty).
	TrustRoot string
	Keyless   *Keyless
	Notary    *Notary
	// Name is what the policy calls a key: its file or its place in a key
	// management system. It is for people only.
	Name string
}

// String names the authority for people.
func (a Authority) String() string {
	switch {
	case a.Keyless != nil:
		return a.Keyless.text
	case a.Notary != nil:
		return "the Notary Project identity " + strings.Join(a.Notary.Identities, " or ")
	}
	id := a.keyID()
	text := "the key " + id[:min(len(id), len("sha256:")+12)]
	if a.Name != "" {
		text = fmt.Sprintf("the key %s (%s)", a.Name, id[:min(len(id), len("sha256:")+12)])
	}
	if a.TrustRoot != "" {
		text += ", in the log of " + a.TrustRoot
	}
	return text
}

// NewAuthority reads a public key in PEM (PKIX): ECDSA, RSA or Ed25519.
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
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Authority{}, fmt.Errorf("no public key in PKIX form: %w", err)
	}
	switch public.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
	default: // X25519 for one, which agrees on keys and signs nothing
		return Authority{}, fmt.Errorf("a key of type %T; write one of ECDSA, RSA or Ed25519", public)
	}
	return Authority{
		ID:        keyID(block.Bytes),
		PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes}),
	}, nil
}

// keyID names the authority's key, whatever is asked for beside it.
func (a Authority) keyID() string {
	if block, _ := pem.Decode(a.PublicKey); block != nil {
		return keyID(block.Bytes)
	}
	return a.ID
}

// keyID names a key by its PKIX DER form.
func keyID(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// inLogOf asks that what a key signs is in a trust root's transparency log.
func (a Authority) inLogOf(trustRoot string) Authority {
	if trustRoot != "" {
		a.ID, a.TrustRoot = idOf("key in a log", a.ID, trustRoot), trustRoot
	}
	return a
}

// idOf names an authority by what it is made of.
func idOf(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts)) // maps are written in the order of their keys
	return "sha256:" + hex.EncodeToString(sum[:])
}
