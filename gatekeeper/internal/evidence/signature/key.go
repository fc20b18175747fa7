package signature

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// key is an authority's public key, ready to verify.
type key struct {
	id       string
	verifier signature.Verifier
	material root.TrustedMaterial
}

func loadKeys(authorities []policy.Authority) ([]key, error) {
	keys := make([]key, 0, len(authorities))
	for _, a := range authorities {
		block, _ := pem.Decode(a.PublicKey)
		if block == nil {
			return nil, fmt.Errorf("key %s: no PEM block", a.ID)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", a.ID, err)
		}
		verifier, err := newVerifier(public)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", a.ID, err)
		}
		keys = append(keys, key{id: a.ID, verifier: verifier, material: root.NewTrustedPublicKeyMaterial(
			func(string) (root.TimeConstrainedVerifier, error) {
				return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
			})})
	}
	return keys, nil
}

// eitherHash verifies with SHA-256, as cosign signs with every key, or with
// the hash that belongs to the key's size, as other Sigstore clients do.
type eitherHash struct {
	public    crypto.PublicKey
	verifiers []signature.Verifier
}

func newVerifier(public crypto.PublicKey) (signature.Verifier, error) {
	sha256, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	e := &eitherHash{public: public, verifiers: []signature.Verifier{sha256}}
	if other, err := signature.LoadDefaultVerifier(public); err == nil {
		e.verifiers = append(e.verifiers, other)
	}
	return e, nil
}

// PublicKey implements signature.PublicKeyProvider.
func (e *eitherHash) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return e.public, nil
}

// VerifySignature implements signature.Verifier.
func (e *eitherHash) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	sigBytes, err := io.ReadAll(sig)
	if err != nil {
		return err
	}
	messageBytes, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range e.verifiers {
		err := v.VerifySignature(bytes.NewReader(sigBytes), bytes.NewReader(messageBytes), opts...)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// whoSigned lists the keys that verify a signature over a message.
func (j *job) whoSigned(sig, message []byte) []string {
	var ids []string
	for _, k := range j.keys {
		if k.verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)) == nil {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// clean bounds a text that came from a registry.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:200]) + "…"
	}
	return s
}
