package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The predicate types of SBOMs; a version may follow either after a slash, as
// in https://spdx.dev/Document/v2.3.
const (
	PredicateCycloneDX = "https://cyclonedx.org/bom"
	PredicateSPDX      = "https://spdx.dev/Document"
)

// SBOMSource says whose SBOM, in an attestation about exactly an image's
// manifest, stands in for cataloguing the image's layers. An index has one of
// each platform.
type SBOMSource struct {
	PredicateTypes []string `yaml:"predicateTypes" json:"predicateTypes"`
	SignedBy       []string `yaml:"signedBy" json:"signedBy"` // names of authorities
	// Required refuses an image without such an SBOM; otherwise its layers
	// are catalogued.
	Required bool `yaml:"required" json:"required,omitempty"`
}

// SBOM is a signed software bill of materials: what its signer claims that an
// image holds.
type SBOM struct {
	Attestation string          // digest of the manifest that carries it
	Document    json.RawMessage // CycloneDX or SPDX, as the evidence is recorded
	Digest      string          // SHA-256 of Document
}

// NewSBOM reads the SBOM out of an attestation. It is false for a predicate
// that is no JSON object, such as SPDX's tag-value form in a string.
func NewSBOM(a Attestation) (SBOM, bool) {
	// What is hashed is the form in which evidence is recorded, so that the
	// digest is the same before and after.
	document, err := json.Marshal(a.Predicate)
	if err != nil || len(document) == 0 || document[0] != '{' {
		return SBOM{}, false
	}
	sum := sha256.Sum256(document)
	return SBOM{Attestation: a.Manifest, Document: document, Digest: "sha256:" + hex.EncodeToString(sum[:])}, true
}

// AgreedSBOM returns the one SBOM that every policy that needs a scan accepts
// in place of cataloguing a platform. There is none when one of the policies
// has no rule for it or finds none, and none when two different documents are
// acceptable: which of them is right, nobody can say, so the layers are asked.
//
// The attestations are those about the platform's manifest. Those about an index
// say nothing of what is in one of its platforms.
func AgreedSBOM(policies []*Compiled, attestations []Attestation) (SBOM, bool) {
	var agreed SBOM
	for _, c := range policies {
		if !c.NeedsScan() {
			continue
		}
		accepted := c.acceptedSBOMs(attestations)
		if len(accepted) != 1 || agreed.Digest != "" && accepted[0].Digest != agreed.Digest {
			return SBOM{}, false
		}
		if agreed.Digest == "" {
			agreed = accepted[0]
		}
	}
	return agreed, agreed.Digest != ""
}

// TakesSBOM says whether an SBOM may stand in for cataloguing an image.
func (c *Compiled) TakesSBOM() bool { return c.policy.Spec.SBOM != nil }

// acceptedSBOMs lists every document that the policy accepts, each once,
// whatever the order of the attestations. Where several have to sign, each has
// to attest the same document.
func (c *Compiled) acceptedSBOMs(attestations []Attestation) []SBOM {
	var accepted []SBOM
	quorums := map[string]*quorum{}
	for _, a := range attestations {
		if !c.fromSBOMSigner(a) {
			continue
		}
		s, ok := NewSBOM(a) // last, because it copies the document
		if !ok {
			continue
		}
		q := quorums[s.Digest]
		if q == nil {
			q = newQuorum(c.groups(c.policy.Spec.SBOM.SignedBy...))
			quorums[s.Digest] = q
		}
		q.add(a.proof())
		accepted = append(accepted, s)
	}
	accepted = slices.DeleteFunc(accepted, func(s SBOM) bool { return !quorums[s.Digest].reached() })
	slices.SortFunc(accepted, func(a, b SBOM) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Attestation, b.Attestation))
	})
	return slices.CompactFunc(accepted, func(a, b SBOM) bool { return a.Digest == b.Digest })
}

// fromSBOMSigner says whether an attestation is of a type and by a signer that
// the policy takes SBOMs from.
func (c *Compiled) fromSBOMSigner(a Attestation) bool {
	s := c.policy.Spec.SBOM
	return s != nil && slices.Contains(s.PredicateTypes, a.PredicateType) &&
		newQuorum(c.groups(s.SignedBy...)).is(a.proof())
}

// checkSBOM comes after the rules, which say whether a scan is needed.
func (b *builder) checkSBOM() {
	s := b.c.policy.Spec.SBOM
	if s == nil {
		return
	}
	if len(s.PredicateTypes) == 0 {
		b.errorf("$.spec.sbom.predicateTypes", "missing; write %s, %s or both", PredicateCycloneDX, PredicateSPDX)
	}
	for i, t := range s.PredicateTypes {
		if !isSBOMType(t) {
			b.errorf(fmt.Sprintf("$.spec.sbom.predicateTypes[%d]", i), "%q is no type of an SBOM that is read; write %s or %s",
				t, PredicateCycloneDX, PredicateSPDX)
		}
	}
	b.checkAttesters("$.spec.sbom.signedBy", s.SignedBy)
	if !s.Required && !b.c.NeedsScan() {
		b.errorf("$.spec.sbom", "stands in for a scan that nothing here asks for; add vulnerabilities, or write required: true")
	}
}

func isSBOMType(predicateType string) bool {
	for _, known := range []string{PredicateCycloneDX, PredicateSPDX} {
		if predicateType == known || strings.HasPrefix(predicateType, known+"/v") {
			return true
		}
	}
	return false
}
