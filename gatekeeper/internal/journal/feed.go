package journal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Whoever reports a push waits until it is stored, and no longer: its job is
// queued after that, with those of others. A process remembers which pushes it
// has to queue jobs for; what it forgets by dying, sweep finds.

const (
	// maxFed is how many pushes share a feeding: on SQLite it keeps accepted
	// pushes waiting.
	maxFed = 250
	// maxHungry bounds what a process remembers; the oldest are for sweep then.
	maxHungry = 100_000
	// feedTimeout bounds one feeding.
	feedTimeout = 10 * time.Second
)

// feedPause is the pause after so many pushes were fed and that took so long.
// Who reports pushes goes first: where many do, feeding takes a fortieth of
// the time, or a third while it is behind. The first push after a rest does not
// wait, and where there are few they wait for an instant.
func feedPause(fed int, took time.Duration) time.Duration {
	switch {
	case fed == maxFed:
		return 2 * took
	case fed < 8:
		return 4 * took
	}
	return min(39*took, 200*time.Millisecond)
}

// feeder remembers pushes that are stored and have no job yet.
type feeder struct {
	mu     sync.Mutex
	pushes []int64
	more   chan struct{} // has an element when there may be some
}

func newFeeder() feeder { return feeder{more: make(chan struct{}, 1)} }

func (f *feeder) add(pushes []int64) {
	if len(pushes) == 0 {
		return
	}
	f.mu.Lock()
	f.pushes = append(f.pushes, pushes...)
	f.pushes = f.pushes[max(0, len(f.pushes)-maxHungry):]
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feeder) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pushes)
}

// next takes the pushes that are next: the oldest and, while many wait, the
// newest as well, so that what was just pushed does not wait for all of them.
func (f *feeder) next() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.pushes)
	oldest := min(n, maxFed)
	if n > maxFed {
		oldest = maxFed / 2
	}
	newest := min(n-oldest, maxFed-oldest)
	taken := slices.Concat(f.pushes[:oldest], f.pushes[n-newest:])
	if f.pushes = f.pushes[oldest : n-newest]; len(f.pushes) == 0 {
		f.pushes = nil
	}
	return taken
}

// keepFed queues jobs for accepted pushes, until ctx ends.
func (j *Journal) keepFed(ctx context.Context) {
	for {
		select {
		case <-j.feeder.more:
		case <-ctx.Done():
			return
		}
		if err := j.feed(ctx); err != nil && ctx.Err() == nil {
			j.deps.Log.WarnContext(ctx, "jobs for accepted pushes cannot be queued yet", slog.Any("error", err))
			_ = pause(ctx, startPause) // its end is seen above
		}
	}
}

// feed queues jobs for what was accepted in this process, in rounds, until there
// is nothing left.
func (j *Journal) feed(ctx context.Context) error {
	for {
		began := time.Now() //nolint:forbidigo // the monotonic clock
		fed, err := j.feedSome(ctx)
		if err != nil || fed == 0 {
			return err
		}
		if err := pause(ctx, feedPause(fed, time.Since(began))); err != nil {
			return err
		}
	}
}

// feedWaiting queues jobs for what is waiting now, and not for what comes
// meanwhile.
func (j *Journal) feedWaiting(ctx context.Context) error {
	for left := j.feeder.waiting(); left > 0; {
		fed, err := j.feedSome(ctx)
		if err != nil || fed == 0 {
			return err
		}
		left -= fed
	}
	return nil
}

// feedSome is one round. It returns how many pushes were in it.
func (j *Journal) feedSome(ctx context.Context) (int, error) {
	pushes := j.feeder.next()
	if len(pushes) == 0 {
		return 0, nil
	}
	if err := j.queueNew(ctx, pushes); err != nil {
		j.feeder.add(pushes)
		return 0, err
	}
	return len(pushes), nil
}

// queueNew queues jobs for those of the pushes that have none yet.
func (j *Journal) queueNew(ctx context.Context, pushes []int64) error {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	var still []int64
	err := j.engine.inTx(ctx, func(tx db) (err error) {
		// Evidence may have arrived, and another process may sweep.
		table, args := j.engine.table(columns{pushes})
		query := j.engine.skipLocked("SELECT p.id FROM pushes p WHERE p.id IN (SELECT column1 FROM "+table+") AND "+isNew+" ORDER BY p.id", "p")
		if still, err = numbers(ctx, tx, query, args); err != nil || len(still) == 0 {
			return err
		}
		j.deps.Reached(stepQueue)
		return j.queueByTurns(ctx, tx, still, priorityFresh)
	})
	if err != nil {
		return fmt.Errorf("queue %d pushes: %w", len(pushes), err)
	}
	if len(still) > 0 {
		j.deps.Reached(stepQueued)
	}
	return nil
}

// isNew is a condition on a push p: it was accepted, and has no job yet. SQLite
// takes the index of open pushes where its own condition is repeated.
const isNew = "p.state = 'queued' AND p.state IN ('queued', 'judging', 'retrying', 'pending') AND p.job_id IS NULL"

// queueByTurns queues jobs for new pushes. The rank of each is how many of its
// repository wait already.
func (j *Journal) queueByTurns(ctx context.Context, tx db, pushes []int64, priority int) error {
	if len(pushes) == 0 {
		return nil
	}
	table, args := j.engine.table(columns{pushes})
	ranks := make([]int64, 0, len(pushes))
	behind := map[string]int64{} // of this transaction, by repository
	err := tx.each(ctx, `
		WITH these AS (SELECT p.id, p.source, p.repository FROM `+table+` JOIN pushes p ON p.id = v.column1),
		waiting AS (SELECT r.source, r.repository,
		  (SELECT count(*) FROM pushes w WHERE w.source = r.source AND w.repository = r.repository AND w.job_id IS NOT NULL
		    AND w.state = 'queued' AND w.state IN ('queued', 'judging', 'retrying', 'pending')) AS n
		  FROM (SELECT DISTINCT source, repository FROM these) AS r)
		SELECT t.source || ' ' || t.repository, w.n FROM these t JOIN waiting w ON w.source = t.source AND w.repository = t.repository ORDER BY t.id`, args, func(r row) error {
		var repository string
		var waiting int64
		err := r.Scan(&repository, &waiting)
		ranks = append(ranks, waiting+behind[repository])
		behind[repository]++
		return err
	})
	if err != nil {
		return fmt.Errorf("rank %d pushes: %w", len(pushes), err)
	}
	if len(ranks) != len(pushes) {
		return fmt.Errorf("rank %d pushes: %d have a rank", len(pushes), len(ranks))
	}
	return j.enqueue(ctx, tx, pushes, func(i int) place { return place{laneFast, priority, ranks[i]} })
}
