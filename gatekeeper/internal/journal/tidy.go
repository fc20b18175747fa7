package journal

import (
	"context"
	"log/slog"
	"time"
)

// tidyTimeout bounds each step of putting in order what others left behind. It
// has no part in the signs of life: what hangs here must not end any work.
const tidyTimeout = 10 * time.Second

// sweepInterval is how often is looked for pushes that wait without a job.
const sweepInterval = 10 * time.Second

// keepTidy takes up what nobody is at any more, until ctx ends.
func (j *Journal) keepTidy(ctx context.Context) {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		j.tidy(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tidy takes each step whatever becomes of the others.
func (j *Journal) tidy(ctx context.Context) {
	steps := []struct {
		name string
		take func(context.Context) error
	}{
		{"take back what dead processes had", j.engine.takeBack},
		{"give back turns", j.replica.giveStrays},
		{"take up work that nobody is at", j.takeUp},
		{"look for pushes without a job", j.sweepAtTimes},
	}
	for _, step := range steps {
		limited, cancel := context.WithTimeout(ctx, tidyTimeout)
		err := step.take(limited)
		cancel()
		if err != nil && ctx.Err() == nil {
			j.deps.Log.WarnContext(ctx, "could not put in order what others left behind", slog.String("step", step.name), slog.Any("error", err))
		}
	}
}

// suspects are jobs that the database says this process works on, and it does
// not, by when that was seen first.
type suspects map[int64]time.Time

// takeUp has jobs done anew that nobody works on: those of dead processes, and
// those of which the database says, at two looks some time apart, that this
// process works on them, and it does not: their outcome could not be stored.
func (j *Journal) takeUp(ctx context.Context) error {
	query, args := j.engine.marked(j.replica.id)
	marked, err := numbers(ctx, j.engine, query, args)
	if err != nil {
		return err
	}
	lost := j.lost(marked)
	var orphans []int64
	if query := j.engine.orphaned(); query != "" {
		if orphans, err = numbers(ctx, j.engine, query, nil); err != nil {
			return err
		}
	}
	if len(orphans)+len(lost) == 0 {
		return nil // without a transaction, which SQLite has one of
	}
	j.deps.Log.WarnContext(ctx, "work that nobody is at is taken up again", slog.Int("of_dead_processes", len(orphans)), slog.Int("not_stored", len(lost)))
	return j.replace(ctx, append(orphans, lost...))
}

// lost returns the marked jobs that have been suspects for long enough.
func (j *Journal) lost(marked []int64) []int64 {
	now := time.Now() //nolint:forbidigo // the monotonic clock
	still, lost := suspects{}, []int64{}
	for _, id := range marked {
		if j.replica.worksOn(id) {
			continue
		}
		first, known := j.suspects[id]
		if !known {
			first = now
		}
		still[id] = first
		if now.Sub(first) >= beatInterval*9/10 {
			lost = append(lost, id)
		}
	}
	j.suspects = still
	return lost
}

// numbers reads a column of numbers.
func numbers(ctx context.Context, on db, query string, args []any) ([]int64, error) {
	var ids []int64
	err := on.each(ctx, query, args, collect(&ids))
	return ids, err
}

// sweepAtTimes is sweep, once in a while.
func (j *Journal) sweepAtTimes(ctx context.Context) error {
	now := time.Now() //nolint:forbidigo // the monotonic clock
	if now.Sub(j.swept) < sweepInterval {
		return nil
	}
	j.swept = now
	return j.sweep(ctx)
}

// jobless is a query for pushes that wait, and whose job is over or gone: open
// ones, and others whose job ended without an outcome. New ones are not among
// them.
const jobless = `
	SELECT p.id FROM pushes p LEFT JOIN river_job j ON j.id = p.job_id
	WHERE p.state IN ('queued', 'judging', 'retrying', 'pending') AND (p.state NOT IN ('pending', 'queued') OR p.job_id IS NOT NULL)
	AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded'))
	UNION
	SELECT p.id FROM river_job j JOIN pushes p ON p.id = CAST(j.args->>'pushID' AS bigint) AND p.job_id = j.id
	WHERE j.kind = 'judge' AND j.state IN ('cancelled', 'discarded')`

// maxSwept bounds how many pushes a sweep takes up.
const maxSwept = 1000

// newPushes is a query for the oldest new pushes. They are found by their
// state; by their numbers the whole table would be read.
const newPushes = "WITH fresh AS MATERIALIZED (SELECT p.id FROM pushes p WHERE " + isNew + ") SELECT id FROM fresh ORDER BY id LIMIT ?"

// sweepNew queues jobs for new pushes of processes that are no more. It may
// find those of living ones, which then have less to do.
func (j *Journal) sweepNew(ctx context.Context) error {
	for range maxSwept / maxFed {
		found, err := numbers(ctx, j.engine, newPushes, []any{maxFed})
		if err != nil || len(found) == 0 {
			return err
		}
		if err := j.queueNew(ctx, found); err != nil || len(found) < maxFed {
			return err
		}
	}
	j.swept = time.Time{} // go on with the next round
	return nil
}

// sweep gives a job to pushes that wait and have none. The outcome of a job is
// stored with the next one, so that there are none but after a fault.
func (j *Journal) sweep(ctx context.Context) error {
	if err := j.sweepNew(ctx); err != nil {
		return err
	}
	found, err := numbers(ctx, j.engine, "SELECT id FROM ("+jobless+") AS s ORDER BY id LIMIT ?", []any{maxSwept})
	if err != nil || len(found) == 0 {
		return err
	}
	return j.engine.inTx(ctx, func(tx db) error {
		these := " IN (" + valuesOf("?", len(found)) + ")"
		locked, err := numbers(ctx, tx, j.engine.skipLocked("SELECT p.id FROM pushes p WHERE p.id"+these+" ORDER BY p.id", "p"), anys(found))
		if err != nil || len(locked) == 0 {
			return err
		}
		// Once more, with what was committed before the lock.
		these = " IN (" + valuesOf("?", len(locked)) + ")"
		waiting, err := numbers(ctx, tx, "SELECT id FROM ("+jobless+") AS s WHERE id"+these+" ORDER BY id", anys(locked))
		if err != nil || len(waiting) == 0 {
			return err
		}
		j.deps.Log.WarnContext(ctx, "pushes that waited without a job get one", slog.Int("pushes", len(waiting)), slog.Int64("first", waiting[0]))
		return j.enqueue(ctx, tx, waiting, func(int) place { return place{lane: laneFast, priority: priorityAgain} })
	})
}
