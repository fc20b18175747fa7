// Package reconcile finds the pushes that no notification reported: it walks
// the repositories of a source registry and hands the journal what their tags
// point to. It decides nothing, and asks for nothing that no policy is about.
package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// settle is for how long after the arrival of a push what a registry says of
// its tag is not believed: CNCF Distribution reports a push before it writes
// the tag, and the clocks of two replicas differ.
const settle = time.Minute

// Journal compares what a registry holds with what was reported.
type Journal interface {
	// Reconcile takes tags as they were found in a registry; EventID and Actor
	// are empty. It accepts, with low priority, those that were missed, and
	// returns how many these were.
	//
	// A tag was missed when it has no push yet, when its newest push has
	// another digest, and when that ended as error or superseded. It is left
	// alone when its newest push arrived after Time, because what was found
	// may be older than that push, and when that push has no digest yet.
	Reconcile(ctx context.Context, found []notifications.Push) (missed int, err error)
}

// Registry is what a walk asks of a registry; *registry.Registries has it.
type Registry interface {
	Repositories(ctx context.Context, registry string, each func(name string) error) error
	Tags(ctx context.Context, repo registry.Repository) ([]string, error)
	Resolve(ctx context.Context, registry, repository, tag string) (gatekeeper.Descriptor, error)
}

// Golden knows what the gatekeeper itself wrote.
type Golden interface {
	// Golden returns the newest promotion of a golden tag.
	Golden(ctx context.Context, registry, repository, tag string) (gatekeeper.GoldenReference, bool, error)
}

// Observer is told what a walk found, for metrics.
type Observer interface {
	ReconcileMissed(source string, n int)
	Reconciled(source string) // everything was compared
}

// Deps is what a Reconciler works with. Every field is required.
type Deps struct {
	Registry Registry
	Journal  Journal
	Golden   Golden
	// Policies returns the policies in force. It is called once for each walk.
	Policies func() []*policy.Compiled
	Observer Observer
	Now      func() time.Time
	Log      *slog.Logger
}

// Source is a registry to walk.
type Source struct {
	Name         string       // in the configuration
	Repositories policy.Globs // those to look at
	// Aliases are the names of the configuration that lead to the same
	// registry, its own included: what was promoted there is no push.
	Aliases []string
	// RequestsPerSecond is the walk's share of the registry's limit; unlimited
	// when zero. A list with many pages counts once.
	RequestsPerSecond float64
	Concurrent        int // requests under way at a time; 4 when zero
}

// Reconciler walks one source.
type Reconciler struct {
	deps    Deps
	source  Source
	limiter *rate.Limiter
}

// New returns a Reconciler.
func New(source Source, deps Deps) *Reconciler {
	source.Concurrent = cmp.Or(source.Concurrent, 4)
	limit := rate.Inf
	if source.RequestsPerSecond > 0 {
		limit = rate.Limit(source.RequestsPerSecond)
	}
	return &Reconciler{deps: deps, source: source, limiter: rate.NewLimiter(limit, 1)}
}

// walk is one look at a source.
type walk struct {
	deps     Deps
	source   Source
	policies []*policy.Compiled // those about the source
	golden   []string           // aliases that promotions go to
	limiter  *rate.Limiter
	slots    chan struct{}
	troubles *troubles
	tags     atomic.Int64
	missed   atomic.Int64
}

// Walk compares the source with the journal once. A repository's trouble ends
// nothing but that repository; a registry that wants to rest, or fails again
// and again, ends the walk. Repositories come in another order each time, so
// that a walk which ends early does not always miss the same ones. The error
// says that something was not compared.
func (r *Reconciler) Walk(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	begun := r.deps.Now()
	w := r.walk(end)
	names, err := w.repositories(ctx)
	if err != nil {
		w.troubles.add(ctx, wholeWalk, err)
	}
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] }) //nolint:gosec // nobody gains by guessing the order
	var group errgroup.Group
	group.SetLimit(r.source.Concurrent)
	for _, name := range names {
		group.Go(func() error {
			if ctx.Err() == nil {
				w.compare(ctx, name)
			}
			return nil
		})
	}
	err = group.Wait()
	w.log(ctx, len(names), r.deps.Now().Sub(begun))
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("the walk ended early: %w", cause)
	} else if err == nil {
		err = w.troubles.summary()
	}
	if err != nil {
		return fmt.Errorf("reconcile %s: %w", r.source.Name, err)
	}
	r.deps.Observer.Reconciled(r.source.Name)
	return nil
}

func (r *Reconciler) walk(end context.CancelCauseFunc) *walk {
	w := &walk{
		deps: r.deps, source: r.source, limiter: r.limiter, slots: make(chan struct{}, r.source.Concurrent),
		troubles: &troubles{log: r.deps.Log, source: r.source.Name, end: end},
	}
	w.choosePolicies(r.deps.Policies())
	return w
}

func (w *walk) log(ctx context.Context, repositories int, took time.Duration) {
	level := slog.LevelDebug
	if w.missed.Load() > 0 {
		level = slog.LevelInfo
	}
	w.deps.Log.Log(ctx, level, "reconciled", slog.String("source", w.source.Name), slog.Int("repositories", repositories),
		slog.Int64("tags", w.tags.Load()), slog.Int64("missed", w.missed.Load()), slog.Int64("took_ms", took.Milliseconds()))
}

// turn waits until the registry may be asked; the caller calls done after the
// answer.
func (w *walk) turn(ctx context.Context) (done func(), err error) {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done = func() { <-w.slots }
	if err := w.limiter.Wait(ctx); err != nil {
		done()
		return nil, err
	}
	return done, nil
}
