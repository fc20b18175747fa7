package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// resume carries a decision out. One that was recorded before is carried out
// as it was recorded, with its evidence, time and tags, so that what a crash
// interrupted and what follows are the same promotion.
func (g *Gate) resume(ctx context.Context, d Decision, known bool) (Progress, error) {
	if len(d.Golden) > 0 {
		return d.progress(), nil // completed before a crash
	}
	if known {
		recorded, err := g.History.Decision(ctx, d.ID)
		if err != nil {
			return Progress{}, fmt.Errorf("read decision %d again: %w", d.ID, err)
		}
		d.Results, d.Evidence, d.DecidedAt = recorded.Results, recorded.Evidence, recorded.DecidedAt
	}
	return g.carryOut(ctx, d)
}

// carryOut does what a recorded yes allows: the copy with everything that
// refers to it, the signed summary, then the tags, then the record of what was
// written.
func (g *Gate) carryOut(ctx context.Context, d Decision) (Progress, error) {
	started := g.Now()
	refs, note, err := g.promoteAll(ctx, d)
	g.Observer.Stage(StagePromotion, g.Now().Sub(started))
	var conflict *ConflictError
	refused := errors.As(err, &conflict)
	if len(refs) > 0 && (refused || note != "") {
		// One destination has it; what comes next is about another.
		if err := g.Ledger.RecordGolden(ctx, d.ID, refs); err != nil {
			return Progress{}, fmt.Errorf("record the promotion of %s@%s: %w", d.Push.Repository, d.Push.Digest, err)
		}
	}
	switch {
	case refused:
		return g.refuseConflict(ctx, d, conflict)
	case err != nil:
		return Progress{}, fmt.Errorf("promote %s@%s: %w", d.Push.Repository, d.Push.Digest, err)
	case note != "":
		return g.supersede(ctx, d.Push, note)
	}
	if err := g.Ledger.RecordGolden(ctx, d.ID, refs); err != nil {
		return Progress{}, fmt.Errorf("record the promotion of %s@%s: %w", d.Push.Repository, d.Push.Digest, err)
	}
	d.Golden = refs
	d.Took = g.Now().Sub(d.Push.ReceivedAt)
	g.Observer.Decided(ctx, d)
	return d.progress(), nil
}

// promoteAll returns a note when a newer push turned up on the way.
func (g *Gate) promoteAll(ctx context.Context, d Decision) ([]GoldenReference, string, error) {
	subject := policy.Subject{Registry: d.Push.Source, Repository: d.Push.Repository, Digest: d.Push.Digest}
	var refs []GoldenReference
	for _, r := range d.approved() {
		if err := g.Promoter.Copy(ctx, subject, *r.Promotion); err != nil {
			return refs, "", err
		}
		written, note, err := g.tag(ctx, d, subject, r)
		refs = append(refs, written...)
		if err != nil || note != "" {
			return refs, note, err
		}
	}
	return refs, "", nil
}

// tag moves the promotion's tags, unless the push was overtaken. Promotions to
// one repository take turns, so that the newest push has the last word, in the
// summaries as in the tags.
func (g *Gate) tag(ctx context.Context, d Decision, s policy.Subject, r policy.Result) ([]GoldenReference, string, error) {
	to := *r.Promotion
	defer g.destinations.lock(to.Registry + "/" + to.Repository)()
	note, err := g.overtakenAtTheEnd(ctx, d.Push)
	if err != nil || note != "" {
		return nil, note, err
	}
	tags := append(append([]string(nil), to.Tags...), to.Channels...)
	if note, err = g.heldByNewer(ctx, d.Push, to, tags); err != nil || note != "" {
		return nil, note, err
	}
	if g.Attester != nil {
		if err := g.Attester.Attest(ctx, d, r); err != nil {
			return nil, "", err
		}
	}
	var refs []GoldenReference
	for _, tag := range tags {
		if err := g.Promoter.Tag(ctx, s, to, tag); err != nil {
			return refs, "", err
		}
		refs = append(refs, GoldenReference{
			Registry: to.Registry, Repository: to.Repository, Tag: tag, Digest: s.Digest, PushID: d.Push.ID, At: g.Now(),
		})
	}
	return refs, "", nil
}

// heldByNewer returns a note when a newer push has one of the golden tags
// already.
func (g *Gate) heldByNewer(ctx context.Context, p Push, to policy.Promotion, tags []string) (string, error) {
	for _, tag := range tags {
		last, found, err := g.History.Golden(ctx, to.Registry, to.Repository, tag)
		if err != nil {
			return "", fmt.Errorf("read the history of %s/%s:%s: %w", to.Registry, to.Repository, tag, err)
		}
		if found && last.PushID > p.ID && last.Digest != p.Digest {
			return fmt.Sprintf("a newer push already holds the golden tag %s: %s", tag, last.Digest), nil
		}
	}
	return "", nil
}

// settleTime is how long a registry may take to write a tag that it has
// reported already, as CNCF Distribution v3 does.
const settleTime = 10 * time.Second

// overtakenAtTheEnd asks the journal and the staging registry itself whether
// the pushed tag has moved on: notifications may arrive late or out of order.
func (g *Gate) overtakenAtTheEnd(ctx context.Context, p Push) (string, error) {
	newer, overtaken, err := g.Ledger.Overtaken(ctx, p)
	if err != nil {
		return "", fmt.Errorf("look for a newer push of %s:%s: %w", p.Repository, p.Tag, err)
	}
	if overtaken {
		return fmt.Sprintf("a newer push of the tag %s overtook this one: %s", p.Tag, newer.Digest), nil
	}
	now, err := g.Resolver.Resolve(ctx, p.Source, p.Repository, p.Tag)
	settled := g.Now().Sub(p.ReceivedAt) > settleTime
	switch {
	case !settled && (errors.Is(err, ErrNotFound) || err == nil && now.Digest != p.Digest):
		return "", fmt.Errorf("the tag %s:%s does not point to the pushed digest yet", p.Repository, p.Tag)
	case errors.Is(err, ErrNotFound):
		return "the tag " + p.Tag + " was deleted from staging before the promotion", nil
	case err != nil:
		return "", fmt.Errorf("resolve %s:%s: %w", p.Repository, p.Tag, err)
	case now.Digest != p.Digest:
		return fmt.Sprintf("the tag %s points to %s by now, which is judged by itself", p.Tag, now.Digest), nil
	}
	return "", nil
}

// refuseConflict turns a yes into a no because an immutable tag is taken.
func (g *Gate) refuseConflict(ctx context.Context, yes Decision, conflict *ConflictError) (Progress, error) {
	d := g.newDecision(yes.Push)
	d.Verdict, d.Evidence, d.Results = policy.VerdictRejected, yes.Evidence, yes.Results
	d.Findings = append(d.Findings, policy.Finding{
		Check: policy.CheckPromote, Rule: "immutable", Outcome: policy.OutcomeFail, Reason: policy.ReasonConflict,
		Found:    "the golden tag " + conflict.Reference + " already holds " + conflict.Have,
		Expected: "a golden tag that is free or holds this digest: the policy makes golden tags immutable",
		Remedy:   "push this image under a new version tag",
	})
	d, known, err := g.record(ctx, d)
	if err != nil {
		return Progress{}, err
	}
	if !known {
		g.Observer.Decided(ctx, d)
	}
	return d.progress(), nil
}

// keyedMutex holds one lock for each key in use. The zero value is ready.
type keyedMutex struct {
	mu    sync.Mutex
	locks map[string]*countedMutex
}

type countedMutex struct {
	sync.Mutex
	users int
}

// lock waits for the key and returns what releases it.
func (k *keyedMutex) lock(key string) func() {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*countedMutex{}
	}
	l := k.locks[key]
	if l == nil {
		l = &countedMutex{}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
		k.mu.Unlock()
	}
}
