package journal

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	holders map[string]bool              // that have a turn, or ask for one
	turns   atomic.Int64
}

func (j *Journal) newReplica(id string) *replica {
	return &replica{
		id: id, engine: j.engine, log: j.deps.Log, alive: j.deps.Replicas,
		running: map[int64]context.CancelFunc{}, holders: map[string]bool{},
	}
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

// worksOn says whether a job is under way here.
func (r *replica) worksOn(job int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[job] != nil
}

// end ends the work on jobs that are others' by now.
func (r *replica) end(jobs []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range jobs {
		if cancel := r.running[id]; cancel != nil {
			cancel()
		}
	}
}

// stayAlive shows signs of life until ctx ends. It measures with the monotonic
// clock, which does not jump.
func (r *replica) stayAlive(ctx context.Context) {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	last, count := time.Now(), 0 //nolint:forbidigo // see above
	for {
		began := time.Now() //nolint:forbidigo // see above
		n, err := r.beat(ctx)
		switch {
		case err == nil:
			last = began
			if n != count {
				count = n
				r.alive(n)
			}
		case ctx.Err() != nil:
			return
		default:
			r.log.WarnContext(ctx, "no sign of life could be stored", slog.Any("error", err))
			if time.Since(last) > fenceAfter {
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

// beat shows one sign of life. A process that finds itself struck off ends its
// work first, and is among the others again then: whatever fails on the way,
// it is noticed again the next time.
func (r *replica) beat(ctx context.Context) (alive int, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	alive, lapsed, err := r.engine.beat(ctx, r.id)
	if err != nil || !lapsed {
		return alive, err
	}
	r.fence(ctx)
	return alive + 1, r.engine.join(ctx, r.id)
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

// turnPause is how long to wait before asking again for a turn that another
// process has.
const turnPause = 25 * time.Millisecond

// Turn waits until no other process has the key's turn, as long as ctx allows.
// Whoever asks makes sure that nobody else in this process does.
func (j *Journal) Turn(ctx context.Context, key string) (release func(), err error) {
	r := j.replica
	holder := fmt.Sprintf("%s/%d", r.id, r.turns.Add(1))
	r.hold(holder, true)
	defer func() {
		if err != nil {
			r.hold(holder, false)
		}
	}()
	for {
		taken, err := r.engine.turn(ctx, r.id, key, holder)
		if err != nil {
			r.giveTurn(ctx, holder) // the answer may be all that was lost
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

// giveTurn gives a turn back. When that fails, or the turn is taken only now,
// giveStrays does later.
func (r *replica) giveTurn(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	defer r.hold(holder, false)
	if err := r.engine.endTurn(ctx, holder); err != nil {
		r.log.WarnContext(ctx, "a turn could not be given back yet", slog.Any("error", err))
	}
}

func (r *replica) hold(holder string, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.holders[holder] = true
		return
	}
	delete(r.holders, holder)
}

func (r *replica) holds(holder string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holders[holder]
}

// giveStrays gives back the turns that the database says this process has, and
// that nobody here has or asks for: the answer that it was taken was lost, or
// nobody could be told that it is over. No holder asks twice.
func (r *replica) giveStrays(ctx context.Context) error {
	query, args := r.engine.turnsOf(r.id)
	if query == "" {
		return nil
	}
	var have []string
	err := r.engine.each(ctx, query, args, func(r row) error {
		var holder string
		err := r.Scan(&holder)
		have = append(have, holder)
		return err
	})
	if err != nil {
		return err
	}
	for _, holder := range have {
		if r.holds(holder) {
			continue
		}
		if err := r.engine.endTurn(ctx, holder); err != nil {
			return err
		}
	}
	return nil
}
