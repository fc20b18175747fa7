package policyset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// How often the files are looked at, and how soon again after a change, which
// counts when it is over.
const (
	interval = 10 * time.Second
	settling = 2 * time.Second
)

// TrustRoots tells what the trust roots of the configuration hold.
type TrustRoots interface {
	// Fingerprint names what a trust root holds now.
	Fingerprint(ctx context.Context, name string) (string, error)
}

// Rejudger has pushes judged again.
type Rejudger interface {
	// Rejudge compares what the newest push of each tag was judged by with
	// what it would be judged by now, and wakes those for which that differs.
	// An empty answer says that nobody knows: such a push is left alone.
	Rejudge(ctx context.Context, judgedBy func(source, repository, tag string) string) (woken int, err error)
}

// Observer is told what happens to policies, for metrics.
type Observer interface {
	// FollowPolicies is told of policies before they are in force.
	FollowPolicies(all []*policy.Compiled)
	// PolicyReload says whether the files are in force as they are.
	PolicyReload(failed bool)
}

// Deps is what a Watcher works with. Every field but Rejudger is required.
type Deps struct {
	Set        *Set
	TrustRoots TrustRoots
	Rejudger   Rejudger // nil: nothing is judged again
	Observer   Observer
	Now        func() time.Time
	Log        *slog.Logger
}

// Watcher follows the files of policies, keys and trust roots.
type Watcher struct {
	Deps
	trouble  atomic.Pointer[error] // what Ready answers
	replicas atomic.Int64          // how many processes judge
	left     atomic.Bool           // one of them did, by what may have been other policies

	failed     error             // why the policies cannot be read
	logged     map[string]string // the files of which the log said so
	unreadable map[string]error  // trust roots, by name
	told       *state            // by what pushes were judged again last
}

// NewWatcher returns a watcher.
func NewWatcher(deps Deps) *Watcher {
	return &Watcher{Deps: deps, unreadable: map[string]error{}}
}

// Replicas tells how many processes judge pushes. One that is gone may have been
// the last with older policies, as when new processes with new ones take the place
// of old ones.
func (w *Watcher) Replicas(alive int) {
	if int64(alive) < w.replicas.Swap(int64(alive)) {
		w.left.Store(true)
	}
}

// Run looks at the files until ctx ends, and at once when reload says so.
func (w *Watcher) Run(ctx context.Context, reload <-chan os.Signal) {
	settled := w.Check(ctx)
	for {
		pause := interval
		if !settled {
			pause = settling
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			settled = w.Check(ctx)
		case <-reload:
			timer.Stop()
			w.Log.InfoContext(ctx, "policies are read again on request")
			w.logged = nil
			settled = w.check(ctx, true)
		}
	}
}

// Check looks at the files once. It returns false when they have changed since
// the last look: that counts when the next one sees the same.
func (w *Watcher) Check(ctx context.Context) (settled bool) { return w.check(ctx, false) }

func (w *Watcher) check(ctx context.Context, forced bool) (settled bool) {
	tried, settled := w.Set.refresh(ctx, w.Now(), forced)
	if ctx.Err() != nil {
		return settled
	}
	if tried != nil {
		w.take(ctx, tried)
	}
	roots := w.readTrustRoots(ctx)
	if ctx.Err() != nil {
		return settled
	}
	w.report()
	w.rejudge(ctx, roots)
	return settled
}

// take puts what was read in force, or says why not.
func (w *Watcher) take(ctx context.Context, tried *attempt) {
	if tried.err != nil {
		w.refuse(ctx, tried)
		return
	}
	if w.failed != nil {
		w.Log.InfoContext(ctx, "the policies can be read again")
	}
	w.failed, w.logged = nil, nil
	before, next := w.Set.Policies(), newInForce(tried.policies)
	w.Observer.FollowPolicies(next.compiled.All())
	w.Set.now.Store(next)
	c := compare(before, tried.policies)
	if c.none() {
		return
	}
	w.Log.InfoContext(ctx, "policies changed", slog.Any("added", c.added), slog.Any("changed", c.changed), slog.Any("removed", c.removed))
	if len(tried.policies) == 0 {
		w.Log.WarnContext(ctx, "there is no policy any more: nothing is promoted", slog.String("location", w.Set.source.Location))
	}
}

// refuse leaves the policies as they are. The log says so once for what the
// files hold, however often a service is asked for a key.
func (w *Watcher) refuse(ctx context.Context, tried *attempt) {
	w.failed = tried.err
	if maps.Equal(w.logged, tried.sums) {
		return
	}
	w.logged = tried.sums
	w.Log.ErrorContext(ctx, "the policies cannot be read: those before stay in force", slog.String("reason", tried.err.Error()),
		slog.String("remedy", "mend the files; gatekeeper policy lint "+w.Set.source.Location+" names the same mistakes"))
}

// report keeps what Ready answers, and the metric.
func (w *Watcher) report() {
	var errs []error
	if w.failed != nil {
		errs = append(errs, fmt.Errorf("the policies cannot be read, those before stay in force: %w", w.failed))
	}
	for _, name := range slices.Sorted(maps.Keys(w.unreadable)) {
		errs = append(errs, fmt.Errorf("trust root %s: %w", name, w.unreadable[name]))
	}
	trouble := errors.Join(errs...)
	w.trouble.Store(&trouble)
	w.Observer.PolicyReload(trouble != nil)
}

// Ready says what is wrong with the policies. It is safe for concurrent use.
func (w *Watcher) Ready(context.Context) error {
	if err := w.trouble.Load(); err != nil && *err != nil {
		return *err
	}
	if len(w.Set.Compiled()) == 0 {
		return errors.New("there is no policy: nothing is promoted")
	}
	return nil
}
