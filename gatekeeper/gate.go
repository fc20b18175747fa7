// Package gatekeeper is the gate between staging and golden registries: it
// judges pushed images and lets those through that a policy says yes to.
//
// A refusal is a value, an error means "don't know". The gate owns the small
// interfaces it consumes; what implements them lives below internal/.
package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// surfaceAfter is the number of failed attempts in a row after which a
// passing trouble becomes a recorded decision with verdict error. Before that
// a retry most likely answers sooner than anybody could read it.
const surfaceAfter = 3

// Deps is what a Gate works with. Every field but Attester, Turns and Bases is
// required.
type Deps struct {
	// Policies returns the policies in force. It is called once for each
	// judgement.
	Policies   func() *policy.Set
	TrustRoots TrustRoots
	Ledger     Ledger
	History    History
	Waker      Waker
	Resolver   Resolver
	Subjects   SubjectFinder
	Images     ImageReader
	Signatures SignatureCollector
	Scanner    Scanner
	Promoter   Promoter
	Attester   Attester   // nil: promotions carry no signed summary
	Turns      Turns      // nil: no other process promotes
	Bases      BaseFinder // nil: nobody knows what images are built on
	Observer   Observer
	Now        func() time.Time
	Log        *slog.Logger
}

// Gate judges pushes and promotes those that pass. It is safe for concurrent
// use; the caller never processes one push twice at the same time.
type Gate struct {
	Deps
	destinations keyedMutex
}

// New returns a gate.
func New(deps Deps) *Gate {
	return &Gate{Deps: deps}
}

// Process takes a push one step further: it judges it, and promotes it when
// every policy that has a say agrees. It is safe to repeat after a crash at
// any point. An error means that it has to be tried again.
func (g *Gate) Process(ctx context.Context, p Push) (Progress, error) {
	if p.Tag == "" {
		return g.wakeSubject(ctx, p)
	}
	if p.Golden {
		return g.reverify(ctx, p)
	}
	note, err := g.overtaken(ctx, p)
	if err != nil {
		return Progress{}, err
	}
	if note != "" {
		return g.supersede(ctx, p, note)
	}
	if p.Digest == "" {
		if p, err = g.pin(ctx, p); err != nil {
			if errors.Is(err, ErrNotFound) && g.Now().Sub(p.ReceivedAt) > settleTime {
				return g.supersede(ctx, p, "the tag "+p.Tag+" was deleted from staging before it could be read")
			}
			return Progress{}, err
		}
	}
	return g.judge(ctx, p)
}

// overtaken returns a note when the journal knows of a newer push of the tag
// and the registry does not contradict: notifications come in any order, and
// what the tag points to is no older push.
func (g *Gate) overtaken(ctx context.Context, p Push) (note string, err error) {
	newer, overtaken, err := g.Ledger.Overtaken(ctx, p)
	if err != nil {
		return "", fmt.Errorf("look for a newer push of %s:%s: %w", p.Repository, p.Tag, err)
	}
	if !overtaken {
		return "", nil
	}
	note = fmt.Sprintf("a newer push of the tag %s overtook this one: %s", p.Tag, newer.Digest)
	if p.Digest == "" {
		return note, nil
	}
	now, err := g.Resolver.Resolve(ctx, p.Source, p.Repository, p.Tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return note, nil
	case err != nil:
		return "", fmt.Errorf("resolve %s:%s: %w", p.Repository, p.Tag, err)
	case now.Digest == p.Digest:
		return "", nil
	}
	return note, nil
}

// pin resolves the push's tag, once; from then on only the digest counts.
func (g *Gate) pin(ctx context.Context, p Push) (Push, error) {
	d, err := g.Resolver.Resolve(ctx, p.Source, p.Repository, p.Tag)
	if err != nil {
		return p, fmt.Errorf("resolve %s:%s: %w", p.Repository, p.Tag, err)
	}
	if err := g.History.SetDigest(ctx, p.ID, d); err != nil {
		return p, fmt.Errorf("record the digest of %s:%s: %w", p.Repository, p.Tag, err)
	}
	p.Digest, p.MediaType = d.Digest, d.MediaType
	return p, nil
}

// wakeSubject handles a manifest that was pushed without a tag: a referrer
// wakes its subject, anything else (a platform of an index) is not judged.
func (g *Gate) wakeSubject(ctx context.Context, p Push) (Progress, error) {
	subject, err := g.Subjects.SubjectOf(ctx, p.Source, p.Repository, p.Digest)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalidContent):
		g.Log.InfoContext(ctx, "untagged manifest is not a referrer",
			slog.String("repository", p.Repository), slog.String("digest", p.Digest), slog.String("reason", err.Error()))
		return Progress{}, nil
	case err != nil:
		return Progress{}, fmt.Errorf("read what %s@%s refers to: %w", p.Repository, p.Digest, err)
	case subject == "":
		return Progress{}, nil
	}
	if _, err := g.Waker.Wake(ctx, p.Source, p.Repository, subject); err != nil {
		return Progress{}, fmt.Errorf("wake %s@%s: %w", p.Repository, subject, err)
	}
	return Progress{}, nil
}

// judge judges a pinned push, and says what by. That is looked up first: what
// changes meanwhile is then noticed later, at worst once too often.
func (g *Gate) judge(ctx context.Context, p Push) (Progress, error) {
	matching := g.matching(p)
	by := g.judgedBy(ctx, matching, p.Repository)
	progress, err := g.judgeBy(ctx, p, matching)
	progress.JudgedBy = by
	return progress, err
}

// judgeBy decides about a pinned push, records the decision and carries it out.
func (g *Gate) judgeBy(ctx context.Context, p Push, matching []*policy.Compiled) (Progress, error) {
	d, err := g.decide(ctx, p, matching)
	switch {
	case errors.Is(err, errLarge):
		return Progress{Large: true}, nil
	case err != nil:
		return Progress{}, err
	}
	last, err := g.last(ctx, p)
	if err != nil {
		return Progress{}, err
	}
	if d.Verdict == policy.VerdictError && !surfaces(p, d, last) {
		return Progress{Verdict: policy.VerdictError, Reason: d.FirstReason()}, nil
	}
	err = g.conflictsAgain(ctx, d, last)
	if conflict, ok := errors.AsType[*ConflictError](err); ok {
		return g.refuseConflict(ctx, d, conflict)
	}
	if err != nil {
		return Progress{}, err
	}
	d, known, err := g.recordAfter(ctx, last, d)
	if err != nil {
		return Progress{}, err
	}
	if len(d.approved()) > 0 {
		return g.resume(ctx, d, known, 0, (*Decision).approved)
	}
	if !known {
		g.Observer.Decided(ctx, d)
	}
	return d.progress(), nil
}

// surfaces says whether an error is worth a record now: at once when only an
// operator can mend it, else when trying again did not help. While nothing more is
// known than that a promotion was approved and waits to be finished, that is what
// is on record.
func surfaces(p Push, d, last Decision) bool {
	return (p.Attempt >= surfaceAfter || needsOperator(d)) && (len(d.approved()) > 0 || !last.unfinished())
}

// needsOperator says whether trying again does not help by itself.
func needsOperator(d Decision) bool {
	return d.Evidence != nil && !slices.ContainsFunc(d.Evidence.Problems, func(p policy.Problem) bool { return p.Part != policy.PartVulnerabilities })
}

// conflictsAgain returns a *ConflictError for what was refused because an
// immutable tag is taken, and would be approved and refused once more.
func (g *Gate) conflictsAgain(ctx context.Context, d, last Decision) error {
	if !last.conflicted() || !sameResults(d.Results, last.Results) {
		return nil
	}
	subject := policy.Subject{Registry: d.Push.Source, Repository: d.Push.Repository, Digest: d.Push.Digest}
	for _, r := range d.approved() {
		if err := g.Promoter.Free(ctx, subject, *r.Promotion); err != nil {
			return fmt.Errorf("promote %s@%s: %w", d.Push.Repository, d.Push.Digest, err)
		}
	}
	return nil
}

// last reads the last decision about a push; one without a verdict when there
// is none.
func (g *Gate) last(ctx context.Context, p Push) (Decision, error) {
	last, err := g.History.LastDecision(ctx, p.ID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Decision{}, fmt.Errorf("read the last decision about push %d: %w", p.ID, err)
	}
	return last, nil
}

// record stores a decision unless the push's last one says the same: repeated
// attempts and restarts leave one record.
func (g *Gate) record(ctx context.Context, d Decision) (_ Decision, known bool, err error) {
	last, err := g.last(ctx, d.Push)
	if err != nil {
		return d, false, err
	}
	return g.recordAfter(ctx, last, d)
}

func (g *Gate) recordAfter(ctx context.Context, last, d Decision) (_ Decision, known bool, err error) {
	if last.Verdict != "" && last.sameAs(d) {
		d.ID, d.DecidedAt, d.Took, d.Golden = last.ID, last.DecidedAt, last.Took, last.Golden
		return d, true, nil
	}
	id, err := g.Ledger.RecordDecision(ctx, d)
	if err != nil {
		return d, false, fmt.Errorf("record the decision about push %d: %w", d.Push.ID, err)
	}
	d.ID = id
	return d, false, nil
}

// supersede ends a push that was overtaken. When a promotion of it was
// interrupted that had written some of its tags, it ends as it would have
// without: with those that are left, as long as it would be approved now. What
// the push waits for in other places it waits for no more.
func (g *Gate) supersede(ctx context.Context, p Push, note string) (Progress, error) {
	last, found, err := g.recordWritten(ctx, p)
	if err != nil {
		return Progress{}, err
	}
	finished := last.Verdict == policy.VerdictPromoted && !last.unfinished()
	choose := (*Decision).begun
	if !finished && !g.inForce(last) {
		choose = func(*Decision) []policy.Result { return nil }
	}
	begun := len(choose(&last)) > 0
	if begun || found > 0 {
		progress, err := g.resume(ctx, last, true, found, choose)
		if err != nil || begun && progress.Verdict == policy.VerdictPromoted {
			return progress, err
		}
	}
	d := g.newDecision(p)
	d.Verdict, d.Note = policy.VerdictSuperseded, note
	d, known, err := g.record(ctx, d)
	if err != nil {
		return Progress{}, err
	}
	if !known {
		g.Observer.Decided(ctx, d)
	}
	return d.progress(), nil
}

// inForce says whether the policies are those that a decision was made by, and say
// what they said then.
func (g *Gate) inForce(d Decision) bool {
	matching, now := g.matching(d.Push), g.Now()
	return len(matching) == len(d.Results) && !slices.ContainsFunc(d.Results, func(r policy.Result) bool {
		return !slices.ContainsFunc(matching, func(c *policy.Compiled) bool {
			return c.Name() == r.Policy && c.Fingerprint() == r.Fingerprint && c.Turned(now) == c.Turned(d.DecidedAt)
		})
	})
}

func (g *Gate) newDecision(p Push) Decision {
	now := g.Now()
	return Decision{Push: p, Mode: policy.ModeEnforce, DecidedAt: now, Took: now.Sub(p.ReceivedAt), Results: []policy.Result{}}
}
