package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Trust says whose signatures are looked for.
type Trust struct {
	Keys       []Key       `json:"keys,omitempty"`
	TrustRoots []TrustRoot `json:"trustRoots,omitempty"`
	Notaries   []Notary    `json:"notaries,omitempty"`
}

// Key is a public key.
type Key struct {
	ID        string `json:"id"`
	PublicKey []byte `json:"publicKey"` // PEM, PKIX
	// TrustRoot names the trust root in whose transparency log the
	// signature has to be; none when empty.
	TrustRoot string `json:"trustRoot,omitempty"`
}

// TrustRoot is a Sigstore instance, and how much of its evidence is asked for
// (sigstore/protobuf-specs, sigstore_trustroot.proto).
type TrustRoot struct {
	Name    string `json:"name"`
	Content []byte `json:"content"` // trusted_root.json; several, one after the other, are all trusted
	Require Require
	// Keyless says that its certificates count, not only its log.
	Keyless bool `json:"keyless"`
}

// Require says what has to prove a certificate's signature.
type Require struct {
	CertificateTimestamps int `json:"certificateTimestamps"` // by certificate transparency logs
	LogEntries            int `json:"logEntries"`            // in transparency logs
	Timestamps            int `json:"timestamps"`            // by logs or timestamp authorities; by the latter alone without log entries
}

// Notary is an authority of the Notary Project.
type Notary struct {
	ID string `json:"id"`
	policy.Notary
}

// MaxTrustRoot bounds the trusted roots of one instance, in bytes.
const MaxTrustRoot = 4 << 20

// Trusted is a Trust made ready. It is safe for concurrent use.
type Trusted struct {
	keys     []key
	roots    []trustRoot
	notaries []notary
}

type key struct {
	id       string
	verifier signature.Verifier
	material root.TrustedMaterial
	root     *trustRoot // in whose log it has to be; nil: none
}

type trustRoot struct {
	name     string
	keyless  bool
	require  Require
	material root.TrustedMaterialCollection
}

// Prepare reads keys and trust roots. The error names the one that is broken.
func Prepare(t Trust) (*Trusted, error) {
	ready := &Trusted{}
	for _, r := range t.TrustRoots {
		material, err := parseTrustRoot(r.Content)
		if err != nil {
			return nil, fmt.Errorf("trust root %s: %w", r.Name, err)
		}
		ready.roots = append(ready.roots, trustRoot{name: r.Name, keyless: r.Keyless, require: r.Require, material: material})
	}
	for _, k := range t.Keys {
		one, err := ready.prepareKey(k)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
		ready.keys = append(ready.keys, one)
	}
	for _, n := range t.Notaries {
		one, err := prepareNotary(n)
		if err != nil {
			return nil, fmt.Errorf("notary %s: %w", n.ID, err)
		}
		ready.notaries = append(ready.notaries, one)
	}
	return ready, nil
}

// CheckTrustRoot returns an error unless the content is a trusted root.
func CheckTrustRoot(content []byte) error {
	_, err := parseTrustRoot(content)
	return err
}

// parseTrustRoot reads one or several trusted roots, one after the other, as
// gh attestation trusted-root prints them.
func parseTrustRoot(content []byte) (root.TrustedMaterialCollection, error) {
	if len(content) > MaxTrustRoot {
		return nil, fmt.Errorf("%d bytes; at most %d are read", len(content), MaxTrustRoot)
	}
	var all root.TrustedMaterialCollection
	dec := json.NewDecoder(bytes.NewReader(content))
	for {
		var one json.RawMessage
		switch err := dec.Decode(&one); {
		case errors.Is(err, io.EOF) && len(all) > 0:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("no trusted root (trusted_root.json): %w", err)
		}
		parsed, err := root.NewTrustedRootFromJSON(one)
		if err != nil {
			return nil, fmt.Errorf("no trusted root (trusted_root.json): %w", err)
		}
		all = append(all, parsed)
	}
}

func (t *Trusted) prepareKey(k Key) (key, error) {
	block, _ := pem.Decode(k.PublicKey)
	if block == nil {
		return key{}, errors.New("no PEM block")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return key{}, err
	}
	verifier, err := newVerifier(public)
	if err != nil {
		return key{}, err
	}
	ready := key{id: k.ID, verifier: verifier, material: root.NewTrustedPublicKeyMaterial(
		func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
		})}
	if k.TrustRoot == "" {
		return ready, nil
	}
	i := slices.IndexFunc(t.roots, func(r trustRoot) bool { return r.name == k.TrustRoot })
	if i < 0 {
		return key{}, fmt.Errorf("no trust root %s", k.TrustRoot)
	}
	ready.root = &t.roots[i]
	return ready, nil
}

// options are what a certificate of the trust root has to be proven by.
func (r trustRoot) options() []verify.VerifierOption {
	var options []verify.VerifierOption
	if n := r.require.CertificateTimestamps; n > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(n))
	}
	if n := r.require.LogEntries; n > 0 {
		return append(options, verify.WithTransparencyLog(n), verify.WithObserverTimestamps(max(r.require.Timestamps, 1)))
	}
	// Without a log entry that is verified, only an authority's word for the
	// time counts.
	return append(options, verify.WithSignedTimestamps(max(r.require.Timestamps, 1)))
}

// issued says whether a certificate is one of the trust root's, whatever else
// may be wrong with what it signed.
func (r trustRoot) issued(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(r.material.FulcioCertificateAuthorities(), func(ca root.CertificateAuthority) bool {
		unexamined := *leaf // the check below is made again, on the certificate itself
		unexamined.UnhandledCriticalExtensions = nil
		_, err := ca.Verify(&unexamined, leaf.NotBefore)
		return err == nil
	})
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
