// Package notation verifies signatures of the Notary Project about an image.
// It is pure: bytes and a time go in, an answer comes out. It reads no file,
// no environment and no network, starts no plugin and keeps nothing between
// two calls, so that it can run in a process that may do none of this.
//
// There is one level of verification, the strict one. The permissive, audit
// and skip levels of the Notary Project's trust policy cannot be expressed:
// under them a revoked or expired signature, and with it an old and vulnerable
// image, still counts (CVE-2024-23332).
//
// notation-core-go decides about the envelope, its signature and the shape of
// the certificate chain; notation-go is not used, because it carries plugins,
// caches and trust stores on disk.
package notation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/notaryproject/notation-core-go/signature"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// The media types of the manifest that holds a signature and of its one layer
// (Notary Project, signature specification, "Signature manifest").
const (
	ArtifactType  = "application/vnd.cncf.notary.signature"
	MediaTypeJWS  = "application/jose+json"
	MediaTypeCOSE = "application/cose"
)

// Signer says who signed.
type Signer struct {
	Subject     string    // the signing certificate's subject, as RFC 4514 writes it
	Fingerprint string    // SHA-256 of the signing certificate, in hex
	Key         string    // SHA-256 of its SubjectPublicKeyInfo, in hex: who signs, however often the certificate is renewed
	Root        string    // SHA-256 of the trusted certificate its chain leads to, in hex
	SignedAt    time.Time // what the signer claims; nobody vouches for it
	Timestamp   time.Time // what a trusted authority vouches for; zero without TimestampRoots
	Expires     time.Time // when the signature stops to count; zero for never
}

// Verifier verifies against one Trust. Its methods may be called concurrently.
type Verifier struct {
	trust      Trust
	identities []identity
	revocation Revocation
}

// New returns a verifier. It refuses a Trust that nothing or everything could
// satisfy by mistake. Without a Revocation, certificates that name a place to
// ask about their revocation are ErrUndecided.
func New(trust Trust, revocation Revocation) (*Verifier, error) {
	if err := trust.validate(); err != nil {
		return nil, fmt.Errorf("notation trust: %w", err)
	}
	identities, err := parseIdentities(trust.Identities)
	if err != nil {
		return nil, fmt.Errorf("notation trust: %w", err)
	}
	return &Verifier{trust: trust, identities: identities, revocation: revocation}, nil
}

// With returns a verifier for the same Trust that asks another Revocation.
func (v *Verifier) With(revocation Revocation) *Verifier {
	other := *v
	other.revocation = revocation
	return &other
}

// Verify returns who signed the subject, or an error that is one of
// ErrMalformed, ErrInvalid, ErrUnknownSigner and ErrUndecided. The envelope
// is the content of the signature manifest's layer, at most MaxEnvelope bytes;
// the media type is that layer's.
func (v *Verifier) Verify(
	ctx context.Context, envelope []byte, mediaType string, subject gatekeeper.Descriptor, now time.Time,
) (signer Signer, err error) {
	// The decoders below this package are other people's. A crash in one of
	// them says nothing about the signature and must not end the process.
	defer func() {
		if r := recover(); r != nil {
			signer, err = Signer{}, fail(ErrUndecided, fmt.Errorf("the verification crashed: %v", r))
		}
	}()
	if subject.MediaType == "" || subject.Digest == "" || subject.Size <= 0 {
		return Signer{}, fail(ErrUndecided, errors.New("the subject's descriptor is not complete"))
	}
	content, err := open(envelope, mediaType)
	if err != nil {
		return Signer{}, err
	}
	if err := about(content.Payload, subject); err != nil {
		return Signer{}, err
	}
	return v.judge(ctx, &content.SignerInfo, now)
}

// judge decides about a signature that is sound and speaks about the subject,
// in the order of the Notary Project's trust-store-trust-policy.md, "Signature
// verification": authenticity, expiry, authentic timestamp, revocation.
func (v *Verifier) judge(ctx context.Context, info *signature.SignerInfo, now time.Time) (Signer, error) {
	if err := checkAttributes(info.SignedAttributes.ExtendedAttributes); err != nil {
		return Signer{}, err
	}
	root, err := v.authority(info)
	if err != nil {
		return Signer{}, err
	}
	expires := info.SignedAttributes.Expiry
	if !expires.IsZero() && !now.Before(expires) {
		return Signer{}, fail(ErrInvalid, fmt.Errorf("the signature expired at %s", expires.UTC().Format(time.RFC3339)))
	}
	timestamp, clocks, err := v.provenTime(ctx, info, root, now)
	if err != nil {
		return Signer{}, err
	}
	// A revoked time stamp authority could vouch for any time (CVE-2024-56138).
	if err := v.checkRevocation(ctx, below(root, info.CertificateChain), clocks); err != nil {
		return Signer{}, err
	}
	leaf := info.CertificateChain[0]
	return Signer{
		Subject: bounded(leaf.Subject.String()), Fingerprint: fingerprint(leaf.Raw), Key: fingerprint(leaf.RawSubjectPublicKeyInfo), Root: fingerprint(root.Raw),
		SignedAt: info.SignedAttributes.SigningTime, Timestamp: timestamp, Expires: expires,
	}, nil
}

// authority returns the trusted certificate that the chain leads to, when the
// signing certificate is also one of the trusted identities.
func (v *Verifier) authority(info *signature.SignerInfo) (*x509.Certificate, error) {
	// A signing authority vouches for the time itself and is trusted through
	// a store of its own, which no Trust has.
	if s := info.SignedAttributes.SigningScheme; s != signature.SigningSchemeX509 {
		return nil, fail(ErrUnknownSigner, fmt.Errorf("signed under the scheme %q, for which nobody is trusted", s))
	}
	root, err := signature.VerifyAuthenticity(info, v.trust.Roots)
	if err != nil {
		return nil, fail(ErrUnknownSigner, err)
	}
	if err := v.checkIdentity(info.CertificateChain[0]); err != nil {
		return nil, fail(ErrUnknownSigner, err)
	}
	return root, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
