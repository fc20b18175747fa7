package gatekeeper

import "github.com/golden-gatekeeper/gatekeeper/policy"

// Replay says what policies make of the evidence of a recorded decision, at the
// moment of that decision: one verdict of them all, as a push gets it. Nothing
// is looked up: what those policies ask for and nobody gathered then is
// missing.
func Replay(recorded Decision, policies *policy.Set) Decision {
	p := recorded.Push
	d := Decision{Push: p, Mode: policy.ModeEnforce, DecidedAt: recorded.DecidedAt, Evidence: recorded.Evidence, Results: []policy.Result{}}
	matching := policies.Matching(p.Source, p.Repository, p.Tag)
	if len(matching) == 0 {
		d.Verdict, d.Findings = policy.VerdictRejected, []policy.Finding{noPolicy(p)}
		return d
	}
	for _, c := range matching {
		d.Results = append(d.Results, policy.Evaluate(c, recorded.Evidence, recorded.DecidedAt))
	}
	d.combine()
	return d
}

// Judged is what the policies said in a recorded decision, whatever became of
// it afterwards: an immutable tag that was taken is none of their business.
func Judged(recorded Decision) Decision {
	d := recorded
	d.Findings = nil
	d.combine()
	return d
}
