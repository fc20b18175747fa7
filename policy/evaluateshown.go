package policy

import (
	"cmp"
	"slices"
)

// shownSignature is a signature as expressions see it: lists are there even
// when they are empty.
type shownSignature struct {
	Signature

	VerifiedBy []string        `json:"verifiedBy"`
	Identities []shownIdentity `json:"identities"`
	// SignedBy are the names of the policy's authorities that stand behind
	// it.
	SignedBy []string `json:"signedBy"`
}

// shownAttestation is an attestation as expressions see it.
type shownAttestation struct {
	Attestation

	PredicateType string          `json:"predicateType"`
	VerifiedBy    []string        `json:"verifiedBy"`
	Identities    []shownIdentity `json:"identities"`
	SignedBy      []string        `json:"signedBy"`
}

// shownIdentity is an identity as expressions see it.
type shownIdentity struct {
	Identity

	Claims map[string]string `json:"claims"`
}

// shownSignatures are the signatures as expressions see them: verified means
// verified by an authority of this policy. Anybody can have a certificate, and
// another policy's keys are strangers here.
func (e *evaluation) shownSignatures() []shownSignature {
	shown := make([]shownSignature, 0, len(e.evidence.Signatures))
	for _, s := range e.evidence.Signatures {
		names := e.names(s.proof())
		if s.Result == Verified && len(names) == 0 {
			s.Result = UnknownSigner
		}
		shown = append(shown, shownSignature{s, listed(s.VerifiedBy), shownIdentities(s.Identities), names})
	}
	return shown
}

// shownAttestations are the attestations as expressions see them. What a
// stranger attested is not shown, nor that it is of a type that somebody may
// look for.
func (e *evaluation) shownAttestations() []shownAttestation {
	shown := make([]shownAttestation, 0, len(e.evidence.Attestations))
	for _, a := range e.evidence.Attestations {
		names := e.names(a.proof())
		if a.Result == Verified && len(names) == 0 {
			a.Result = UnknownSigner
		}
		if a.Result != Verified {
			a.PredicateType, a.Predicate = "", nil
		}
		shown = append(shown, shownAttestation{a, a.PredicateType, listed(a.VerifiedBy), shownIdentities(a.Identities), names})
	}
	return shown
}

func listed(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func shownIdentities(identities []Identity) []shownIdentity {
	shown := make([]shownIdentity, 0, len(identities))
	for _, id := range identities {
		claims := id.Claims
		if claims == nil {
			claims = map[string]string{}
		}
		shown = append(shown, shownIdentity{id, claims})
	}
	return shown
}

// inputs lists the evidence by the policy's authorities, each piece once.
func (e *evaluation) inputs() []Input {
	var all []Input
	for _, s := range e.evidence.Signatures {
		if e.compiled.knows(s.proof()) {
			all = append(all, Input{s.Manifest, s.Digest})
		}
	}
	for _, a := range e.evidence.Attestations {
		if e.compiled.knows(a.proof()) {
			all = append(all, Input{a.Manifest, a.Digest})
		}
	}
	slices.SortFunc(all, func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.Compact(all)
}

// names lists the authorities, by their names in the policy, that stand behind
// a piece of evidence.
func (e *evaluation) names(p proof) []string {
	names := []string{}
	for name, g := range e.compiled.signers {
		if _, who := g.signedBy(p); len(who) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
