package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const (
	provenance1  = "https://slsa.dev/provenance/v1"
	provenance02 = "https://slsa.dev/provenance/v0.2"
)

// The rules that the table uses.
const (
	ciSigns    = "authorities: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\n"
	byBuild    = ciSigns + "patchLevel: {maxAge: 30d, created: {from: [provenance], signedBy: [ci]}}\n"
	byBoth     = ciSigns + "patchLevel: {maxAge: 30d, created: {from: [provenance, configuration], signedBy: [ci]}}\n"
	byConfig   = "patchLevel: {maxAge: 30d, created: {from: [configuration]}}\n" + ciSigns
	byTwoKeys  = "authorities: [{name: both, threshold: 2, anyOf: [{keyFile: ci.pub}, {keyFile: other.pub}]}]\npatchLevel: {maxAge: 30d, created: {from: [provenance], signedBy: [both]}}\n"
	unreadable = `{"runDetails": "?"}`
)

func finished(at time.Time) string {
	return fmt.Sprintf(`{"runDetails": {"metadata": {"startedOn": "2001-01-01T00:00:00Z", "finishedOn": %q}}}`, at.Format(time.RFC3339))
}

// provenance adds provenance by somebody.
func provenance(by func(keys) policy.Authority, kind, predicate string) edit {
	return func(k keys, ev *policy.Evidence) {
		ev.Attestations = append(ev.Attestations, policy.Attestation{
			Form: "bundle", Result: policy.Verified, VerifiedBy: []string{by(k).ID}, PredicateType: kind, Predicate: json.RawMessage(predicate),
		})
	}
}

func byCI(k keys) policy.Authority { return k.ci }

func byOther(k keys) policy.Authority { return k.other }

func together(edits ...edit) edit {
	return func(k keys, ev *policy.Evidence) {
		for _, e := range edits {
			e(k, ev)
		}
	}
}

func TestDecisionsAboutTheAttestedAge(t *testing.T) {
	t.Parallel()
	const yes, no, later, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError
	const check = policy.CheckMaxAge
	k := newKeys(t)
	fresh, limit, tooOld := finished(received().Add(-dayAge)), finished(received().Add(-30*dayAge)), finished(received().Add(-99*dayAge))
	ancient := createdAt(ago(99 * dayAge))
	judge(t, k, k.good, []decision{
		{"attested as fresh", byBuild, provenance(byCI, provenance1, fresh), 0, yes, "", ""},
		{"the configuration does not count", byBuild, together(ancient, provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"nor that it has no date", byBuild, together(createdAt(nil), provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"of exactly the allowed age", byBuild, provenance(byCI, provenance1, limit), 0, yes, "", ""},
		{"older by a second", byBuild, provenance(byCI, provenance1, limit), time.Second, no, check, "the provenance says created 2026-10-21, 30 days ago"},
		{"attested as old", byBuild, provenance(byCI, provenance1, tooOld), 0, no, check, "99 days ago"},
		{"attested as of 1970", byBuild, provenance(byCI, provenance1, finished(time.Unix(0, 0).UTC())), 0, no, check, "1970"},
		{"attested as of the future", byBuild, provenance(byCI, provenance1, finished(received().Add(dayAge))), 0, no, check, "in the future"},
		{"a clock that is 5 minutes fast", byBuild, provenance(byCI, provenance1, finished(received().Add(5*time.Minute))), 0, yes, "", ""},
		{"and a second more", byBuild, provenance(byCI, provenance1, finished(received().Add(5*time.Minute+time.Second))), 0, no, check, "in the future"},
		{"only the start is known", byBuild, provenance(byCI, provenance1, `{"runDetails": {"metadata": {"startedOn": "2026-11-19T00:00:00Z"}}}`), 0, yes, "", ""},
		{"SLSA v0.2", byBuild, provenance(byCI, provenance02, `{"metadata": {"buildStartedOn": "2001-01-01T00:00:00Z", "buildFinishedOn": "2026-11-19T00:00:00Z"}}`), 0, yes, "", ""},
		{"SLSA v0.2, only the start", byBuild, provenance(byCI, provenance02, `{"metadata": {"buildStartedOn": "2001-01-01T00:00:00Z"}}`), 0, no, check, "days ago"},
		{"the fields of another version", byBuild, provenance(byCI, provenance02, fresh), 0, no, check, "does not say when"},
		{"no time", byBuild, provenance(byCI, provenance1, `{}`), 0, no, check, "does not say when"},
		{"what is no time", byBuild, provenance(byCI, provenance1, `{"runDetails": {"metadata": {"finishedOn": "yesterday"}}}`), 0, no, check, "does not say when"},
		{"an unreadable predicate", byBuild, provenance(byCI, provenance1, unreadable), 0, no, check, "does not say when"},
		{"no predicate", byBuild, provenance(byCI, provenance1, ""), 0, no, check, "does not say when"},
		{"none yet", byBuild, nil, 0, later, check, "no attestation of type https://slsa.dev/provenance/v1 yet"},
		{"none a second before the deadline", byBuild, nil, wait - time.Second, later, check, ""},
		{"none at the deadline", byBuild, nil, wait, no, check, "arrived within"},
		{"by somebody else", byBuild, provenance(byOther, provenance1, fresh), 0, later, check, ""},
		{"by a stranger", byBuild, func(_ keys, ev *policy.Evidence) {
			ev.Attestations = append(ev.Attestations, policy.Attestation{Result: policy.UnknownSigner, PredicateType: provenance1})
		}, 0, no, check, "somebody else"},
		{"of another type", byBuild, provenance(byCI, "https://slsa.dev/provenance/v9", fresh), 0, later, check, ""},
		{"an old one and a fresh one", byBuild, together(provenance(byCI, provenance1, tooOld), provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"an outage", byBuild, problem(policy.PartSignatures, ""), 0, unknown, check, "503"},
		{"an outage, but it is there", byBuild, together(problem(policy.PartSignatures, ""), provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"one of two signers", byTwoKeys, provenance(byCI, provenance1, fresh), 0, later, check, "only 1 of 2"},
		{"two of two signers", byTwoKeys, together(provenance(byCI, provenance1, fresh), provenance(byOther, provenance1, fresh)), 0, yes, "", ""},
		{"one of them says old", byTwoKeys, together(provenance(byCI, provenance1, fresh), provenance(byOther, provenance1, tooOld)), 0, no, check, "99 days"},

		{"both say fresh", byBoth, together(createdAt(ago(2*dayAge)), provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"the configuration says old", byBoth, together(ancient, provenance(byCI, provenance1, fresh)), 0, no, check, "created"},
		{"the provenance says old", byBoth, provenance(byCI, provenance1, tooOld), 0, no, check, "provenance"},
		{"no provenance beside the configuration", byBoth, nil, wait, no, check, "arrived within"},
		{"no date beside the provenance", byBoth, together(createdAt(nil), provenance(byCI, provenance1, fresh)), 0, no, check, "does not say"},
		{"created 5 minutes after the build ended", byBoth, together(createdAt(ago(dayAge-5*time.Minute)), provenance(byCI, provenance1, fresh)), 0, yes, "", ""},
		{"created after it by a second more", byBoth, together(createdAt(ago(dayAge-5*time.Minute-time.Second)), provenance(byCI, provenance1, fresh)), 0, no, check, "after the build"},
		{"the configuration, as without a word", byConfig, nil, 0, yes, "", ""},
		{"the configuration says old, as without a word", byConfig, ancient, 0, no, check, "99 days"},
	})
}

// Whatever provenance there is, taking one away makes no yes of a no.
func TestTakingProvenanceAwayDoesNotHelp(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	policies := []*policy.Compiled{k.compile(t, byBuild), k.compile(t, byBoth), k.compile(t, byTwoKeys)}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(policies).Draw(t, "policy")
		ev := k.good()
		createdAt(ago(time.Duration(rapid.IntRange(0, 60).Draw(t, "created"))*dayAge))(k, ev)
		n := rapid.IntRange(1, 4).Draw(t, "attestations")
		for i := range n {
			by := rapid.SampledFrom([]func(keys) policy.Authority{byCI, byOther}).Draw(t, fmt.Sprint("by ", i))
			age := time.Duration(rapid.IntRange(-2, 60).Draw(t, fmt.Sprint("age ", i))) * dayAge
			provenance(by, provenance1, finished(received().Add(-age)))(k, ev)
		}
		at := received().Add(rapid.SampledFrom([]time.Duration{0, wait}).Draw(t, "after"))
		before := policy.Evaluate(c, ev, at)
		for i := range ev.Attestations {
			less := *ev
			less.Attestations = append(append([]policy.Attestation{}, ev.Attestations[:i]...), ev.Attestations[i+1:]...)
			if after := policy.Evaluate(c, &less, at); before.Verdict != policy.VerdictPromoted && after.Verdict == policy.VerdictPromoted {
				t.Fatalf("%s became promoted: %+v", before.Verdict, before.Findings)
			}
		}
	})
}
