package gatekeeper

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// destination is where policies promote to; those that share one must agree.
type destination struct{ registry, repository string }

// combine makes one verdict out of the results. Policies in audit mode have a
// say only among themselves. Policies with the same destination hold each
// other back: its promotions happen when all of them say yes.
func (d *Decision) combine() {
	results := d.enforced()
	d.Mode = policy.ModeEnforce
	if len(results) == 0 {
		d.Mode, results = policy.ModeAudit, d.Results
	}
	d.Verdict = policy.VerdictPromoted
	for _, r := range results {
		d.Verdict = worse(d.Verdict, r.Verdict)
	}
	refused := refusedDestinations(results)
	for _, r := range results {
		if r.Verdict != policy.VerdictPromoted || r.Promotion == nil {
			continue
		}
		if by, held := refused.by(*r.Promotion); held {
			d.Findings = append(d.Findings, policy.Finding{
				Check: policy.CheckPolicy, Rule: r.Policy, Outcome: policy.OutcomeInfo, Reason: policy.ReasonDisagreement,
				Found:    "policy " + r.Policy + " says yes, policy " + by + " does not",
				Expected: "every policy that promotes to " + r.Promotion.Registry + "/" + r.Promotion.Repository + " says yes",
				Remedy:   "see the findings of policy " + by,
			})
		}
	}
}

// refusals maps each destination that a policy does not say yes to to that policy's
// name. A repository that is not known is every one of its registry, and a
// registry that is not known, as in older records, every registry.
type refusals map[destination]string

func refusedDestinations(results []policy.Result) refusals {
	refused := refusals{}
	for _, r := range results {
		switch {
		case r.Verdict == policy.VerdictPromoted:
		case r.Promotion == nil:
			refused[destination{}] = r.Policy
		default:
			refused[destination{r.Promotion.Registry, r.Promotion.Repository}] = r.Policy
		}
	}
	return refused
}

// by returns who holds a promotion back.
func (f refusals) by(to policy.Promotion) (name string, held bool) {
	for _, d := range []destination{{to.Registry, to.Repository}, {to.Registry, ""}, {}} {
		if name, held = f[d]; held {
			break
		}
	}
	return name, held
}

func (d *Decision) enforced() []policy.Result {
	var enforced []policy.Result
	for _, r := range d.Results {
		if r.Mode == policy.ModeEnforce {
			enforced = append(enforced, r)
		}
	}
	return enforced
}

// approved lists the results whose promotions the decision allows to be
// written.
func (d *Decision) approved() []policy.Result {
	enforced := d.enforced()
	refused := refusedDestinations(enforced)
	var approved []policy.Result
	for _, r := range enforced {
		if r.Verdict != policy.VerdictPromoted || r.Promotion == nil {
			continue
		}
		if _, held := refused.by(*r.Promotion); !held {
			approved = append(approved, r)
		}
	}
	return approved
}

// worse returns the verdict that needs more attention of the two.
func worse(a, b policy.Verdict) policy.Verdict {
	rank := map[policy.Verdict]int{
		policy.VerdictPromoted: 0, policy.VerdictRejected: 1, policy.VerdictPending: 2, policy.VerdictError: 3,
	}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// deadline is the first moment at which waiting ends for one of the policies.
func (d *Decision) deadline() time.Time {
	var first time.Time
	for _, r := range d.Results {
		if r.Verdict == policy.VerdictPending && r.Deadline != nil && (first.IsZero() || r.Deadline.Before(first)) {
			first = *r.Deadline
		}
	}
	return first
}

// progress translates a recorded decision into what the journal does next.
func (d *Decision) progress() Progress {
	p := Progress{Verdict: d.Verdict}
	switch d.Verdict {
	case policy.VerdictPending:
		p.Again = d.deadline()
	case policy.VerdictError:
		p.Reason = d.FirstReason()
	case policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictSuperseded:
	}
	return p
}

// AllFindings returns the findings of the decision and of every result.
func (d *Decision) AllFindings() []policy.Finding {
	all := append([]policy.Finding(nil), d.Findings...)
	for _, r := range d.Results {
		all = append(all, r.Findings...)
	}
	return all
}

// FirstReason is what the most serious finding found, in plain words; the
// note when there is no finding.
func (d *Decision) FirstReason() string {
	for _, outcome := range []policy.Outcome{policy.OutcomeFail, policy.OutcomeError, policy.OutcomePending} {
		for _, f := range d.AllFindings() {
			if f.Outcome == outcome {
				return f.Found
			}
		}
	}
	return d.Note
}

// conflicted says whether a yes was refused because an immutable tag is taken.
func (d *Decision) conflicted() bool {
	return slices.ContainsFunc(d.Findings, func(f policy.Finding) bool {
		return f.Check == policy.CheckPromote && f.Reason == policy.ReasonConflict
	})
}

// sameAs reports whether two decisions about one push say the same, whenever
// they were made.
func (d *Decision) sameAs(other Decision) bool {
	if d.Verdict != other.Verdict || d.Mode != other.Mode || d.ownNote() != other.ownNote() {
		return false
	}
	mine, err := json.Marshal(d.AllFindings())
	if err != nil {
		return false
	}
	theirs, err := json.Marshal(other.AllFindings())
	if err != nil {
		return false
	}
	return bytes.Equal(mine, theirs) && sameResults(d.Results, other.Results)
}

// ownNote is the note, unless it only tells that there was a decision before,
// or which of several newer pushes it was that was seen first.
func (d *Decision) ownNote() string {
	if d.Note == judgedAgain || d.Verdict == policy.VerdictSuperseded {
		return ""
	}
	return d.Note
}

func sameResults(a, b []policy.Result) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Policy != b[i].Policy || a[i].Fingerprint != b[i].Fingerprint || a[i].Verdict != b[i].Verdict ||
			!slices.Equal(a[i].Exceptions, b[i].Exceptions) {
			return false
		}
	}
	return true
}
