package journal

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How a process shows that it is alive, and when it stops working because it
// could not: before others take it for dead and its work for theirs.
const (
	beatInterval = time.Second
	beatTimeout  = 2 * time.Second
	fenceAfter   = leaseTime - beatInterval - beatTimeout
)

// replica is this process among those that share the journal.
type replica struct {
	id     string
	engine engine
	log    *slog.Logger
	alive  func(int) // told how many processes there are, when that changes

	mu      sync.Mutex
	running map[int64]context.CancelFunc // jobs under way
	// suspects are jobs that the database says this process works on, and it
	// does not: their outcome could not be stored.
	suspects map[int64]bool
	// given are turns that are over and of which the database does not know
	// yet, by holder.
	given map[string]bool
	turns atomic.Int64
}

func newReplica(id string, e engine, log *slog.Logger, alive func(int)) *replica {
	return &replica{id: id, engine: e, log: log, alive: alive, running: map[int64]context.CancelFunc{}, given: map[string]bool{}}
}

// enter and leave frame the work on a job. The context ends when this process
// can no longer be sure to be the only one.
func (r *replica) enter(ctx context.Context, job int64) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[job] = cancel
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.running, job)
	}
}

// stayAlive shows signs of life until ctx ends.
func (r *replica) stayAlive(ctx context.Context, now func() time.Time) {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	last, count := now(), 0
	for {
		began := now()
		n, lapsed, err := r.beat(ctx)
		switch {
		case err == nil:
			if lapsed {
				r.fence(ctx)
			}
			last = began
			if n != count {
				count = n
				r.alive(n)
			}
		case ctx.Err() != nil:
			return
		default:
			r.log.WarnContext(ctx, "no sign of life could be stored", slog.Any("error", err))
			if now().Sub(last) > fenceAfter {
				r.fence(ctx)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fence ends all work: others may have taken it over by now.
func (r *replica) fence(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) > 0 {
		r.log.ErrorContext(ctx, "the journal cannot be reached: the work under way is left to other processes", slog.Int("jobs", len(r.running)))
	}
	for _, cancel := range r.running {
		cancel()
	}
}

// beat returns lapsed when this process was taken for dead before.
func (r *replica) beat(ctx context.Context) (alive int, lapsed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if alive, lapsed, err = r.engine.beat(ctx, r.id); err != nil {
		return 0, false, err
	}
	return alive, lapsed, joined(r.giveTurns(ctx), r.releaseLost(ctx))
}

// releaseLost makes jobs available that are marked as this process's, twice in
// a row, and that it does not work on.
func (r *replica) releaseLost(ctx context.Context) error {
	marked, err := r.marked(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	suspects, lost := map[int64]bool{}, []int64{}
	for _, id := range marked {
		if r.running[id] != nil {
			continue
		}
		suspects[id] = true
		if r.suspects[id] {
			lost = append(lost, id)
		}
	}
	r.suspects = suspects
	r.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	r.log.WarnContext(ctx, "jobs whose outcome could not be stored are taken up again", slog.Int("jobs", len(lost)))
	return r.engine.inTx(ctx, func(tx db) error {
		return tx.exec(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running' AND id IN ("+valuesOf("?", len(lost))+")", anys(lost)...)
	})
}

// marked lists the jobs that the database says this process works on.
func (r *replica) marked(ctx context.Context) ([]int64, error) {
	var ids []int64
	query, args := r.engine.marked(r.id)
	return ids, r.engine.each(ctx, query, args, func(row row) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
}

// turnPause is how long to wait before asking again for a turn that another
// process has.
const turnPause = 25 * time.Millisecond

// Turn waits until no other process has the key's turn, as long as ctx allows.
// Whoever asks makes sure that nobody else in this process does.
func (j *Journal) Turn(ctx context.Context, key string) (release func(), err error) {
	r := j.replica
	holder := fmt.Sprintf("%s/%d", r.id, r.turns.Add(1))
	for {
		taken, err := r.engine.turn(ctx, r.id, key, holder)
		if err != nil {
			return nil, fmt.Errorf("take the turn of %s: %w", key, err)
		}
		if taken {
			return func() { r.giveTurn(ctx, holder) }, nil
		}
		if err := pause(ctx, turnPause+rand.N(turnPause)); err != nil { //nolint:gosec // keeps processes out of step
			return nil, fmt.Errorf("another process has the turn of %s: %w", key, err)
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *replica) giveTurn(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	if err := r.engine.endTurn(ctx, holder); err != nil {
		r.log.WarnContext(ctx, "a turn could not be given back yet", slog.Any("error", err))
		r.mu.Lock()
		defer r.mu.Unlock()
		r.given[holder] = true
	}
}

// giveTurns gives back what could not be given back before.
func (r *replica) giveTurns(ctx context.Context) error {
	r.mu.Lock()
	holders := slices.Collect(maps.Keys(r.given))
	r.mu.Unlock()
	var errs []error
	for _, holder := range holders {
		if err := r.engine.endTurn(ctx, holder); err != nil {
			errs = append(errs, err)
			continue
		}
		r.mu.Lock()
		delete(r.given, holder)
		r.mu.Unlock()
	}
	return joined(errs...)
}
