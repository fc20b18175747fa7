package gatekeeper

import (
	"context"
	"errors"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Check judges an image as if it were pushed now, without recording or
// promoting anything.
func (g *Gate) Check(ctx context.Context, source, repository, tag, digest string) (Decision, error) {
	p := Push{Source: source, Repository: repository, Tag: tag, Digest: digest, ReceivedAt: g.Now(), Slow: true}
	if p.Digest == "" {
		d, err := g.Resolver.Resolve(ctx, source, repository, tag)
		if err != nil {
			return Decision{}, err
		}
		p.Digest, p.MediaType = d.Digest, d.MediaType
	}
	return g.decide(ctx, p, g.matching(p))
}

// decide gathers the evidence about a pinned push and asks every policy that
// matches it.
func (g *Gate) decide(ctx context.Context, p Push, matching []*policy.Compiled) (Decision, error) {
	if len(matching) == 0 {
		return g.decideNoPolicy(p), nil
	}
	started := g.Now()
	ev, err := g.collect(ctx, p, matching)
	g.Observer.Stage(StageEvidence, g.Now().Sub(started))
	switch {
	case errors.Is(err, ErrNotFound):
		return g.decideNoImage(p, matching, policy.ReasonAbsent, err), nil
	case errors.Is(err, ErrInvalidContent):
		return g.decideNoImage(p, matching, policy.ReasonInvalid, err), nil
	case err != nil:
		return Decision{}, err
	}
	now := g.Now()
	d := g.newDecision(p)
	d.Evidence = ev
	for _, c := range matching {
		d.Results = append(d.Results, policy.Evaluate(c, ev, now))
	}
	d.combine()
	g.Observer.Stage(StagePolicy, g.Now().Sub(now))
	return d, nil
}

func (g *Gate) matching(p Push) []*policy.Compiled {
	return g.Policies().Matching(p.Source, p.Repository, p.Tag)
}

func (g *Gate) decideNoPolicy(p Push) Decision {
	d := g.newDecision(p)
	d.Verdict = policy.VerdictRejected
	d.Findings = []policy.Finding{noPolicy(p)}
	return d
}

func noPolicy(p Push) policy.Finding {
	return policy.Finding{
		Check: policy.CheckPolicy, Outcome: policy.OutcomeFail, Reason: policy.ReasonNoMatch,
		Found:    "no policy matches " + p.Repository + ":" + p.Tag,
		Expected: "a policy with from: " + p.Source + " whose match covers this repository and tag",
		Remedy:   "push to a repository and tag that a policy covers, or ask the security team to add it to one",
	}
}

// decideNoImage refuses a subject that cannot be judged because it is gone or
// is no image; trying again would not change that.
func (g *Gate) decideNoImage(p Push, matching []*policy.Compiled, reason policy.Reason, err error) Decision {
	d := g.newDecision(p)
	d.Verdict, d.Mode = policy.VerdictRejected, policy.ModeAudit
	for _, c := range matching {
		if c.Mode() == policy.ModeEnforce {
			d.Mode = policy.ModeEnforce
		}
	}
	finding := policy.Finding{
		Check: policy.CheckImage, Outcome: policy.OutcomeFail, Reason: reason,
		Found: err.Error(), Expected: "an image manifest or an index of images", Remedy: "build the image again and push it",
	}
	if reason == policy.ReasonAbsent {
		finding.Expected, finding.Remedy = "the manifest that was pushed", "push the image again; it was deleted before it could be read"
	}
	d.Findings = []policy.Finding{finding}
	return d
}
