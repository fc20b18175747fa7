// Package verify decides whose a signature or an attestation is. It is a pure
// function of bytes: no network, no files, no environment. What it is given
// may be hostile, so it runs in a confined process; see package confined.
//
// sigstore-go decides about bundles, and about cosign's older forms after they
// were turned into bundles. cosign's own verification is not used: it can end
// the process on what a registry serves.
package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The media types of what is verified.
const (
	TypeSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json" // cosign, specs/SIGNATURE_SPEC.md
	TypeDSSE          = "application/vnd.dsse.envelope.v1+json"            // cosign, specs/ATTESTATION_SPEC.md
	TypeBundle        = "application/vnd.dev.sigstore.bundle"              // the beginning; versions are written in two ways
	TypeNotaryJWS     = notation.MediaTypeJWS
	TypeNotaryCOSE    = notation.MediaTypeCOSE
)

// TypeNotary is the artifact type of manifests with a signature of the Notary
// Project; older clients write it as the configuration's media type.
const TypeNotary = notation.ArtifactType

// PredicateSignature marks a bundle as an image signature; every other
// predicate makes it an attestation, which never counts as a signature.
const PredicateSignature = "https://sigstore.dev/cosign/sign/v1"

// Knows says whether a layer of this media type is evidence.
func Knows(mediaType string) bool {
	switch mediaType {
	case TypeSimpleSigning, TypeDSSE, TypeNotaryJWS, TypeNotaryCOSE:
		return true
	}
	return strings.HasPrefix(mediaType, TypeBundle)
}

// Item is one piece of evidence, as a registry holds it.
type Item struct {
	Subject     gatekeeper.Descriptor `json:"subject"`   // what it has to speak about
	MediaType   string                `json:"mediaType"` // of the layer; one that Knows knows
	Annotations map[string]string     `json:"annotations,omitempty"`
	At          time.Time             `json:"at"`                // for what does not prove its own time: the Notary Project's certificates
	MaxSize     int64                 `json:"maxSize,omitempty"` // of the data when it was decompressed, in bytes; 16 MiB when zero
	Revoked     map[string]bool       `json:"revoked,omitempty"` // what is known about the certificates of Lookups, by Fingerprint
	Data        []byte                `json:"-"`                 // the layer
}

// Answer is the outcome of looking at one item.
type Answer struct {
	Attestation   bool                `json:"attestation"` // not an image signature
	Result        policy.Verification `json:"result"`
	VerifiedBy    []string            `json:"verifiedBy,omitempty"` // IDs of keys and Notary Project authorities
	Identities    []policy.Identity   `json:"identities,omitempty"`
	Certificate   string              `json:"certificate,omitempty"` // of the Notary Project: see policy.Signature
	PredicateType string              `json:"predicateType,omitempty"`
	Predicate     []byte              `json:"predicate,omitempty"` // JSON; only when Result is Verified
	Reason        string              `json:"reason,omitempty"`    // why Result is not Verified
	Lookups       []Lookup            `json:"lookups,omitempty"`   // what Item.Revoked has to say first; then there is no Result yet
}

// Verify judges an item. The error is no judgement: what would be needed to
// make one is broken, such as a trust root.
func (t *Trusted) Verify(item Item) (Answer, error) {
	item, bad := inflated(item)
	if bad != nil {
		return bad.answer(), nil
	}
	switch {
	case item.MediaType == TypeSimpleSigning:
		return t.simpleSigning(item)
	case item.MediaType == TypeDSSE:
		return t.envelope(item)
	case strings.HasPrefix(item.MediaType, TypeBundle):
		return t.bundle(item)
	case item.MediaType == TypeNotaryJWS, item.MediaType == TypeNotaryCOSE:
		return t.notary(item)
	}
	return malformed("a layer of type %q among the evidence", item.MediaType).answer(), nil
}

// refusal says why an item is nobody's.
type refusal struct {
	result policy.Verification
	reason string
}

// Error makes a refusal usable where an error is passed on.
func (r *refusal) Error() string { return r.reason }

func (r *refusal) answer() Answer { return Answer{Result: r.result, Reason: r.reason} }

func malformed(format string, args ...any) *refusal {
	return &refusal{policy.Malformed, Clean(fmt.Sprintf(format, args...))}
}

func invalid(format string, args ...any) *refusal {
	return &refusal{policy.Invalid, Clean(fmt.Sprintf(format, args...))}
}

// signers collects who stands behind an item, and why others do not.
type signers struct {
	keys        []string
	identities  []policy.Identity
	certificate string   // of the Notary Project
	invalid     []string // of somebody we trust, but broken
}

// answer is a verification when anybody signed; what a trusted certificate
// signed badly is invalid; all else is a stranger's.
func (s signers) answer() Answer {
	slices.Sort(s.keys)
	slices.SortFunc(s.identities, func(a, b policy.Identity) int { return strings.Compare(a.TrustRoot, b.TrustRoot) })
	switch {
	case len(s.keys)+len(s.identities) > 0:
		return Answer{Result: policy.Verified, VerifiedBy: slices.Compact(s.keys), Identities: s.identities, Certificate: s.certificate}
	case len(s.invalid) > 0:
		slices.Sort(s.invalid)
		return invalid("%s", strings.Join(s.invalid, "; ")).answer()
	}
	return Answer{Result: policy.UnknownSigner, Reason: "signed by none of the policies' keys, and with no certificate of their trust roots"}
}

// Clean bounds a text that came from a registry and takes out what could fool
// a terminal.
func Clean(s string) string { return plain.Line(s, 350) }
