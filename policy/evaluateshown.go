package policy

import "slices"

// shownSignature is a signature as expressions see it.
type shownSignature struct {
	Signature

	// SignedBy are the names of the policy's authorities that stand behind
	// it.
	SignedBy []string `json:"signedBy"`
}

// shownAttestation is an attestation as expressions see it.
type shownAttestation struct {
	Attestation

	SignedBy []string `json:"signedBy"`
}

// shownSignatures are the signatures as expressions see them: verified means
// verified by an authority of this policy. Anybody can have a certificate, and
// another policy's keys are strangers here.
func (e *evaluation) shownSignatures() []shownSignature {
	shown := make([]shownSignature, 0, len(e.evidence.Signatures))
	for _, s := range e.evidence.Signatures {
		names := e.names(s.Result, s.VerifiedBy, s.Identities)
		if s.Result == Verified && len(names) == 0 {
			s.Result = UnknownSigner
		}
		shown = append(shown, shownSignature{s, names})
	}
	return shown
}

// shownAttestations are the attestations as expressions see them; what a
// stranger attested is not shown.
func (e *evaluation) shownAttestations() []shownAttestation {
	shown := make([]shownAttestation, 0, len(e.evidence.Attestations))
	for _, a := range e.evidence.Attestations {
		names := e.names(a.Result, a.VerifiedBy, a.Identities)
		if a.Result == Verified && len(names) == 0 {
			a.Result, a.Predicate = UnknownSigner, nil
		}
		shown = append(shown, shownAttestation{a, names})
	}
	return shown
}

// names lists the authorities, by their names in the policy, that stand behind
// a piece of evidence.
func (e *evaluation) names(result Verification, verifiedBy []string, identities []Identity) []string {
	names := []string{}
	for name, g := range e.compiled.signers {
		if len(g.signedBy(result, verifiedBy, identities)) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
