package policy

import (
	"fmt"
	"slices"
	"strings"
)

// ruleSBOM is what findings call the demand of spec.sbom.required.
const ruleSBOM = "sbom"

// foreignCatalogue says why the policy does not accept where a scan's
// packages came from; empty when it does. The evidence may have been gathered
// for another policy, and the attestation taken out of it since.
func (e *evaluation) foreignCatalogue(p Platform) string {
	switch c := p.Scan.Catalogue.withDefault(); c.From {
	case CatalogueLayers:
		return ""
	case CatalogueSBOM:
		if p.Digest == e.evidence.Subject.Digest && e.acceptsDocument(c.Document) {
			return ""
		}
		return "the packages are those of an SBOM that this policy does not accept (spec.sbom)"
	default:
		return fmt.Sprintf("the packages come from %q, which is not known here", c.From)
	}
}

// acceptsDocument says whether an attestation that the policy accepts carries
// the document. Documents are large, so they are hashed once an evaluation.
func (e *evaluation) acceptsDocument(digest string) bool {
	if e.sboms == nil {
		e.sboms = map[string]bool{}
		for _, s := range e.compiled.acceptedSBOMs(e.evidence.Attestations) {
			e.sboms[s.Digest] = true
		}
	}
	return e.sboms[digest]
}

// checkSBOM asks for the SBOM that the policy requires. Whether it agrees with
// others is not asked: where it does not, the layers are catalogued.
func (e *evaluation) checkSBOM() {
	s := e.spec.SBOM
	if s == nil || !s.Required {
		return
	}
	q := newQuorum(e.compiled.groups(s.SignedBy...))
	f := Finding{
		Check: CheckAttestations, Rule: ruleSBOM,
		Expected: fmt.Sprintf("an SBOM of type %s by %s", strings.Join(s.PredicateTypes, " or "), q),
		Remedy: q.remedy("attest the SBOM as JSON", s.SignedBy) + q.command("cosign attest",
			fmt.Sprintf("--type %s --predicate FILE REGISTRY/%s", cosignType(s.PredicateTypes), e.subject())),
	}
	if !e.singleImage() {
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonAbsent, "an index; SBOMs of its platforms are not read"
		f.Remedy = "push a single image, or ask the security team not to require an SBOM here"
		e.add(f)
		return
	}
	if len(e.compiled.acceptedSBOMs(e.evidence.Attestations)) > 0 {
		return
	}
	var count tally
	for _, a := range e.evidence.Attestations {
		switch _, document := NewSBOM(a); {
		case !slices.Contains(s.PredicateTypes, a.PredicateType) && (a.Result != Malformed || a.PredicateType != ""):
		case !e.compiled.fromSBOMSigner(a):
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
		case !document:
			count.add(Malformed, "the predicate is no JSON object", nil)
		default:
			q.add(a.proof())
		}
	}
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckAttestations, ruleSBOM, "", p.Reason, operatorRemedy)
		return
	}
	f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "SBOM")
	e.add(f)
}

// singleImage says whether attestations about the subject are about what is
// in it, and not about an index of it.
func (e *evaluation) singleImage() bool {
	platforms := e.evidence.Image.Platforms
	return len(platforms) == 1 && platforms[0].Digest == e.evidence.Subject.Digest
}

// cosignType is what cosign calls the first of the predicate types.
func cosignType(predicateTypes []string) string {
	switch predicateTypes[0] {
	case PredicateCycloneDX:
		return "cyclonedx"
	case PredicateSPDX:
		return "spdxjson"
	}
	return predicateTypes[0]
}
