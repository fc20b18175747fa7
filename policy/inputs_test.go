package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A result lists the evidence by the policy's authorities, each piece once and
// in order, and nobody else's.
func TestInputsAreTheAuthoritiesEvidence(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := k.good()
	ci, other := []string{k.ci.ID}, []string{k.other.ID}
	ev.Signatures = []policy.Signature{
		{Manifest: "b", Digest: "2", Result: policy.Verified, VerifiedBy: ci},
		{Manifest: "b", Digest: "1", Result: policy.Verified, VerifiedBy: ci},
		{Manifest: "b", Digest: "1", Result: policy.Verified, VerifiedBy: ci},
		{Manifest: "c", Digest: "3", Result: policy.Verified, VerifiedBy: other},
		{Manifest: "d", Digest: "4", Result: policy.UnknownSigner},
		{Manifest: "e", Digest: "5", Result: policy.Verified, Identities: []policy.Identity{{TrustRoot: "sigstore", Issuer: "i", Subject: "anybody"}}},
	}
	ev.Attestations = []policy.Attestation{{Manifest: "a", Digest: "6", Result: policy.Verified, VerifiedBy: ci, PredicateType: testResult}}
	got := policy.Evaluate(k.compile(t, signed), ev, received()).Inputs
	if diff := cmp.Diff([]policy.Input{{Manifest: "a", Digest: "6"}, {Manifest: "b", Digest: "1"}, {Manifest: "b", Digest: "2"}}, got); diff != "" {
		t.Error(diff)
	}
}
