package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Attestations can be many megabytes: rules that do not ask for them do not
// look at them, and the others look once, not for each platform.
func TestRulesLookAtAttestationsOnceAndOnlyWhenTheyAsk(t *testing.T) { //nolint:paralleltest // it counts allocations
	f := newFiles(t)
	predicate := `{"l":[` + strings.Repeat(`"a",`, 9999) + `"a"]}`
	allocations := func(expression string, platforms int) float64 {
		c := f.compile(t, "authorities: [{name: ci, anyOf: ["+keyA+"]}]\nrules: [{name: rule, expression: '"+expression+"'}]")
		ev := evidence(t, f, c, true, saying(key("a"), predicate))
		for i := range platforms - 1 {
			other := *platform(ev)
			other.Name = fmt.Sprintf("linux/%d", i)
			ev.Image.Platforms = append(ev.Image.Platforms, other)
		}
		return testing.AllocsPerRun(2, func() {
			if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictPromoted {
				t.Fatalf("%s: %+v", got.Verdict, got.Findings)
			}
		})
	}
	const some, none = `attestations.exists(a, a.predicate.l.size() > 0)`, `image.config.user != "root"`
	if n := allocations(none, 11); n > 5000 {
		t.Errorf("%.0f allocations, though no rule asks for attestations", n)
	}
	if one, eleven := allocations(some, 1), allocations(some, 11); eleven > 2*one {
		t.Errorf("%.0f allocations for one platform, %.0f for eleven", one, eleven)
	}
}

// What a rule uses is there, however it is written.
func TestRulesHaveWhatTheyUse(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for _, expression := range []string{
		`.signatures.size() == 1`, `signatures.exists(attestations, attestations.result == "verified")`, `has(image.config.user) && has(push.tag)`,
		`[subject, push].size() == 2 && [signatures, attestations, packages, vulnerabilities].all(l, l.size() >= 0)`,
		`{"a": os}.a.id != "" && catalogue.from == "layers"`, `image.labels.all(l, true) && now > timestamp("2020-01-01T00:00:00Z")`,
	} {
		c := f.compile(t, "authorities: [{name: ci, anyOf: ["+keyA+"]}]\nrules: [{name: rule, expression: '"+expression+"'}]")
		if got := policy.Evaluate(c, evidence(t, f, c, false, key("a")), received()); got.Verdict != policy.VerdictPromoted {
			t.Errorf("%s: %+v", expression, got.Findings)
		}
	}
}

// Two signers of two documents are not two signers of one.
func TestTwoDocumentsOfTwoSigners(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	c := f.compile(t, "authorities: [{name: ci, threshold: 2, anyOf: ["+keyA+", "+keyB+", "+keyC+"]}]\n"+needsSBOM)
	for name, tt := range map[string]struct {
		documents []string
		want      policy.Verdict
		found, do string
	}{
		"one":                  {[]string{`{"a":1}`}, policy.VerdictPending, "only 1 of 2 signers (the key a.pub", "have another of the signers attest the SBOM"},
		"two that differ":      {[]string{`{"a":1}`, `{"a":2}`}, policy.VerdictPending, ") of the same document (there are 2 different ones) so far", "have another of the signers attest the very same SBOM"},
		"two of three":         {[]string{`{"a":1}`, `{"a":2}`, `{ "a": 2 }`}, policy.VerdictPromoted, "", ""},
		"two that are no SBOM": {[]string{`"x"`, `"y"`}, policy.VerdictRejected, "2 malformed SBOMs", "attest the SBOM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var signed []by
			for i, document := range tt.documents {
				signed = append(signed, saying(key(string(rune('a'+i))), document))
			}
			ev := evidence(t, f, c, true, signed...)
			platform(ev).Digest = ev.Subject.Digest
			for i := range ev.Attestations {
				ev.Attestations[i].PredicateType = policy.PredicateCycloneDX
			}
			got := policy.Evaluate(c, ev, received())
			if got.Verdict != tt.want || !strings.Contains(first(got), tt.found) || tt.do != "" && !strings.Contains(got.Findings[0].Remedy, tt.do) {
				t.Errorf("%s: %+v; want %s, %q, %q", got.Verdict, got.Findings, tt.want, tt.found, tt.do)
			}
		})
	}
}

// Whose signature a rule reads about, with how many of whom it takes.
func TestRulesSeeWhoIsComplete(t *testing.T) {
	t.Parallel()
	const yes, no = policy.VerdictPromoted, policy.VerdictRejected
	const passed, failed = `{"passed":true}`, `{"passed":false}`
	f := newFiles(t)
	authorities := "authorities: [{name: security, threshold: 2, anyOf: [" + keyA + ", " + keyB + ", " + loggedA + "]}, {name: ci, anyOf: [" + keyC + "]}]\n"
	security, verified := `exists(s, "security" in s.signedBy)`, `exists(s, s.result == "verified")`
	says := `exists(s, "security" in s.signedBy && s.predicate.passed)`
	for _, tt := range []struct {
		name, expression string
		attestations     bool
		signed           []by
		want             policy.Verdict
	}{
		{"one of two", security, false, []by{key("a")}, no},
		{"two of two", security, false, []by{key("a"), key("b")}, yes},
		{"one twice", security, false, []by{key("a"), key("a", "", "sigstore")}, no},
		{"one of two is not verified", verified, false, []by{key("a")}, no},
		{"two of two are", verified, false, []by{key("a"), key("b")}, yes},
		{"one of one is", verified, false, []by{key("a"), key("c")}, yes},
		{"another authority completes nothing", security, false, []by{key("a"), key("c")}, no},
		{"one attests", security, true, []by{saying(key("a"), passed)}, no},
		{"two attest the same", says, true, []by{saying(key("a"), passed), saying(key("b"), `{ "passed": true }`)}, yes},
		{"two attest, and disagree", says, true, []by{saying(key("a"), passed), saying(key("b"), failed)}, no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list := "signatures."
			if tt.attestations {
				list = "attestations."
			}
			c := f.compile(t, authorities+"rules: [{name: rule, expression: '"+list+tt.expression+"'}]")
			if got := policy.Evaluate(c, evidence(t, f, c, tt.attestations, tt.signed...), received()); got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
		})
	}
	c := f.compile(t, authorities+`rules: [{name: rule, expression: 'attestations.exists(a, "security" in a.signedBy)'}]`)
	ev := evidence(t, f, c, true, saying(key("a"), passed), saying(key("b"), passed))
	ev.Attestations[1].PredicateType, ev.Attestations[1].Predicate = "https://slsa.dev/provenance/v1", json.RawMessage(passed)
	if got := policy.Evaluate(c, ev, received()); got.Verdict != no {
		t.Errorf("two who attest different things: %s", got.Verdict)
	}
}

// A rule that asks for vulnerabilities has no answer where nothing tells which
// there are, whatever else the policy asks for.
func TestRulesOverVulnerabilitiesNeedAMatchedScan(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	const clean = "rules: [{name: clean, expression: 'vulnerabilities.size() == 0'}]\n"
	built := func(age time.Duration) edit {
		return scanIs(func(s *policy.Scan) { s.Database = &policy.Database{Built: received().Add(-age)} })
	}
	for name, tt := range map[string]struct {
		rules string
		edit  edit
		want  policy.Verdict
	}{
		"a current database":            {clean, built(time.Hour), policy.VerdictPromoted},
		"as old as it may be":           {clean, built(48 * time.Hour), policy.VerdictPromoted},
		"a second older":                {clean, built(48*time.Hour + time.Second), policy.VerdictError},
		"as old as the policy says":     {clean + "vulnerabilities: {report: {maxAge: 72h}, deny: [{severity: critical}]}\n", built(72 * time.Hour), policy.VerdictPromoted},
		"as far ahead as clocks may be": {clean, built(-5 * time.Minute), policy.VerdictPromoted},
		"from the future":               {clean, built(-5*time.Minute - time.Second), policy.VerdictError},
		"the sample":                    {clean, scanIs(func(s *policy.Scan) { s.Database.Sample = true }), policy.VerdictError},
		"no database":                   {clean, scanIs(func(s *policy.Scan) { s.Database = nil }), policy.VerdictError},
		"packages of nobody knows":      {clean, scanIs(func(s *policy.Scan) { s.OS = nil }), policy.VerdictError},
		"a system without a package":    {clean, scanIs(func(s *policy.Scan) { s.Packages = nil }), policy.VerdictError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			tt.edit(k, ev)
			if got := policy.Evaluate(k.compile(t, tt.rules), ev, received()); got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
		})
	}
}

// An image whose package database was taken away has no package that is too
// old, nor one that must not be there: nobody knows.
func TestWithoutItsPackagesNothingIsKnownOfAnImage(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, rules := range map[string]string{
		"a minimum version": openssl,
		"a rule":            "rules: [{name: no-ssh, expression: '!packages.exists(p, p.name == \"openssh-server\")'}]\n",
	} {
		ev := k.good()
		c := k.compile(t, rules)
		if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictPromoted {
			t.Errorf("%s: %s: %+v", name, got.Verdict, got.Findings)
		}
		platform(ev).Scan.Packages = nil
		if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictError || !strings.Contains(got.Findings[0].Found, "package database") {
			t.Errorf("%s without its packages: %s: %+v", name, got.Verdict, got.Findings)
		}
	}
}
