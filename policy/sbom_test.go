package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	takesSBOM = "sbom: {predicateTypes: [https://cyclonedx.org/bom, https://spdx.dev/Document/v2.3], signedBy: [ci]}\n"
	needsSBOM = "sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [ci], required: true}\n"
	document  = `{"bomFormat":"CycloneDX","name":"<a & b>"}`
)

func sbomBy(a policy.Authority) policy.Attestation {
	return policy.Attestation{
		Form: "bundle", Manifest: "sha256:" + strings.Repeat("cd", 32), Result: policy.Verified, VerifiedBy: []string{a.ID},
		PredicateType: policy.PredicateCycloneDX, Predicate: json.RawMessage(document),
	}
}

// bySBOM is evidence whose scan rests on an SBOM of the signer ci.
func (k keys) bySBOM(tb testing.TB) *policy.Evidence {
	tb.Helper()
	ev := k.good()
	a := sbomBy(k.ci)
	s, ok := policy.NewSBOM(a)
	if !ok {
		tb.Fatal("no SBOM")
	}
	ev.Attestations = append(ev.Attestations, a)
	platform(ev).Digest = ev.Subject.Digest
	platform(ev).Scan.Catalogue = policy.Catalogue{From: policy.CatalogueSBOM, Attestation: s.Attestation, Document: s.Digest}
	return ev
}

// sbomIs changes the attestation that carries the SBOM.
func sbomIs(change func(a *policy.Attestation, k keys)) edit {
	return func(k keys, ev *policy.Evidence) { change(&ev.Attestations[len(ev.Attestations)-1], k) }
}

// A scan by an SBOM counts as long as an attestation that the policy accepts
// carries exactly that document; else the checks have no answer.
func TestAScanByAnSBOMCountsWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	const rule = `rules: [{name: few, expression: 'packages.size() < 100'}]` + "\n"
	for _, tt := range []struct {
		name, rules string
		edit        edit
		want        policy.Verdict
	}{
		{"accepted", signed + critical + takesSBOM, nil, policy.VerdictPromoted},
		{"accepted, with a vulnerability", signed + critical + takesSBOM, cve(nil), policy.VerdictRejected},
		{"a policy without sbom: vulnerabilities", signed + critical, nil, policy.VerdictError},
		{"a policy without sbom: packages", signed + openssl, nil, policy.VerdictError},
		{"a policy without sbom: systems", signed + systems, nil, policy.VerdictError},
		{"a policy without sbom: rules", signed + rule, nil, policy.VerdictError},
		{"a policy without sbom that needs no scan", signed, nil, policy.VerdictPromoted},
		{"the attestation is gone", signed + critical + takesSBOM, func(_ keys, ev *policy.Evidence) { ev.Attestations = ev.Attestations[:1] }, policy.VerdictError},
		{"by a stranger", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, _ keys) { a.Result, a.VerifiedBy = policy.UnknownSigner, nil }), policy.VerdictError},
		{"by another authority", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, k keys) { a.VerifiedBy = []string{k.other.ID} }), policy.VerdictError},
		{"invalid, although a key is named", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, _ keys) { a.Result = policy.Invalid }), policy.VerdictError},
		{"another type", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, _ keys) { a.PredicateType = testResult }), policy.VerdictError},
		{"another document", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`{}`) }), policy.VerdictError},
		{"the same document, written otherwise", signed + critical + takesSBOM, sbomIs(func(a *policy.Attestation, _ keys) {
			a.Predicate = json.RawMessage(`{ "bomFormat": "CycloneDX", "name": "\u003ca \u0026 b\u003e" }`)
		}), policy.VerdictPromoted},
		{"a platform of an index", signed + critical + takesSBOM, func(_ keys, ev *policy.Evidence) { platform(ev).Digest = "sha256:" + strings.Repeat("ef", 32) }, policy.VerdictError},
		{"an origin nobody knows", signed + critical + takesSBOM, scanIs(func(s *policy.Scan) { s.Catalogue.From = "hearsay" }), policy.VerdictError},
		{"layers, with a policy that takes SBOMs", signed + critical + takesSBOM, scanIs(func(s *policy.Scan) { s.Catalogue = policy.Catalogue{From: policy.CatalogueLayers} }), policy.VerdictPromoted},
		{"evidence from before", signed + critical, scanIs(func(s *policy.Scan) { s.Catalogue = policy.Catalogue{} }), policy.VerdictPromoted},
		{"an expression that wants layers", signed + takesSBOM + `rules: [{name: layers, expression: 'catalogue.from == "layers"'}]`, nil, policy.VerdictRejected},
		{"an expression that is content", signed + takesSBOM + `rules: [{name: sbom, expression: 'catalogue.from == "sbom" && catalogue.document.startsWith("sha256:")'}]`, nil, policy.VerdictPromoted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.bySBOM(t)
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			if got := policy.Evaluate(k.compile(t, tt.rules), ev, received()); got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
		})
	}
}

func TestARequiredSBOMIsAwaited(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, signed+needsSBOM)
	gone := func(_ keys, ev *policy.Evidence) { ev.Attestations = nil }
	for _, tt := range []struct {
		name    string
		edit    edit
		late    bool
		want    policy.Verdict
		outcome policy.Reason
	}{
		{"there", nil, false, policy.VerdictPromoted, ""},
		{"two that disagree are both there", func(_ keys, ev *policy.Evidence) {
			second := ev.Attestations[1]
			second.Predicate = json.RawMessage(`{}`)
			ev.Attestations = append(ev.Attestations, second)
		}, false, policy.VerdictPromoted, ""},
		{"not yet", gone, false, policy.VerdictPending, policy.ReasonAbsent},
		{"too late", gone, true, policy.VerdictRejected, policy.ReasonAbsent},
		{"by a stranger", sbomIs(func(a *policy.Attestation, _ keys) { a.Result, a.VerifiedBy = policy.UnknownSigner, nil }), false, policy.VerdictRejected, policy.ReasonWrongSigner},
		{"no JSON object", sbomIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`"SPDXVersion: SPDX-2.3"`) }), false, policy.VerdictRejected, policy.ReasonMalformed},
		{"nobody knows", func(k keys, ev *policy.Evidence) { gone(k, ev); problem(policy.PartSignatures, "")(k, ev) }, true, policy.VerdictError, policy.ReasonUnavailable},
		{"an image that nobody could read", func(k keys, ev *policy.Evidence) { ev.Image.Platforms = nil; problem(policy.PartImage, "")(k, ev) }, true, policy.VerdictError, policy.ReasonUnavailable},
		{"an index of whose platform nobody asked", func(_ keys, ev *policy.Evidence) { platform(ev).Digest = "sha256:" + strings.Repeat("ef", 32) }, true, policy.VerdictError, policy.ReasonUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev, now := k.bySBOM(t), received()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			if tt.late {
				now = now.Add(wait)
			}
			got := policy.Evaluate(c, ev, now)
			var reason policy.Reason
			if len(got.Findings) > 0 {
				reason = got.Findings[0].Reason
			}
			if got.Verdict != tt.want || reason != tt.outcome {
				t.Errorf("%s (%s), want %s (%s): %+v", got.Verdict, reason, tt.want, tt.outcome, got.Findings)
			}
		})
	}
}

// Whatever happens to the attestations that are in the evidence, a no does not
// become a yes.
func TestNothingDoneToSBOMsTurnsANoIntoAYes(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, strict+takesSBOM)
	base := k.bySBOM(t)
	if got := policy.Evaluate(c, base, received()); got.Verdict != policy.VerdictPromoted {
		t.Fatalf("%s: %+v", got.Verdict, got.Findings)
	}
	rapid.Check(t, func(rt *rapid.T) {
		ev := drawn(rt, k)
		platform(ev).Digest, platform(ev).Scan.Catalogue = base.Subject.Digest, platform(base).Scan.Catalogue
		kept := rapid.SliceOfN(rapid.SampledFrom([]policy.Attestation{sbomBy(k.ci), sbomBy(k.other), base.Attestations[0]}), 0, 4).Draw(rt, "attestations")
		ev.Attestations = append(ev.Attestations, kept...)
		if policy.Evaluate(c, ev, received()).Verdict == policy.VerdictPromoted {
			return
		}
		if n := len(ev.Attestations); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(rt, "taken away")
			ev.Attestations = append(ev.Attestations[:i:i], ev.Attestations[i+1:]...)
		}
		ev.Attestations = append(ev.Attestations, sbomBy(k.other))
		if after := policy.Evaluate(c, ev, received()); after.Verdict == policy.VerdictPromoted {
			rt.Errorf("became %s", after.Verdict)
		}
	})
}

func TestMistakesAboutSBOMs(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for _, tt := range []struct{ name, sbom, want string }{
		{"no types", "sbom: {signedBy: [ci]}", "predicateTypes: missing"},
		{"a type that is no SBOM", "sbom: {predicateTypes: [https://slsa.dev/provenance/v1], signedBy: [ci]}", "no type of an SBOM"},
		{"a type that only begins like one", "sbom: {predicateTypes: [https://cyclonedx.org/bombs], signedBy: [ci]}", "no type of an SBOM"},
		{"no signers", "sbom: {predicateTypes: [https://cyclonedx.org/bom]}", "signedBy: missing"},
		{"an unknown signer", "sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [nobody]}", `no authority is named "nobody"; known here: ci`},
		{"nothing to stand in for", "sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [ci]}", "stands in for a scan that nothing here asks for"},
		{"an unknown key", "sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [ci], require: true}", "require"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n  from: staging\n" +
				"  match: {repositories: [\"**\"]}\n  promote: {to: golden, repository: x, tags: [y]}\n" + indent(signed+tt.sbom)
			_, err := policyfile.Parse("test.yaml", []byte(text), func(string) ([]byte, error) { return k.ci.PublicKey, nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// The digest of an SBOM outlives that the evidence is stored.
func TestTheDigestOfAnSBOMIsThatOfTheRecord(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	a := sbomBy(k.ci)
	a.Predicate = json.RawMessage("{\n \"name\": \"<a & b> \u2028\" }")
	before, _ := policy.NewSBOM(a)
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var stored policy.Attestation
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	after, ok := policy.NewSBOM(stored)
	if diff := cmp.Diff(before, after); !ok || diff != "" {
		t.Errorf("stored %v (-before +after):\n%s", ok, diff)
	}
	for _, none := range []string{"", "null", "[]", `"{}"`, "7", "{"} {
		if _, ok := policy.NewSBOM(policy.Attestation{Predicate: json.RawMessage(none)}); ok {
			t.Errorf("%q is taken for an SBOM", none)
		}
	}
}
