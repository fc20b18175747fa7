package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// manyRules has several entries wherever a policy can.
const manyRules = `
authorities: [{name: a, anyOf: [{keyFile: ci.pub}]}, {name: b, threshold: 2, anyOf: [{keyFile: ci.pub}, {keyFile: other.pub}]}]
signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}, {name: both, signedBy: [b]}, {name: any, signedBy: [a, b]}]
attestations: [{name: tests, predicateType: "` + testResult + `", signedBy: [a], expression: 'predicate.result == "PASSED"'}, {name: again, predicateType: "` + testResult + `", signedBy: [b, a]}]
vulnerabilities:
  deny: [{severity: critical, fixed: true}, {knownExploited: true}, {severity: high}, {fixed: true, after: 7d}, {fixed: true, after: 14d, severity: low}]
  counts: [{severity: high, deny: "> 0"}, {deny: ">= 2"}, {fixed: true, deny: "!= 0"}]
  exceptions: [{id: CVE-1, expires: 2026-12-31, owner: a, reason: x}, {id: CVE-2, package: openssl, expires: 2026-12-31, owner: b, reason: y}]
patchLevel:
  operatingSystems: {endOfLife: deny, allow: ["debian >= 12", "alpine >= 3.20"]}
  packages: [{type: deb, name: openssl, minimum: 3.0.17-1~deb12u3}, {type: deb, name: openssl, minimum: 3.0.1}, {type: apk, name: openssl, minimum: 3.0.1-r0}]
rules:
  - {name: non-root, expression: 'image.config.user != "root"'}
  - {name: few, expression: 'packages.size() < 100'}
  - {name: none, expression: 'image.labels["absent"] == "x"'}
`

// The order in which a policy is written changes no verdict and no word of a
// finding, but for the number of a count.
func TestTheOrderInWhichAPolicyIsWrittenIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, manyRules)
	written, err := json.Marshal(c.Spec())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		// The thresholds of counts are written and read as texts, all else too.
		var spec policy.Spec
		if err := json.Unmarshal(written, &spec); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		v := spec.Vulnerabilities
		shuffle(r, spec.Authorities)
		shuffle(r, spec.Signatures)
		shuffle(r, spec.Attestations)
		shuffle(r, v.Deny)
		shuffle(r, v.Counts)
		shuffle(r, v.Exceptions)
		shuffle(r, spec.PatchLevel.Packages)
		shuffle(r, spec.PatchLevel.OperatingSystems.Allow)
		shuffle(r, spec.Rules)
		for i := range spec.Authorities {
			shuffle(r, spec.Authorities[i].AnyOf)
		}
		other, err := policy.Compile(policy.Policy{APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "test"}, Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		ev := drawn(t, k)
		now := received().Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "waits")) * wait)
		a, b := findings(t, policy.Evaluate(c, ev, now)), findings(t, policy.Evaluate(other, ev, now))
		if !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

// findings is a result without what says where in the policy a rule is, and
// lists the policy's own.
func findings(t *rapid.T, r policy.Result) []byte {
	r.Fingerprint = ""
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Check == policy.CheckOperatingSystems {
			f.Expected, f.Remedy = "", ""
		}
		if f.Check == policy.CheckVulnerabilities && strings.HasPrefix(f.Rule, "counts") {
			f.Rule = "counts"
		}
	}
	slices.SortFunc(r.Findings, func(a, b policy.Finding) int { return bytes.Compare(encoded(t, a), encoded(t, b)) })
	return encoded(t, r)
}

func encoded(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An exception is about its own vulnerability: every other finding stays as it
// is, and what it changes is a refusal that becomes an information.
func TestAnExceptionOfThePolicyNarrowsOnlyItsOwnRule(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	const rules = "signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\nvulnerabilities: {deny: [{severity: low}, {fixed: true, after: 7d}]%s}\npatchLevel: {maxAge: 30d}\n"
	without := k.compile(t, fmt.Sprintf(rules, ""))
	with := k.compile(t, fmt.Sprintf(rules, `, exceptions: [{id: CVE-2, package: openssl, repositories: ["team-a/**"], expires: 2026-12-31, owner: a, reason: x}]`))
	rapid.Check(t, func(t *rapid.T) {
		ev := drawn(t, k)
		before, after := policy.Evaluate(without, ev, received()), policy.Evaluate(with, ev, received())
		excused := func(f policy.Finding) bool { return f.Check == policy.CheckVulnerabilities && f.Rule == "CVE-2" }
		rest := func(r policy.Result) []byte { return encoded(t, slices.DeleteFunc(slices.Clone(r.Findings), excused)) }
		if a, b := rest(before), rest(after); !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
		for _, f := range after.Findings {
			if excused(f) && (f.Outcome != policy.OutcomeInfo || f.Reason != policy.ReasonExcepted) {
				t.Errorf("%+v", f)
			}
		}
		if again := policy.Evaluate(with, ev, received()); !bytes.Equal(encoded(t, after), encoded(t, again)) {
			t.Errorf("the same inputs, %s\n%s", encoded(t, after), encoded(t, again))
		}
	})
}
