package gatekeeper

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// judgedAgain is the note of decisions about what is golden already.
const judgedAgain = "judged again after its promotion"

// The pauses until a golden image is looked at again that could not be judged:
// twice as long each time. Nobody waits for it, an outage is there for all of
// them, and what one image lacks it may lack for ever.
const (
	firstUnansweredPause = 15 * time.Minute
	maxUnansweredPause   = 24 * time.Hour
)

func unansweredPause(attempt int) time.Duration {
	pause := firstUnansweredPause
	for ; attempt > 0 && pause < maxUnansweredPause; attempt-- {
		pause *= 2
	}
	return min(pause, maxUnansweredPause)
}

// reverify judges a golden push again, by what counts now. Nothing is copied,
// tagged or taken back, and whatever comes of it the push stays promoted: a no
// is a decision on record, and what runs the image has to be told by people.
// What became of the tag in staging has no say.
func (g *Gate) reverify(ctx context.Context, p Push) (Progress, error) {
	matching := g.matching(p)
	progress := Progress{Verdict: policy.VerdictPromoted, JudgedBy: g.judgedBy(ctx, matching, p.Repository)}
	d, err := g.decide(ctx, p, matching)
	switch {
	case ctx.Err() != nil:
		return Progress{}, ctx.Err()
	case errors.Is(err, errLarge):
		return Progress{Verdict: policy.VerdictPromoted, Large: true}, nil
	case err != nil:
		return g.unanswered(ctx, p, err.Error()), nil
	case d.Verdict == policy.VerdictError:
		return g.unanswered(ctx, p, d.FirstReason()), nil
	case d.Evidence == nil && len(matching) > 0:
		// Staging has forgotten the image. That is no evidence against it.
		g.Log.WarnContext(ctx, "golden image cannot be judged again: it is not in staging any more", slog.Int64("push_id", p.ID),
			slog.String("repository", p.Repository), slog.String("tag", p.Tag), slog.String("digest", p.Digest), slog.String("reason", d.FirstReason()))
		return progress, nil
	case d.Verdict == policy.VerdictPending: // the push is young, or the policy waits longer now
		progress.Again = d.deadline()
		return progress, nil
	}
	d.Note = judgedAgain
	d, known, err := g.record(ctx, d)
	if err != nil {
		return Progress{}, err
	}
	if !known {
		g.Observer.Decided(ctx, d)
	}
	return progress, nil
}

// unanswered has a golden image looked at again later. What it was judged by
// stays open, so that a restart does not forget that.
func (g *Gate) unanswered(ctx context.Context, p Push, reason string) Progress {
	g.Log.WarnContext(ctx, "golden image could not be judged again", slog.Int64("push_id", p.ID),
		slog.String("repository", p.Repository), slog.String("tag", p.Tag), slog.String("digest", p.Digest), slog.String("reason", reason))
	return Progress{Verdict: policy.VerdictPromoted, Again: g.Now().Add(unansweredPause(p.Attempt)), Unanswered: true}
}
