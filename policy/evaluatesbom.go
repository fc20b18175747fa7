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
		if e.acceptsDocument(p, c.Document) {
			return ""
		}
		return "the packages are those of an SBOM that this policy does not accept (spec.sbom)"
	default:
		return fmt.Sprintf("the packages come from %q, which is not known here", c.From)
	}
}

// acceptsDocument says whether an attestation about the platform that the policy
// accepts carries the document.
func (e *evaluation) acceptsDocument(p Platform, digest string) bool {
	return slices.ContainsFunc(e.acceptedSBOMs(p), func(s SBOM) bool { return s.Digest == digest })
}

// acceptedSBOMs are those of a platform that the policy accepts. Documents are
// large, so they are hashed once an evaluation.
func (e *evaluation) acceptedSBOMs(p Platform) []SBOM {
	accepted, known := e.sboms[p.Digest]
	if known {
		return accepted
	}
	if e.sboms == nil {
		e.sboms = map[string][]SBOM{}
	}
	about, _ := e.evidence.attestationsAbout(p)
	e.sboms[p.Digest] = e.compiled.acceptedSBOMs(about)
	return e.sboms[p.Digest]
}

// checkSBOM asks for the SBOM that the policy requires, of each platform.
// Whether it agrees with others is not asked: where it does not, the layers are
// catalogued.
func (e *evaluation) checkSBOM() {
	if s := e.spec.SBOM; s == nil || !s.Required {
		return
	}
	for _, p := range e.evidence.Image.Platforms { // where there are none checkImage speaks
		if len(e.acceptedSBOMs(p)) == 0 {
			e.checkSBOMOf(p)
		}
	}
}

// checkSBOMOf records why there is no SBOM of a platform.
func (e *evaluation) checkSBOMOf(p Platform) {
	if why := e.unread(p); why != "" {
		e.unknown(CheckAttestations, ruleSBOM, e.within(p), why, operatorRemedy)
		return
	}
	about, _ := e.evidence.attestationsAbout(p)
	count, q, documents := e.refusedSBOMs(about)
	some, what := q.some(), "attest the SBOM as JSON"
	if documents > 1 {
		some += fmt.Sprintf(" of the same document (there are %d different ones)", documents)
		what = "attest the very same SBOM"
	}
	s := e.spec.SBOM
	f := Finding{
		Check: CheckAttestations, Rule: ruleSBOM, Platform: e.within(p),
		Expected: fmt.Sprintf("an SBOM of type %s by %s", strings.Join(s.PredicateTypes, " or "), q),
		Remedy: q.remedy(what, s.SignedBy) + q.command("cosign attest",
			fmt.Sprintf("--type %s --predicate FILE REGISTRY/%s", cosignType(s.PredicateTypes), e.platform(p))),
	}
	f.Outcome, f.Reason, f.Found = e.classify(count, some, "SBOM")
	f.Found += e.aboutIndex(p, "an SBOM", s.PredicateTypes)
	e.add(f)
}

// aboutIndex says that attestations by the policy's authorities are about the
// index that a platform is in; empty when there are none of the types.
func (e *evaluation) aboutIndex(p Platform, what string, types []string) string {
	relevant := func(a Attestation) bool {
		return slices.Contains(types, a.PredicateType) && e.compiled.knows(a.proof())
	}
	if e.within(p) == "" || !slices.ContainsFunc(e.evidence.Attestations, relevant) {
		return ""
	}
	return "; " + what + " about the index says nothing of a platform"
}

// refusedSBOMs counts what was found instead of an SBOM that the policy
// accepts: what is none, and who signed the document that lacks the fewest
// signers, of how many documents by some of them.
func (e *evaluation) refusedSBOMs(about []Attestation) (count tally, closest *quorum, documents int) {
	s := e.spec.SBOM
	quorums := map[string]*quorum{}
	for _, a := range about {
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
