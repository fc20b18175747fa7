package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// strict is a policy with every kind of rule.
const strict = `
signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]
attestations: [{name: tests, predicateType: "` + testResult + `", signedBy: [ci], expression: 'predicate.result == "PASSED"'}]
vulnerabilities: {deny: [{severity: critical, fixed: true}, {knownExploited: true}], exceptions: [{id: CVE-1, expires: 2026-12-31, owner: sec@acme.example, reason: SEC-12}]}
patchLevel:
  maxAge: 30d
  operatingSystems: {endOfLife: deny, allow: ["debian >= 12", "alpine >= 3.20"]}
  packages: [{type: deb, name: openssl, minimum: 3.0.17-1~deb12u3}]
  labels: {team: "[a-z]+"}
rules:
  - {name: non-root, expression: 'image.config.user != "root"'}
  - {name: few, expression: 'packages.size() < 100'}
`

// drawn is evidence with a random part of what can be wrong.
func drawn(t *rapid.T, k keys) *policy.Evidence {
	ev := k.good()
	edits := []edit{
		noSignature, signatureIs(policy.UnknownSigner, "x"), signatureIs(policy.Invalid, "y"), signatureIs(policy.Malformed, "z"),
		func(_ keys, ev *policy.Evidence) { ev.Attestations = nil },
		attestationIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`{"result":"FAILED"}`) }),
		cve(nil), cve(func(v *policy.Vulnerability) { v.ID = "CVE-2" }), cve(func(v *policy.Vulnerability) { v.ID, v.FixState = "CVE-3", "wont-fix" }),
		createdAt(nil), createdAt(ago(99 * dayAge)), systemIs("debian", "11", received()), scanIs(func(s *policy.Scan) { s.Database = nil }),
		scanIs(func(s *policy.Scan) { s.Packages[0].Version = "1.0" }), problem(policy.PartSignatures, ""), problem(policy.PartScan, "linux/amd64"),
		problem(policy.PartVulnerabilities, "linux/amd64"), func(_ keys, ev *policy.Evidence) { platform(ev).Config.User = "root" },
	}
	for i, e := range edits {
		if rapid.IntRange(0, 3).Draw(t, fmt.Sprintf("edit %d", i)) == 0 {
			e(k, ev)
		}
	}
	return ev
}

func TestTheOrderOfRulesAndEvidenceIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, strict)
	rapid.Check(t, func(t *rapid.T) {
		ev := drawn(t, k)
		secondPlatform(func(p *policy.Platform) { p.Config.User = "root" })(k, ev)
		first := policy.Evaluate(c, ev, received())
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffle(r, ev.Signatures)
		shuffle(r, ev.Attestations)
		shuffle(r, ev.Problems)
		shuffle(r, ev.Image.Platforms)
		for _, p := range ev.Image.Platforms {
			shuffle(r, p.Scan.Vulnerabilities)
			shuffle(r, p.Scan.Packages)
		}
		second := policy.Evaluate(c, ev, received())
		if a, b := text(t, first), text(t, second); !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

func shuffle[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func text(t *rapid.T, r policy.Result) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever is taken away, a no does not become a yes; nor does it when a
// stranger adds something.
func TestNothingThatAStrangerDoesTurnsANoIntoAYes(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, strict)
	changes := map[string]func(ev *policy.Evidence){
		"take a signature away":    func(ev *policy.Evidence) { ev.Signatures = cutOne(ev.Signatures) },
		"take an attestation away": func(ev *policy.Evidence) { ev.Attestations = cutOne(ev.Attestations) },
		"take the scan away":       func(ev *policy.Evidence) { platform(ev).Scan = nil },
		"take the database away":   func(ev *policy.Evidence) { platform(ev).Scan.Database = nil },
		"take the packages away":   func(ev *policy.Evidence) { platform(ev).Scan.Packages = nil },
		"take the system away":     func(ev *policy.Evidence) { platform(ev).Scan.OS = nil },
		"take the date away":       func(ev *policy.Evidence) { platform(ev).Created = nil },
		"take the platforms away":  func(ev *policy.Evidence) { ev.Image.Platforms = nil },
		"add a stranger's signature": func(ev *policy.Evidence) {
			ev.Signatures = append(ev.Signatures, policy.Signature{Result: policy.UnknownSigner})
		},
		"add another key's signature": func(ev *policy.Evidence) {
			ev.Signatures = append(ev.Signatures, policy.Signature{Result: policy.Verified, VerifiedBy: []string{k.other.ID}})
		},
		"add a stranger's attestation": func(ev *policy.Evidence) {
			ev.Attestations = append(ev.Attestations, policy.Attestation{Result: policy.UnknownSigner, PredicateType: testResult, Predicate: json.RawMessage(`{"result":"PASSED"}`)})
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		ev := drawn(t, k)
		before := policy.Evaluate(c, ev, received())
		if before.Verdict == policy.VerdictPromoted {
			return
		}
		name := rapid.SampledFrom(sorted(changes)).Draw(t, "change")
		changes[name](ev)
		if after := policy.Evaluate(c, ev, received()); after.Verdict == policy.VerdictPromoted {
			t.Errorf("%s: %s became %s; before: %+v", name, before.Verdict, after.Verdict, before.Findings)
		}
	})
}

func cutOne[T any](s []T) []T {
	if len(s) == 0 {
		return s
	}
	return s[1:]
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A stranger who may push signatures cannot spoil what is signed well.
func TestAStrangerDoesNotSpoilAYes(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, strict)
	ev := k.good()
	ev.Signatures = append([]policy.Signature{{Result: policy.UnknownSigner}, {Result: policy.Invalid}, {Result: policy.Malformed}}, ev.Signatures...)
	ev.Attestations = append([]policy.Attestation{
		{Result: policy.UnknownSigner, PredicateType: testResult}, {Result: policy.Malformed},
	}, ev.Attestations...)
	if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictPromoted {
		t.Errorf("%s: %+v", got.Verdict, got.Findings)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	k := newKeys(b)
	c := k.compile(b, strict)
	ev := k.good()
	scan := platform(ev).Scan
	for i := range 300 {
		scan.Packages = append(scan.Packages, policy.Package{Type: "deb", Name: fmt.Sprintf("lib%d", i), Version: "1.2.3-4"})
	}
	for i := range 50 {
		cve(func(v *policy.Vulnerability) { v.ID, v.Severity = fmt.Sprintf("CVE-%d", i+10), policy.SeverityMedium })(k, ev)
	}
	for b.Loop() {
		policy.Evaluate(c, ev, received())
	}
}
