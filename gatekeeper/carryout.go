package gatekeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// How long the gatekeeper's own word may take, and how long a promotion waits
// for another one to the same repository before it lets go of its worker and is
// tried again.
const (
	attestTimeout = 2 * time.Minute
	turnTimeout   = 30 * time.Second
)

// resume carries a decision out. One that was recorded before is carried out
// as it was recorded, with its evidence, time and tags, so that what a crash
// interrupted and what follows are the same promotion. choose says which of its
// results are carried out, found how many of its tags were put on record just now.
func (g *Gate) resume(ctx context.Context, d Decision, known bool, found int, choose func(*Decision) []policy.Result) (Progress, error) {
	if !known {
		return g.carryOut(ctx, d, choose(&d), 0)
	}
	recorded, err := g.History.Decision(ctx, d.ID)
	if err != nil {
		return Progress{}, fmt.Errorf("read decision %d again: %w", d.ID, err)
	}
	d.Results, d.Evidence, d.DecidedAt, d.Golden = recorded.Results, recorded.Evidence, recorded.DecidedAt, recorded.Golden
	if d.unfinished() || found > 0 {
		return g.carryOut(ctx, d, choose(&d), len(d.Golden)-found)
	}
	return d.progress(), nil // completed before a crash
}

// carryOut does what a recorded yes allows: for each destination the copy with
// everything that refers to it, the signed summary, then the tags and the
// record of them. told is how many of its tags were told of before.
func (g *Gate) carryOut(ctx context.Context, d Decision, results []policy.Result, told int) (Progress, error) {
	started := g.Now()
	note, err := g.promoteAll(ctx, &d, results)
	g.Observer.Stage(StagePromotion, g.Now().Sub(started))
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict):
		return g.refuseConflict(ctx, d, conflict)
	case err != nil:
		return Progress{}, fmt.Errorf("promote %s@%s: %w", d.Push.Repository, d.Push.Digest, err)
	case len(d.Golden) > told: // or else what is left belongs to newer pushes
		d.Took = g.Now().Sub(d.Push.ReceivedAt)
		g.Observer.Decided(ctx, d)
	}
	if note != "" {
		return g.supersede(ctx, d.Push, note)
	}
	return d.progress(), nil
}

// promoteAll adds what it wrote to the decision. It returns a note when a
// newer push turned up on the way.
func (g *Gate) promoteAll(ctx context.Context, d *Decision, results []policy.Result) (string, error) {
	subject := policy.Subject{Registry: d.Push.Source, Repository: d.Push.Repository, Digest: d.Push.Digest}
	for _, r := range results {
		if len(d.unwritten(*r.Promotion)) == 0 {
			continue
		}
		err := g.Promoter.Copy(ctx, subject, *r.Promotion)
		_, taken := errors.AsType[*ConflictError](err)
		if d.wrote(*r.Promotion) && (taken || errors.Is(err, ErrNotFound)) {
			// It was copied before, and has left staging, or a newer push took one
			// of its tags, which is left to that.
			err = nil
		}
		if err != nil {
			return "", err
		}
		if note, err := g.tag(ctx, d, subject, r); err != nil || note != "" {
			return note, err
		}
	}
	return "", nil
}

// tag moves the promotion's tags, unless the push was overtaken before it moved
// any. Promotions to one repository take turns until what they wrote is on
// record, so that the newest push has the last word, in the summaries as in the
// tags.
func (g *Gate) tag(ctx context.Context, d *Decision, s policy.Subject, r policy.Result) (string, error) {
	to := *r.Promotion
	release, err := g.turn(ctx, to)
	if err != nil {
		return "", err
	}
	defer release()
	var note string
	begun := d.wrote(to)
	if !begun {
		if note, err = g.overtakenAtTheEnd(ctx, d.Push); err != nil || note != "" {
			return note, err
		}
	}
	if to.Tags, note, err = g.free(ctx, d.Push, to, to.Tags); err != nil {
		return "", err
	}
	var heldChannel string
	if to.Channels, heldChannel, err = g.free(ctx, d.Push, to, to.Channels); err != nil {
		return "", err
	}
	switch {
	case len(to.Tags)+len(to.Channels) == 0 && !begun:
		return cmp.Or(note, heldChannel), nil
	case len(d.unwritten(to)) == 0:
		return "", nil
	}
	r.Promotion = &to
	if err := g.attest(ctx, *d, r); err != nil {
		return "", err
	}
	written, err := g.move(ctx, *d, s, to)
	d.Golden = append(d.Golden, written...)
	if len(written) > 0 {
		if failed := g.Ledger.RecordGolden(ctx, d.ID, written); failed != nil {
			return "", errors.Join(err, fmt.Errorf("record the promotion to %s/%s: %w", to.Registry, to.Repository, failed))
		}
	}
	return "", err
}

// turn waits until no other promotion writes to the repository.
func (g *Gate) turn(ctx context.Context, to policy.Promotion) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	key := g.place(to)
	defer func() {
		if err != nil && waiting.Err() != nil && ctx.Err() == nil {
			err = &BusyError{key, err}
		}
	}()
	unlock, err := g.destinations.lock(waiting, key)
	if err != nil || g.Turns == nil {
		return unlock, err
	}
	end, err := g.Turns.Turn(waiting, key)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("wait for other promotions to %s: %w", key, err)
	}
	return func() {
		end()
		unlock()
	}, nil
}

// place is where a promotion goes, by the registry's host where that is known:
// two names of the configuration may lead to one registry.
func (g *Gate) place(to policy.Promotion) string {
	registry := to.Registry
	if hosts, ok := g.Resolver.(interface {
		Host(registry string) (string, error)
	}); ok {
		if host, err := hosts.Host(registry); err == nil {
			registry = host
		}
	}
	return registry + "/" + to.Repository
}

func (g *Gate) attest(ctx context.Context, d Decision, r policy.Result) error {
	if g.Attester == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attestTimeout)
	defer cancel()
	return g.Attester.Attest(ctx, d, r)
}

// move points the promotion's tags at the subject, and returns those that it
// moved.
func (g *Gate) move(ctx context.Context, d Decision, s policy.Subject, to policy.Promotion) ([]GoldenReference, error) {
	var refs []GoldenReference
	for _, tag := range d.unwritten(to) {
		if err := g.Promoter.Tag(ctx, s, to, tag); err != nil {
			return refs, err
		}
		refs = append(refs, GoldenReference{
			Registry: to.Registry, Repository: to.Repository, Tag: tag, Digest: s.Digest, PushID: d.Push.ID, At: g.Now(),
		})
	}
	return refs, nil
}

// recordWritten puts on record what a promotion wrote before it was
// interrupted: no golden tag points to an image that the history does not know.
// It returns the last decision, with that, and how much it was.
func (g *Gate) recordWritten(ctx context.Context, p Push) (d Decision, found int, err error) {
	if d, err = g.last(ctx, p); err != nil {
		return d, 0, err
	}
	for _, r := range d.approved() {
		written, err := g.recordTags(ctx, d, p.Digest, *r.Promotion)
		if err != nil {
			return d, found, err
		}
		d.Golden = append(d.Golden, written...)
		found += len(written)
	}
	return d, found, nil
}

func (g *Gate) recordTags(ctx context.Context, d Decision, digest string, to policy.Promotion) (written []GoldenReference, err error) {
	tags := d.unwritten(to)
	if len(tags) == 0 {
		return nil, nil
	}
	release, err := g.turn(ctx, to)
	if err != nil {
		return nil, err
	}
	defer release()
	for _, tag := range tags {
		now, err := g.Resolver.Resolve(ctx, to.Registry, to.Repository, tag)
		switch {
		case errors.Is(err, ErrNotFound), err == nil && now.Digest != digest:
			continue
		case err != nil:
			return nil, fmt.Errorf("resolve %s/%s:%s: %w", to.Registry, to.Repository, tag, err)
		}
		last, found, err := g.History.Golden(ctx, to.Registry, to.Repository, tag)
		if err != nil {
			return nil, fmt.Errorf("read the history of %s/%s:%s: %w", to.Registry, to.Repository, tag, err)
		}
		if !found || last.Digest != digest {
			written = append(written, GoldenReference{
				Registry: to.Registry, Repository: to.Repository, Tag: tag, Digest: digest, PushID: d.Push.ID, At: g.Now(),
			})
		}
	}
	if len(written) == 0 {
		return nil, nil
	}
	if err := g.Ledger.RecordGolden(ctx, d.ID, written); err != nil {
		return nil, fmt.Errorf("record the promotion to %s/%s: %w", to.Registry, to.Repository, err)
	}
	return written, nil
}

// wrote says whether tags of a promotion are on record for the decision.
func (d *Decision) wrote(to policy.Promotion) bool {
	return len(d.unwritten(to)) < len(to.Tags)+len(to.Channels)
}

// begun are the results that allowed what is on record for the decision, unless
// it was refused since.
func (d *Decision) begun() []policy.Result {
	if d.conflicted() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(d.approved()), func(r policy.Result) bool { return !d.wrote(*r.Promotion) })
}

// unfinished says whether something that was approved, and not refused since, is
// not written yet.
func (d *Decision) unfinished() bool {
	return !d.conflicted() && slices.ContainsFunc(d.approved(), func(r policy.Result) bool { return len(d.unwritten(*r.Promotion)) > 0 })
}

// unwritten lists the tags and channels of a promotion that are not on record
// for the decision.
func (d *Decision) unwritten(to policy.Promotion) []string {
	return slices.DeleteFunc(slices.Concat(to.Tags, to.Channels), func(tag string) bool {
		return slices.ContainsFunc(d.Golden, func(g GoldenReference) bool {
			return g.Registry == to.Registry && g.Repository == to.Repository && g.Tag == tag
		})
	})
}

// free leaves the golden tags out that a newer push holds already; held says
// so of one of them.
func (g *Gate) free(ctx context.Context, p Push, to policy.Promotion, tags []string) (free []string, held string, err error) {
	for _, tag := range tags {
		last, found, err := g.History.Golden(ctx, to.Registry, to.Repository, tag)
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("read the history of %s/%s:%s: %w", to.Registry, to.Repository, tag, err)
		case found && last.PushID > p.ID && last.Digest != p.Digest:
			held = fmt.Sprintf("a newer push already holds the golden tag %s: %s", tag, last.Digest)
		default:
			free = append(free, tag)
		}
	}
	return free, held, nil
}

// settleTime is how long a registry may take to write a tag that it has
// reported already, as CNCF Distribution v3 does.
const settleTime = 10 * time.Second

// overtakenAtTheEnd asks the journal and the staging registry itself whether
// the pushed tag has moved on: notifications may arrive late or out of order.
func (g *Gate) overtakenAtTheEnd(ctx context.Context, p Push) (string, error) {
	now, err := g.Resolver.Resolve(ctx, p.Source, p.Repository, p.Tag)
	if err == nil && now.Digest == p.Digest {
		return "", nil // whatever the journal was told since
	}
	gone := errors.Is(err, ErrNotFound)
	if err != nil && !gone {
		return "", fmt.Errorf("resolve %s:%s: %w", p.Repository, p.Tag, err)
	}
	newer, overtaken, err := g.Ledger.Overtaken(ctx, p)
	switch {
	case err != nil:
		return "", fmt.Errorf("look for a newer push of %s:%s: %w", p.Repository, p.Tag, err)
	case overtaken:
		return fmt.Sprintf("a newer push of the tag %s overtook this one: %s", p.Tag, newer.Digest), nil
	case g.Now().Sub(p.ReceivedAt) <= settleTime:
		return "", fmt.Errorf("the tag %s:%s does not point to the pushed digest yet", p.Repository, p.Tag)
	case gone:
		return "the tag " + p.Tag + " was deleted from staging before the promotion", nil
	}
	// Whoever pushed that may have been heard before this push, and taken for
	// older, or not at all.
	if err := g.Waker.Notice(ctx, p, now); err != nil {
		return "", fmt.Errorf("take note of %s:%s: %w", p.Repository, p.Tag, err)
	}
	return fmt.Sprintf("the tag %s points to %s by now, which is judged by itself", p.Tag, now.Digest), nil
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
	locks map[string]*turnstile
}

type turnstile struct {
	taken chan struct{} // holds one
	users int
}

// lock waits for the key, as long as ctx allows, and returns what releases it.
func (k *keyedMutex) lock(ctx context.Context, key string) (release func(), err error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*turnstile{}
	}
	l := k.locks[key]
	if l == nil {
		l = &turnstile{taken: make(chan struct{}, 1)}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
	}
	select {
	case l.taken <- struct{}{}:
		return func() { <-l.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
