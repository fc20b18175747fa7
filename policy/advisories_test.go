package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The advisories of distributions are about several vulnerabilities: what excuses
// one of these excuses no advisory that is about others too.
func TestAnAdvisoryIsExcusedAsAWhole(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	advisory := cve(func(v *policy.Vulnerability) {
		v.ID, v.Aliases = "ALAS2023-2026-123", []string{"CVE-2026-0001", "CVE-2026-0002", "GHSA-1"}
	})
	exceptions := func(ids ...string) string {
		var list []string
		for i, id := range ids {
			list = append(list, fmt.Sprintf("{id: %s, expires: 2026-12-3%d, owner: sec@acme.example, reason: SEC-%d}", id, 1-i, i))
		}
		return security("exceptions: ["+strings.Join(list, ", ")+"]", deniesFixed)
	}
	for _, tt := range []struct {
		name  string
		rules string
		edits []edit
		want  policy.Verdict
		says  []string
	}{
		{"nothing excuses it", exceptions(), nil, policy.VerdictRejected, nil},
		{"an exception for one of two", exceptions("CVE-2026-0001"), nil, policy.VerdictRejected, nil},
		{"an exception for the other", exceptions("CVE-2026-0002"), nil, policy.VerdictRejected, nil},
		{"an exception for each", exceptions("CVE-2026-0001", "CVE-2026-0002"), nil, policy.VerdictPromoted, []string{"SEC-0", "SEC-1"}},
		{"an exception for the advisory", exceptions("ALAS2023-2026-123"), nil, policy.VerdictPromoted, []string{"SEC-0"}},
		{"a statement about one of two", exceptions(), []edit{states(notAffected("CVE-2026-0001", 0))}, policy.VerdictRejected, nil},
		{"a statement about each", exceptions(), []edit{states(notAffected("CVE-2026-0001", 0), notAffected("CVE-2026-0002", 0))}, policy.VerdictPromoted, nil},
		{"a statement about the advisory", exceptions(), []edit{states(notAffected("ALAS2023-2026-123", 0))}, policy.VerdictPromoted, nil},
		{
			"a statement about the advisory, and a newer one about one of two", exceptions(),
			[]edit{states(notAffected("ALAS2023-2026-123", dayAge)), states(says("CVE-2026-0002", "affected", "", thisImage(), 0))},
			policy.VerdictRejected,
			[]string{"affected"},
		},
		{
			"a statement about the advisory, and a newer one under another name of it", exceptions(),
			[]edit{states(notAffected("ALAS2023-2026-123", dayAge)), states(says("GHSA-1", "affected", "", thisImage(), 0))},
			policy.VerdictRejected,
			[]string{"affected"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			all(append([]edit{advisory}, tt.edits...)...)(k, ev)
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received())
			if got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			for _, text := range tt.says {
				if len(got.Findings) == 0 || !strings.Contains(got.Findings[0].Found, text) {
					t.Errorf("no %q in %+v", text, got.Findings)
				}
			}
			if want := strings.Count(tt.rules, "{id: "); tt.want == policy.VerdictPromoted && len(got.Exceptions) != want {
				t.Errorf("the exceptions %q were used, of %d", got.Exceptions, want)
			}
		})
	}
}

// Reported advisories are counted unless all that they are about was counted.
func TestAReportedAdvisoryCountsWhereItIsAboutMore(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, vulnerabilities(bothSources, `counts: [{deny: "> 1"}]`))
	ev := k.good()
	platform(ev).Digest = ev.Subject.Digest
	cve(func(v *policy.Vulnerability) { v.ID = "CVE-1" })(k, ev)
	for related, want := range map[string]policy.Verdict{`{"id":"CVE-1"}`: policy.VerdictPromoted, `{"id":"CVE-1"},{"id":"CVE-2"}`: policy.VerdictRejected} {
		match := strings.NewReplacer(`"CVE-9"`, `"ALAS-1"`, `{"vulnerability":`, `{"relatedVulnerabilities":[`+related+`],"vulnerability":`).Replace(openCritical)
		ev.Attestations = nil
		reports(grype(0, match))(k, ev)
		if got := policy.Evaluate(c, ev, received()); got.Verdict != want {
			t.Errorf("%s beside CVE-1: %s %+v", related, got.Verdict, got.Findings)
		}
	}
}

// Ecosystems have several forms of one name. Policies write any of them.
func TestPackagesAreNamedAsTheirEcosystemTakesThem(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for _, tt := range []struct{ packageType, written, installed, purl string }{
		{"pypi", "PyYAML", "pyyaml", "pkg:pypi/pyyaml@5.3"},
		{"pypi", "typing_extensions", "typing-extensions", "pkg:pypi/typing-extensions@5.3"},
		{"nuget", "newtonsoft.json", "Newtonsoft.Json", "pkg:nuget/Newtonsoft.Json@5.3"},
		{"maven", "log4j-core", "log4j-core", "pkg:maven/org.apache.logging.log4j/log4j-core@5.3"},
		{"maven", "org.apache.logging.log4j:log4j-core", "log4j-core", "pkg:maven/org.apache.logging.log4j/log4j-core@5.3"},
	} {
		t.Run(tt.packageType+" "+tt.written, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			withPackages(policy.Package{Type: tt.packageType, Name: tt.installed, Version: "5.3", PURL: tt.purl})(k, ev)
			minimum := fmt.Sprintf("patchLevel: {packages: [{type: %s, name: %q, minimum: \"6.0.1\"}]}\n", tt.packageType, tt.written)
			if got := policy.Evaluate(k.compile(t, minimum), ev, received()); got.Verdict != policy.VerdictRejected {
				t.Errorf("the minimum: %s", got.Verdict)
			}
			cve(func(v *policy.Vulnerability) { v.Type, v.Package = tt.packageType, tt.installed })(k, ev)
			denied := vulnerabilities(fmt.Sprintf("deny: [{severity: low, packages: [%q]}]", tt.written))
			if got := policy.Evaluate(k.compile(t, denied), ev, received()); got.Verdict != policy.VerdictRejected {
				t.Errorf("the vulnerability: %s", got.Verdict)
			}
			if strings.Contains(tt.written, ":") {
				return // which exceptions cannot name
			}
			granted := vulnerabilities(deniesFixed, excuse("CVE-1", tt.written))
			if got := policy.Evaluate(k.compile(t, granted), ev, received()); got.Verdict != policy.VerdictPromoted {
				t.Errorf("the exception: %s", got.Verdict)
			}
		})
	}
}

// One package that is left does not show that the others were not there.
func TestAPackageDatabaseThatIsGoneIsMissedBesideOtherPackages(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, rules := range map[string]string{
		"vulnerabilities":   critical,
		"a minimum version": openssl,
		"a rule":            "rules: [{name: no-ssh, expression: '!packages.exists(p, p.name == \"openssh-server\")'}]\n",
	} {
		ev := k.good()
		platform(ev).Scan.Packages = []policy.Package{{Type: "npm", Name: "express", Version: "4.21.2"}}
		got := policy.Evaluate(k.compile(t, rules), ev, received())
		if got.Verdict != policy.VerdictError || !strings.Contains(got.Findings[0].Found, "no package of debian itself") {
			t.Errorf("%s: %s: %+v", name, got.Verdict, got.Findings)
		}
		platform(ev).Scan.OS = &policy.OperatingSystem{ID: "acme", Version: "1"} // nobody knows what it consists of
		if got := policy.Evaluate(k.compile(t, rules), ev, received()); got.Verdict != policy.VerdictPromoted {
			t.Errorf("%s, in a system of one's own: %s: %+v", name, got.Verdict, got.Findings)
		}
	}
}
