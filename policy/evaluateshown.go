package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
)

// shownSignature is a signature as expressions see it: lists are there even
// when they are empty.
type shownSignature struct {
	Signature

	VerifiedBy []string        `json:"verifiedBy"`
	Identities []shownIdentity `json:"identities"`
	// SignedBy are the names of the policy's authorities that stand behind
	// it; one with a threshold, only when it is reached.
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
// verified by an authority of this policy, with as many of its signers as it
// takes. Anybody can have a certificate, and
// another policy's keys are strangers here.
func (e *evaluation) shownSignatures() []shownSignature {
	shown := make([]shownSignature, 0, len(e.evidence.Signatures))
	proofs := make([]proof, 0, len(e.evidence.Signatures))
	for _, s := range e.evidence.Signatures {
		proofs = append(proofs, s.proof())
	}
	standers := e.compiled.standers(proofs)
	for _, s := range e.evidence.Signatures {
		names := standers.behind(s.proof())
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
	statements := make([]string, 0, len(e.evidence.Attestations))
	proofs := map[string][]proof{}
	for _, a := range e.evidence.Attestations {
		statement := a.statement()
		statements = append(statements, statement)
		proofs[statement] = append(proofs[statement], a.proof())
	}
	behind := map[string]standers{}
	for statement, kind := range proofs {
		behind[statement] = e.compiled.standers(kind)
	}
	for i, a := range e.evidence.Attestations {
		names := behind[statements[i]].behind(a.proof())
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

// inputs lists the evidence by the policy's authorities, about the subject and
// about its platforms, each piece once.
func (e *evaluation) inputs() []Input {
	var all []Input
	for _, s := range e.evidence.Signatures {
		if e.compiled.knows(s.proof()) {
			all = append(all, Input{s.Manifest, s.Digest})
		}
	}
	attestations := slices.Clone(e.evidence.Attestations)
	if e.compiled.AsksAboutPlatforms() {
		for _, p := range e.evidence.Image.Platforms {
			attestations = append(attestations, p.Attestations...)
		}
	}
	for _, a := range attestations {
		if e.compiled.knows(a.proof()) {
			all = append(all, Input{a.Manifest, a.Digest})
		}
	}
	slices.SortFunc(all, func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.Compact(all)
}

// standers are the authorities that stand behind evidence of one kind: all of
// whose signers that it takes are among those who signed it.
type standers struct {
	signers  map[string]group // the policy's, by name
	complete map[string]bool
}

// standers finds the authorities that stand behind evidence of one kind.
func (c *Compiled) standers(kind []proof) standers {
	s := standers{signers: c.signers, complete: map[string]bool{}}
	for name, g := range c.signers {
		q := newQuorum([]group{g})
		for _, p := range kind {
			q.add(p)
		}
		s.complete[name] = q.reached()
	}
	return s
}

// behind lists those, by their names in the policy, of which somebody signed a
// piece of the evidence.
func (s standers) behind(p proof) []string {
	names := []string{}
	for name, g := range s.signers {
		if _, who := g.signedBy(p); len(who) > 0 && s.complete[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// statement tells what is attested apart, of a type: signers of different
// statements are not several signers of one.
func (a Attestation) statement() string {
	predicate, err := json.Marshal(a.Predicate) // as evidence is recorded
	if err != nil {
		predicate = a.Predicate
	}
	sum := sha256.Sum256(predicate)
	return a.PredicateType + " " + string(sum[:])
}
