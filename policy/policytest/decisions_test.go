package policytest_test

import (
	"os"
	"slices"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/policytest"
)

// The decision table: every file below this folder is a part of it, policies
// and the tests of them.
const decisions = "testdata/decisions"

// minimumCases is how large the table is at least, so that a part of it that is
// not found is missed.
const minimumCases = 870

// answer is what a check can say, beside nothing.
type answer struct {
	check   policy.Check
	outcome policy.Outcome
	reason  policy.Reason
}

// answers lists, for every check, all that it can say when one policy is
// asked. The table has a case for each.
func answers() map[policy.Check]map[policy.Outcome][]policy.Reason {
	const fail, unknown, waits, informs = policy.OutcomeFail, policy.OutcomeError, policy.OutcomePending, policy.OutcomeInfo
	unavailable := []policy.Reason{policy.ReasonUnavailable}
	type said = map[policy.Outcome][]policy.Reason
	return map[policy.Check]said{
		policy.CheckPolicy: {}, // said of several policies, or of none
		policy.CheckImage:  {fail: {policy.ReasonInvalid}, unknown: unavailable},
		policy.CheckSignatures: {
			fail:  {policy.ReasonAbsent, policy.ReasonWrongSigner, policy.ReasonInvalid, policy.ReasonMalformed},
			waits: {policy.ReasonAbsent}, unknown: unavailable,
		},
		policy.CheckAttestations: {
			fail:  {policy.ReasonAbsent, policy.ReasonWrongSigner, policy.ReasonInvalid, policy.ReasonMalformed, policy.ReasonDenied},
			waits: {policy.ReasonAbsent}, unknown: unavailable,
		},
		policy.CheckVulnerabilities: {
			fail: {
				policy.ReasonDenied, policy.ReasonAbsent, policy.ReasonWrongSigner, policy.ReasonInvalid, policy.ReasonMalformed, policy.ReasonTooOld,
			},
			waits: {policy.ReasonAbsent, policy.ReasonTooOld}, unknown: unavailable,
			informs: {
				policy.ReasonExcepted, policy.ReasonGrace, policy.ReasonDisagreement, policy.ReasonAbsent, policy.ReasonInvalid, policy.ReasonMalformed,
			},
		},
		policy.CheckMaxAge: {
			fail: {
				policy.ReasonAbsent, policy.ReasonUnrecognised, policy.ReasonInvalid, policy.ReasonTooOld, policy.ReasonWrongSigner, policy.ReasonMalformed,
			},
			waits: {policy.ReasonAbsent}, unknown: unavailable,
		},
		policy.CheckOperatingSystems: {
			fail: {policy.ReasonDenied, policy.ReasonUnrecognised, policy.ReasonEndOfLife}, unknown: unavailable,
		},
		policy.CheckRuntimes: {fail: {policy.ReasonDenied, policy.ReasonUnrecognised, policy.ReasonEndOfLife}, unknown: unavailable},
		policy.CheckBase: {
			fail: {policy.ReasonAbsent, policy.ReasonDenied, policy.ReasonInvalid, policy.ReasonTooOld}, unknown: unavailable,
		},
		policy.CheckConfiguration: {
			fail: {policy.ReasonAbsent, policy.ReasonDenied, policy.ReasonMalformed}, unknown: unavailable,
		},
		policy.CheckPackages: {fail: {policy.ReasonTooOld, policy.ReasonMalformed}, unknown: unavailable},
		policy.CheckVersions: {
			fail: {policy.ReasonDenied, policy.ReasonMalformed}, unknown: unavailable, informs: {policy.ReasonGrace},
		},
		policy.CheckLabels: {fail: {policy.ReasonAbsent, policy.ReasonDenied}},
		policy.CheckComponents: {
			fail: {policy.ReasonDenied, policy.ReasonMalformed, policy.ReasonAbsent}, unknown: unavailable,
		},
		policy.CheckLicenses: {
			fail: {policy.ReasonDenied, policy.ReasonAbsent, policy.ReasonUnrecognised}, unknown: unavailable, informs: {policy.ReasonExcepted},
		},
		policy.CheckRules:   {fail: {policy.ReasonDenied}, unknown: unavailable},
		policy.CheckPromote: {fail: {policy.ReasonMalformed}}, // that an immutable tag is taken, the golden registry says
	}
}

// decision is a case of the table and what came of it.
type decision struct {
	policytest.Result

	expect policytest.Expectation
}

// decide asks the policies in every case of the table.
func decide(t *testing.T) (policies []policyfile.Policy, table []decision) {
	t.Helper()
	folder := os.DirFS(decisions)
	policies, err := policyfile.Load(folder, decisions, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	files, err := policyfile.TestFiles(folder, decisions)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		suites, err := policytest.Parse(f.Name, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range suites {
			i := slices.IndexFunc(policies, func(p policyfile.Policy) bool { return p.Name() == s.Policy })
			if i < 0 {
				t.Fatalf("%s: there is no policy %q", f.Name, s.Policy)
			}
			results, err := s.Run(policies[i].Compiled)
			if err != nil {
				t.Fatal(err)
			}
			for j, expect := range s.Expectations() {
				table = append(table, decision{results[j], expect})
			}
		}
	}
	return policies, table
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	_, table := decide(t)
	names := map[string]bool{}
	for _, d := range table {
		name := d.File[len(decisions)+1:] + "/" + d.Case
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, failure := range d.Failures {
				t.Errorf("%s:%d: %s", d.File, d.Line, failure)
			}
			d.checkExact(t)
		})
	}
	if len(table) < minimumCases {
		t.Errorf("%d cases; there have been %d", len(table), minimumCases)
	}
}

// checkExact has a case list everything that is found, and name it, what only
// informs too.
func (d decision) checkExact(t *testing.T) {
	t.Helper()
	if d.expect.Verdict != "" && d.expect.Findings == nil {
		t.Errorf("%s:%d: the case does not say what is found", d.File, d.Line)
	}
	for _, f := range d.Findings {
		if !slices.ContainsFunc(d.expect.Findings, func(want policytest.Finding) bool {
			return want.Check == f.Check && want.Rule == f.Rule && want.Reason == f.Reason && (want.Platform == "" || want.Platform == f.Platform)
		}) {
			t.Errorf("%s:%d: the case does not name the finding %s %s %s: %s", d.File, d.Line, f.Check, f.Rule, f.Reason, f.Found)
		}
	}
}

// Every check is seen to give every answer that it can give.
func TestTheTableIsComplete(t *testing.T) {
	t.Parallel()
	_, table := decide(t)
	seen := map[answer]bool{}
	for _, d := range table {
		for _, f := range d.Findings {
			seen[answer{f.Check, f.Outcome, f.Reason}] = true
		}
	}
	known := answers()
	for _, check := range policy.Checks() {
		if known[check] == nil {
			t.Errorf("nobody wrote down what %s can say", check)
		}
		for outcome, reasons := range known[check] {
			for _, reason := range reasons {
				one := answer{check, outcome, reason}
				if !seen[one] {
					t.Errorf("no case has %s say %s, %s", check, outcome, reason)
				}
				delete(seen, one)
			}
		}
	}
	for a := range seen {
		t.Errorf("%s says %s, %s, which nobody wrote down", a.check, a.outcome, a.reason)
	}
}

// Every policy says yes to something and not to everything.
func TestEveryPolicyOfTheTableTellsApart(t *testing.T) {
	t.Parallel()
	policies, table := decide(t)
	yes, no := map[string]bool{}, map[string]bool{}
	for _, d := range table {
		yes[d.Policy] = yes[d.Policy] || d.Verdict == policy.VerdictPromoted
		no[d.Policy] = no[d.Policy] || d.Verdict != policy.VerdictPromoted
	}
	for _, p := range policies {
		if !yes[p.Name()] || !no[p.Name()] {
			t.Errorf("%s: yes in a case: %t, no in a case: %t", p.Name(), yes[p.Name()], no[p.Name()])
		}
	}
}
