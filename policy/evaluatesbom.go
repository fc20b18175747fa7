package policy

import (
	"fmt"
	"maps"
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
// the document.
func (e *evaluation) acceptsDocument(digest string) bool {
	return slices.ContainsFunc(e.acceptedSBOMs(), func(s SBOM) bool { return s.Digest == digest })
}

// acceptedSBOMs are those that the policy accepts. Documents are large, so they
// are hashed once an evaluation.
func (e *evaluation) acceptedSBOMs() []SBOM {
	if e.sboms == nil {
		e.sboms = append([]SBOM{}, e.compiled.acceptedSBOMs(e.evidence.Attestations)...)
	}
	return e.sboms
}

// checkSBOM asks for the SBOM that the policy requires. Whether it agrees with
// others is not asked: where it does not, the layers are catalogued.
func (e *evaluation) checkSBOM() {
	s := e.spec.SBOM
	if s == nil || !s.Required || len(e.evidence.Image.Platforms) == 0 { // of no platform checkImage speaks
		return
	}
	if !e.singleImage() {
		f := e.missingSBOM(newQuorum(e.compiled.groups(s.SignedBy...)), "")
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonAbsent, "an index; SBOMs of its platforms are not read"
		f.Remedy = "push a single image, or ask the security team not to require an SBOM here"
		e.add(f)
		return
	}
	if len(e.acceptedSBOMs()) > 0 {
		return
	}
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckAttestations, ruleSBOM, "", p.Reason, operatorRemedy)
		return
	}
	count, q, documents := e.refusedSBOMs()
	some, what := q.some(), "attest the SBOM as JSON"
	if documents > 1 {
		some += fmt.Sprintf(" of the same document (there are %d different ones)", documents)
		what = "attest the very same SBOM"
	}
	f := e.missingSBOM(q, what)
	f.Outcome, f.Reason, f.Found = e.classify(count, some, "SBOM")
	e.add(f)
}

// missingSBOM is the finding about an SBOM that not enough have signed.
func (e *evaluation) missingSBOM(q *quorum, what string) Finding {
	s := e.spec.SBOM
	return Finding{
		Check: CheckAttestations, Rule: ruleSBOM,
		Expected: fmt.Sprintf("an SBOM of type %s by %s", strings.Join(s.PredicateTypes, " or "), q),
		Remedy: q.remedy(what, s.SignedBy) + q.command("cosign attest",
			fmt.Sprintf("--type %s --predicate FILE REGISTRY/%s", cosignType(s.PredicateTypes), e.subject())),
	}
}

// refusedSBOMs counts what was found instead of an SBOM that the policy
// accepts: what is none, and who signed the document that lacks the fewest
// signers, of how many documents by some of them.
func (e *evaluation) refusedSBOMs() (count tally, closest *quorum, documents int) {
	s := e.spec.SBOM
	quorums := map[string]*quorum{}
	for _, a := range e.evidence.Attestations {
		if !slices.Contains(s.PredicateTypes, a.PredicateType) && (a.Result != Malformed || a.PredicateType != "") {
			continue
		}
		if !e.compiled.fromSBOMSigner(a) {
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
			continue
		}
		document, ok := NewSBOM(a)
		if !ok {
			count.add(Malformed, "the predicate is no JSON object", nil)
			continue
		}
		if quorums[document.Digest] == nil {
			quorums[document.Digest] = newQuorum(e.compiled.groups(s.SignedBy...))
		}
		quorums[document.Digest].add(a.proof())
	}
	for _, digest := range slices.Sorted(maps.Keys(quorums)) {
		if q := quorums[digest]; closest == nil || q.lacks() < closest.lacks() {
			closest = q
		}
	}
	if closest == nil {
		closest = newQuorum(e.compiled.groups(s.SignedBy...))
	}
	return count, closest, len(quorums)
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
