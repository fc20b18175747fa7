package summary

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// MaxBundle is the size of the largest bundle that is read, in bytes.
const MaxBundle = 1 << 20

// Why a bundle is no summary that counts. They are wrapped with the details.
var (
	// ErrOther: it is sound, and something else than a verification summary.
	ErrOther = errors.New("no verification summary")
	// ErrMalformed: it cannot be read as a bundle with a statement.
	ErrMalformed = errors.New("malformed")
	// ErrUnknownSigner: it is signed by nobody who is trusted.
	ErrUnknownSigner = errors.New("signed by somebody else")
	// ErrOtherDigest: it speaks about another digest.
	ErrOtherDigest = errors.New("about another digest")
)

// Identity is who signs without a key that lasts.
type Identity struct {
	// Root names the authorities. When it names transparency logs or logs of
	// certificates, an entry in one is required.
	Root    root.TrustedMaterial
	Issuer  string // of the token, exactly
	Subject string // the certificate's subject alternative name, exactly
}

// Trust says whose summaries count.
type Trust struct{ signers []trusted }

// trusted is one signer with what makes a bundle his.
type trusted struct {
	verifier *verify.Verifier
	who      verify.PolicyOption
}

// NewTrust trusts public keys in PEM (PKIX), and an identity when it is not
// nil.
func NewTrust(keys [][]byte, identity *Identity) (*Trust, error) {
	t := &Trust{}
	for _, text := range keys {
		one, err := trustKey(text)
		if err != nil {
			return nil, err
		}
		t.signers = append(t.signers, one)
	}
	if identity != nil {
		one, err := trustIdentity(*identity)
		if err != nil {
			return nil, err
		}
		t.signers = append(t.signers, one)
	}
	if len(t.signers) == 0 {
		return nil, errors.New("there is no key to verify summaries with")
	}
	return t, nil
}

func trustKey(text []byte) (trusted, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return trusted{}, errors.New("no public key in PEM; write one as cosign generate-key-pair leaves it in cosign.pub")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return trusted{}, fmt.Errorf("no public key in PKIX form: %w", err)
	}
	key, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return trusted{}, fmt.Errorf("public key: %w", err)
	}
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(key, time.Time{}, time.Time{}), nil
	})
	verifier, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	if err != nil {
		return trusted{}, fmt.Errorf("public key: %w", err)
	}
	return trusted{verifier, verify.WithKey()}, nil
}

func trustIdentity(i Identity) (trusted, error) {
	if i.Issuer == "" || i.Subject == "" {
		return trusted{}, errors.New("an identity needs an issuer and a subject; an empty one would be anybody")
	}
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(i.Root.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	if len(i.Root.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	verifier, err := verify.NewVerifier(i.Root, options...)
	if err != nil {
		return trusted{}, fmt.Errorf("trusted root: %w", err)
	}
	who, err := verify.NewShortCertificateIdentity(i.Issuer, "", i.Subject, "")
	if err != nil {
		return trusted{}, fmt.Errorf("identity: %w", err)
	}
	return trusted{verifier, verify.WithCertificateIdentity(who)}, nil
}

// Summary is what a verified statement says.
type Summary struct {
	Verifier    string
	At          time.Time
	Order       Order
	ResourceURI string
	Policy      string // its URI
	Fingerprint string // "sha256:" and hex digits
	Result      string
	Levels      []string
	// Names lists the subjects, host/repository:tag, that have the digest
	// which was asked about.
	Names []string
	// Payload holds the bytes that are signed.
	Payload []byte
}

// Approves says whether the summary names a golden tag, host/repository:tag.
func (s Summary) Approves(name string) bool { return slices.Contains(s.Names, name) }

// After says whether the approval has the last word over another one: by their
// order, and by time where one of them does not say its order.
func (s Summary) After(other Summary) bool {
	if s.Order == (Order{}) || other.Order == (Order{}) {
		return s.At.After(other.At)
	}
	return cmp.Or(cmp.Compare(s.Order.Push, other.Order.Push), cmp.Compare(s.Order.Decision, other.Order.Decision)) > 0
}

// Open verifies a bundle about a digest and reads the summary in it. The error
// wraps one of the package's when the bundle is at fault.
func (t *Trust) Open(data []byte, digest string) (_ Summary, err error) {
	defer func() { // what a registry serves must not end the process
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: reading it crashed: %v", ErrMalformed, r)
		}
	}()
	b, payload, err := open(data)
	if err != nil {
		return Summary{}, err
	}
	if kind := predicateType(payload); kind != PredicateType {
		return Summary{}, fmt.Errorf("%w: it has the predicate type %q", ErrOther, clean(kind))
	}
	st, err := parse(payload)
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return Summary{}, fmt.Errorf("digest %q: %w", digest, err)
	}
	s := read(st, digest)
	s.Payload = payload
	if len(s.Names) == 0 {
		return Summary{}, fmt.Errorf("%w than %s", ErrOtherDigest, digest)
	}
	for _, one := range t.signers {
		if _, err = one.verifier.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), one.who)); err == nil {
			return s, nil
		}
	}
	return Summary{}, fmt.Errorf("%w: %s", ErrUnknownSigner, clean(err.Error()))
}

// OpenEnvelope is Open for a DSSE envelope without a bundle, as cosign's older
// form has it.
func (t *Trust) OpenEnvelope(envelope []byte, digest string) (Summary, error) {
	if err := strictjson.Check(envelope); err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	data, err := json.Marshal(map[string]any{
		"mediaType": BundleType, "verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "unknown"}},
		"dsseEnvelope": json.RawMessage(envelope),
	})
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return t.Open(data, digest)
}

// Envelope takes the DSSE envelope out of a bundle that Sign returned.
func Envelope(bundle []byte) ([]byte, error) {
	var b struct {
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		return nil, fmt.Errorf("take the envelope out of the bundle: %w", err)
	}
	return b.Envelope, nil
}

// open reads a bundle with a statement, whose signature is not looked at.
func open(data []byte) (*bundle.Bundle, []byte, error) {
	if len(data) > MaxBundle {
		return nil, nil, fmt.Errorf("%w: a bundle of %d bytes; at most %d are read", ErrMalformed, len(data), MaxBundle)
	}
	if err := strictjson.Check(data); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrMalformed, clean(err.Error()))
	}
	envelope := b.GetDsseEnvelope()
	if envelope == nil || envelope.GetPayloadType() != PayloadType {
		return nil, nil, fmt.Errorf("%w: it holds no in-toto statement", ErrOther)
	}
	return &b, envelope.GetPayload(), nil
}

func read(st statement, digest string) Summary {
	p := st.Predicate
	s := Summary{
		Verifier: p.Verifier.ID, At: p.TimeVerified, ResourceURI: p.ResourceURI, Policy: p.Policy.URI,
		Result: p.VerificationResult, Levels: p.VerifiedLevels,
	}
	if sum := p.Policy.Digest["sha256"]; sum != "" {
		s.Fingerprint = "sha256:" + sum
	}
	if p.Order != nil {
		s.Order = *p.Order
	}
	for _, one := range st.Subject {
		if "sha256:"+one.Digest["sha256"] == digest {
			s.Names = append(s.Names, one.Name)
		}
	}
	return s
}

// clean bounds a text that somebody else wrote.
func clean(s string) string { return plain.Line(s, 200) }
