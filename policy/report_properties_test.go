package policy_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/vex"
	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

// drawnStatements is evidence with some vulnerabilities, reports about them and
// VEX statements.
func drawnStatements(t *rapid.T, k keys) *policy.Evidence {
	ev := k.good()
	platform(ev).Digest = ev.Subject.Digest
	ids := []string{"CVE-1", "CVE-2", "CVE-3", "CVE-9"}
	for _, id := range rapid.SliceOfDistinct(rapid.SampledFrom(ids), func(s string) string { return s }).Draw(t, "found") {
		cve(func(v *policy.Vulnerability) { v.ID, v.Aliases = id, []string{"GHSA-" + id} })(k, ev)
	}
	pieces := []edit{
		reports(grype(0)), reports(grype(time.Hour, openCritical)), reports(grype(9*dayAge, openCritical)), reports(`{}`), reports(undated(0)),
		listed("CVE-1", "GHSA-CVE-2"), listed(),
		states(notAffected("CVE-1", 0)), states(says("CVE-1", "affected", "", thisImage(), 0)), states(says("GHSA-CVE-2", "under_investigation", "", thisImage(), 0)),
		states(notAffected("CVE-9", time.Hour), says("CVE-9", "fixed", "", in("pkg:deb/debian/curl@1"), 0)), states(says("CVE-3", "fixed", "", "", 0)),
		states(notAffected("CVE-2", -dayAge)), attests(nobody, vex.PredicateOpenVEX, `{}`), attests(nobody, vex.PredicateCycloneDX, cyclone("resolved", "openssl")),
	}
	for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, len(pieces)-1), func(i int) int { return i }).Draw(t, "pieces") {
		pieces[i](k, ev)
	}
	return ev
}

func everySource() string {
	return security(bothSources, `deny: [{severity: high, fixed: true}, {knownExploited: true}], counts: [{deny: "> 3"}], `+excuse("CVE-3", "openssl"))
}

func TestTheOrderOfReportsAndStatementsIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, everySource())
	rapid.Check(t, func(t *rapid.T) {
		ev := drawnStatements(t, k)
		first := policy.Evaluate(c, ev, received())
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffle(r, ev.Attestations)
		shuffle(r, platform(ev).Scan.Vulnerabilities)
		if a, b := text(t, first), text(t, policy.Evaluate(c, ev, received())); !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

// Without what a policy asks for, nothing that is left makes a yes of a no:
// neither without all reports, the scan or all statements, nor without one
// statement that excuses.
func TestLessIsNeverEnough(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, everySource())
	without := func(ev *policy.Evidence, gone func(a policy.Attestation) bool) *policy.Evidence {
		less := *ev
		less.Attestations = nil
		for _, a := range ev.Attestations {
			if !gone(a) {
				less.Attestations = append(less.Attestations, a)
			}
		}
		return &less
	}
	rapid.Check(t, func(t *rapid.T) {
		ev := drawnStatements(t, k)
		before := policy.Evaluate(c, ev, received())
		isReport := func(a policy.Attestation) bool {
			return a.PredicateType == vulnreport.PredicateCosign || a.PredicateType == vulnreport.PredicateInTotoV02
		}
		if got := policy.Evaluate(c, without(ev, isReport), received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("a yes without any report: %+v", got.Findings)
		}
		unscanned := without(ev, func(policy.Attestation) bool { return false })
		unscanned.Image.Platforms = []policy.Platform{*platform(ev)}
		unscanned.Image.Platforms[0].Scan = nil
		if got := policy.Evaluate(c, unscanned, received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("a yes without the scan: %+v", got.Findings)
		}
		if before.Verdict == policy.VerdictPromoted {
			return
		}
		excuses := []string{openVEX(notAffected("CVE-1", 0)), openVEX(says("CVE-3", "fixed", "", "", 0)), cyclone("resolved", "openssl")}
		for _, excusing := range excuses {
			less := without(ev, func(a policy.Attestation) bool { return string(a.Predicate) == excusing })
			if got := policy.Evaluate(c, less, received()); got.Verdict == policy.VerdictPromoted {
				t.Errorf("a yes without %s: %+v", excusing, got.Findings)
			}
		}
		less := without(ev, func(a policy.Attestation) bool { return vex.IsPredicateType(a.PredicateType) })
		if got := policy.Evaluate(c, less, received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("a yes without any statement: %+v", got.Findings)
		}
	})
}

// The only platform of an index is judged by what is attested about it as an image
// is; with a second one of which nothing is attested, no yes is left.
func TestAPlatformIsJudgedAsAnImageIs(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, everySource())
	rapid.Check(t, func(t *rapid.T) {
		ev := drawnStatements(t, k)
		alone := policy.Evaluate(c, ev, received())
		p := *platform(ev)
		p.Digest, p.Attestations = "sha256:"+strings.Repeat("ef", 32), append([]policy.Attestation{}, ev.Attestations...)
		index := *ev
		index.Image.Platforms, index.Attestations = []policy.Platform{p}, nil
		if got := policy.Evaluate(c, &index, received()); got.Verdict != alone.Verdict || len(got.Findings) != len(alone.Findings) {
			t.Errorf("alone %s %+v\nin an index %s %+v", alone.Verdict, alone.Findings, got.Verdict, got.Findings)
		}
		second := p
		second.Name, second.Digest, second.Attestations = "linux/arm64", "sha256:"+strings.Repeat("ee", 32), []policy.Attestation{}
		index.Image.Platforms = append(index.Image.Platforms, second)
		if got := policy.Evaluate(c, &index, received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("a yes though nothing is attested of one platform: %+v", got.Findings)
		}
	})
}

// Whatever strangers attest changes nothing that is found.
func TestStrangersStateNothing(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, vulnerabilities("vex: {signedBy: [ci]}", deniesFixed))
	rapid.Check(t, func(t *rapid.T) {
		ev := drawnStatements(t, k)
		kept := ev.Attestations[:0:0]
		for _, a := range ev.Attestations {
			if a.VerifiedBy[0] == k.ci.ID {
				kept = append(kept, a)
			}
		}
		with := policy.Evaluate(c, ev, received())
		ev.Attestations = kept
		if a, b := text(t, with), text(t, policy.Evaluate(c, ev, received())); !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

// An excuse is about its own vulnerability: every other that was refused still
// is.
func TestAnExcuseIsAboutOneVulnerability(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, everySource())
	refused := func(r policy.Result) map[string]bool {
		ids := map[string]bool{}
		for _, f := range r.Findings {
			if f.Outcome == policy.OutcomeFail && f.Reason == policy.ReasonDenied {
				ids[f.Rule] = true
			}
		}
		return ids
	}
	rapid.Check(t, func(t *rapid.T) {
		ev := drawnStatements(t, k)
		before := refused(policy.Evaluate(c, ev, received()))
		n := rapid.SampledFrom([]int{1, 2, 3, 9}).Draw(t, "excused")
		excused := fmt.Sprintf("CVE-%d", n)
		states(notAffected(excused, -time.Minute))(k, ev)
		after := refused(policy.Evaluate(c, ev, received()))
		for id := range before {
			if id != excused && id != "GHSA-"+excused && id != "counts[0]" && !after[id] {
				t.Errorf("%s is not refused any more", id)
			}
		}
		for id := range after {
			if !before[id] && id != "GHSA-"+excused {
				t.Errorf("%s is refused now", id)
			}
		}
	})
}
