// Package keys loads the gatekeeper's own signing key, from a file or from a
// key management service, and the public keys that such services hold.
//
// Every key signs and verifies with SHA-256, as cosign does with key files of
// any size; Ed25519 signs the message itself.
package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// maxKey is the size of the largest key file that is read, in bytes.
const maxKey = 64 << 10

// minRSA is the least size of an RSA key, in bits (NIST SP 800-131A rev. 2).
const minRSA = 2048

// Reference says where a private key is.
type Reference struct {
	// Key is a file with a private key in PEM, or a URI for which IsKMS holds.
	Key string
	// Password decrypts a key file; empty for one that is not encrypted or
	// encrypted with the empty password.
	Password []byte
}

// Signer signs with one key. It implements sigstore-go's sign.Keypair, and is
// safe for concurrent use.
type Signer struct {
	signer signature.Signer
	kms    string // the URI of a key that a service keeps
	public crypto.PublicKey
	der    []byte // PKIX
}

// Load prepares a key for signing. A key of a service is asked for its public
// half, so that a key that cannot be used is noticed now; the service has half
// a minute.
func Load(ctx context.Context, r Reference) (*Signer, error) {
	if IsKMS(r.Key) {
		key, public, err := openPublic(ctx, r.Key)
		if err != nil {
			return nil, err
		}
		return newSigner(r.Key, key, public)
	}
	signer, err := loadFile(r)
	if err != nil {
		return nil, err
	}
	public, err := signer.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("read the public key of %s: %w", r.Key, err)
	}
	return newSigner(r.Key, signer, public)
}

func newSigner(name string, signer signature.Signer, public crypto.PublicKey) (*Signer, error) {
	if err := usable(public); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode the public key of %s: %w", name, err)
	}
	s := &Signer{signer: signer, public: public, der: der}
	if IsKMS(name) {
		s.kms = name
	}
	return s, nil
}

func loadFile(r Reference) (signature.Signer, error) {
	text, err := readKey(r.Key)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	private, err := parsePrivate(text, r.Password)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.Key, err)
	}
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.Key, err)
	}
	return signer, nil
}

func readKey(file string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	if err == nil && len(text) > maxKey {
		err = fmt.Errorf("%s has more than %d bytes; it is no key", file, maxKey)
	}
	return text, err
}

// parsePrivate reads a private key in PEM: encrypted as cosign leaves it, or
// in the clear as PKCS #8, PKCS #1 or SEC 1.
func parsePrivate(text, password []byte) (crypto.PrivateKey, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("no PEM block; write a private key as cosign generate-key-pair leaves it")
	case len(bytes.TrimSpace(rest)) > 0 && block.Type != "EC PARAMETERS":
		return nil, errors.New("more than one PEM block; keep one private key a file")
	}
	der := block.Bytes
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		var err error
		if der, err = encrypted.Decrypt(der, password); err != nil {
			return nil, fmt.Errorf("decrypt: %w; is the password the right one?", err)
		}
		return x509.ParsePKCS8PrivateKey(der)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(der)
	case "EC PARAMETERS": // openssl ecparam -genkey writes them before the key
		return parsePrivate(rest, password)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(der)
	case "PUBLIC KEY":
		return nil, errors.New("this is a public key; signing needs the private one")
	}
	return nil, fmt.Errorf("a PEM block of type %q is no private key that is supported", block.Type)
}

// usable refuses keys that no verifier should accept.
func usable(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return fmt.Errorf("an RSA key of %d bits; use at least %d", k.N.BitLen(), minRSA)
		}
		return nil
	}
	return fmt.Errorf("a key of type %T is not supported; use ECDSA, RSA or Ed25519", public)
}

// PublicKeyPEM is the public half in PEM (PKIX).
func (s *Signer) PublicKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.der})
}

// SignData implements sign.Keypair: it returns the signature, and what was
// signed: the SHA-256 of the data, or the data itself for Ed25519. A service
// has a minute.
func (s *Signer) SignData(ctx context.Context, data []byte) (sig, signed []byte, err error) {
	sig, err = s.sign(ctx, data)
	if err != nil {
		return nil, nil, err
	}
	if _, pure := s.public.(ed25519.PublicKey); pure {
		return sig, data, nil
	}
	sum := sha256.Sum256(data)
	return sig, sum[:], nil
}

func (s *Signer) sign(ctx context.Context, data []byte) ([]byte, error) {
	call := func(ctx context.Context) ([]byte, error) {
		return s.signer.SignMessage(bytes.NewReader(data), options.WithContext(ctx))
	}
	if s.kms == "" {
		sig, err := call(ctx)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		return sig, nil
	}
	sig, err := within(ctx, signTimeout, call)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.kms, err)
	}
	return sig, nil
}

// GetHashAlgorithm implements sign.Keypair.
func (s *Signer) GetHashAlgorithm() protocommon.HashAlgorithm {
	if _, pure := s.public.(ed25519.PublicKey); pure {
		return protocommon.HashAlgorithm_HASH_ALGORITHM_UNSPECIFIED
	}
	return protocommon.HashAlgorithm_SHA2_256
}

// GetSigningAlgorithm implements sign.Keypair. Combinations that the registry
// of algorithms has no name for are unspecified.
func (s *Signer) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	details, err := signature.GetDefaultPublicKeyDetails(s.public)
	if err != nil {
		return protocommon.PublicKeyDetails_PUBLIC_KEY_DETAILS_UNSPECIFIED
	}
	return details
}

// GetHint implements sign.Keypair: the base64 SHA-256 of the public key in
// PKIX DER form, as other clients of Sigstore write it.
func (s *Signer) GetHint() []byte {
	sum := sha256.Sum256(s.der)
	return []byte(base64.StdEncoding.EncodeToString(sum[:]))
}

// GetKeyAlgorithm implements sign.Keypair.
func (s *Signer) GetKeyAlgorithm() string {
	switch s.public.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA"
	case *rsa.PublicKey:
		return "RSA"
	}
	return "ED25519"
}

// GetPublicKey implements sign.Keypair.
func (s *Signer) GetPublicKey() crypto.PublicKey { return s.public }

// GetPublicKeyPem implements sign.Keypair.
func (s *Signer) GetPublicKeyPem() (string, error) { return string(s.PublicKeyPEM()), nil }

// encodePublic is a public key in PEM (PKIX).
func encodePublic(public crypto.PublicKey) ([]byte, error) {
	if err := usable(public); err != nil {
		return nil, err
	}
	return cryptoutils.MarshalPublicKeyToPEM(public)
}
