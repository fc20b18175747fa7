package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The states of a push besides the verdicts.
const (
	stateQueued   = "queued"
	stateJudging  = "judging"
	stateRetrying = "retrying" // failed; will be tried again
	stateDone     = "done"     // nothing to judge: evidence, a platform of an index
)

// Processor takes a push one step further. It is never called for the same
// push twice at the same time.
type Processor interface {
	Process(ctx context.Context, p gatekeeper.Push) (gatekeeper.Progress, error)
}

// stopTimeout is how long jobs under way have to finish when Run ends.
const stopTimeout = 20 * time.Second

// Run processes pushes until ctx ends. Pushes under way may finish within a
// limit; the rest is taken up by the next Run.
func (j *Journal) Run(ctx context.Context, p Processor) error {
	j.worker.processor = p
	// What a crash left running is nobody's now.
	err := j.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running'")
		return err
	})
	if err != nil {
		return fmt.Errorf("take up the jobs of an earlier process: %w", err)
	}
	if err := j.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the workers: %w", err)
	}
	<-ctx.Done()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := j.jobs.Stop(stopCtx); err == nil {
		return nil
	}
	hardCtx, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelHard()
	if err := j.jobs.StopAndCancel(hardCtx); err != nil {
		return fmt.Errorf("stop the workers: %w", err)
	}
	return nil
}

// judgeArgs is the job that looks at one push.
type judgeArgs struct {
	PushID int64 `json:"pushID"`
}

// Kind implements river.JobArgs.
func (judgeArgs) Kind() string { return "judge" }

type worker struct {
	river.WorkerDefaults[judgeArgs]
	journal   *Journal
	processor Processor
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, job *river.Job[judgeArgs]) error {
	j := w.journal
	p, wakes, current, err := j.begin(ctx, job)
	if err != nil {
		return fmt.Errorf("begin push %d: %w", job.Args.PushID, err)
	}
	if !current {
		return nil // another job looks after this push
	}
	progress, err := w.process(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err() // the service stops; nothing was decided
	}
	next := j.next(p, progress, err)
	if next.problem != "" {
		j.deps.Log.WarnContext(ctx, "push could not be judged",
			slog.Int64("push_id", p.ID), slog.String("repository", p.Repository), slog.String("tag", p.Tag),
			slog.Int("attempt", next.attempt), slog.String("problem", next.problem))
	}
	// The outcome is stored even while the service is being stopped.
	if err := j.finish(context.WithoutCancel(ctx), job, wakes, next); err != nil {
		return fmt.Errorf("finish push %d: %w", p.ID, err)
	}
	return nil
}

// process contains a crash: one image's trouble is its own.
func (w *worker) process(ctx context.Context, p gatekeeper.Push) (progress gatekeeper.Progress, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("judging crashed: %v", r)
		}
	}()
	return w.processor.Process(ctx, p)
}

// begin reads the push and how often it was woken. What is woken later than
// this is seen by finish.
func (j *Journal) begin(ctx context.Context, job *river.Job[judgeArgs]) (p gatekeeper.Push, wakes int64, current bool, err error) {
	err = j.inTx(ctx, func(tx *sql.Tx) error {
		var jobID sql.NullInt64
		row := tx.QueryRowContext(ctx, "SELECT "+pushColumns+", wakes, job_id FROM pushes WHERE id = ?", job.Args.PushID)
		if p, err = scanPush(row, &wakes, &jobID); err != nil {
			return err
		}
		if current = jobID.Valid && jobID.Int64 == job.ID; !current {
			return nil
		}
		_, err = tx.ExecContext(ctx, "UPDATE pushes SET state = ? WHERE id = ? AND state = ?", stateJudging, p.ID, stateQueued)
		return err
	})
	return p, wakes, current, err
}

// next is what happens to a push after an attempt.
type next struct {
	state   string
	attempt int
	problem string
	again   time.Time // zero: not by itself
}

func (j *Journal) next(p gatekeeper.Push, progress gatekeeper.Progress, err error) next {
	if err == nil && progress.Verdict != policy.VerdictError {
		state := string(progress.Verdict)
		if state == "" {
			state = stateDone
		}
		return next{state: state, again: progress.Again}
	}
	n := next{state: stateRetrying, attempt: p.Attempt + 1, problem: progress.Reason}
	if err != nil {
		n.problem = err.Error()
	}
	if n.problem == "" {
		n.problem = "could not decide"
	}
	now := j.deps.Now()
	if now.Sub(p.ReceivedAt) > j.deps.Retries {
		n.state = string(policy.VerdictError)
		return n
	}
	n.again = now.Add(j.deps.Backoff(n.attempt))
	return n
}

// The pauses between attempts.
const (
	firstPause = time.Second
	maxPause   = 5 * time.Minute
)

// backoff doubles the pause with every failure, give or take a quarter.
func backoff(attempt int) time.Duration {
	pause := maxPause
	if attempt < 10 {
		pause = min(firstPause<<(attempt-1), maxPause)
	}
	return pause*3/4 + rand.N(pause/2) //nolint:gosec // spreads load; nobody gains by guessing it
}

// finish stores what became of an attempt, completes its job and queues the
// next, in one transaction: there is no moment at which a push that waits has
// no job, or a wake-up is lost.
func (j *Journal) finish(ctx context.Context, job *river.Job[judgeArgs], wakes int64, n next) error {
	return j.inTx(ctx, func(tx *sql.Tx) error {
		var now, wokenAt int64
		if err := tx.QueryRowContext(ctx, "SELECT wakes, woken_at FROM pushes WHERE id = ?", job.Args.PushID).Scan(&now, &wokenAt); err != nil {
			return err
		}
		switch {
		case !wakeable(n.state):
		case now != wakes:
			n.again = j.deps.Now()
		default:
			n.again = earlier(n.again, settling(time.Unix(0, wokenAt), j.deps.Now()))
		}
		jobID, err := j.schedule(ctx, tx, job.Args.PushID, n.again)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE pushes SET state = ?, attempt = ?, problem = ?, job_id = ? WHERE id = ?",
			n.state, n.attempt, bounded(n.problem), jobID, job.Args.PushID)
		if err != nil {
			return err
		}
		_, err = river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
		return err
	})
}

// settleTime is how long after its notification a tag may still be invisible.
// CNCF Distribution v3 reports a push before it writes the tag (manifests.Put,
// then tags.Tag), so that a woken push may find nothing new at first.
const settleTime = 10 * time.Second

// settling is when a push that was woken in vain is looked at again: after
// 0.5, 2 and 8 seconds or so. Zero: no more.
func settling(wokenAt, now time.Time) time.Time {
	waited := now.Sub(wokenAt)
	if waited >= settleTime {
		return time.Time{}
	}
	return now.Add(max(500*time.Millisecond, 3*waited))
}

// earlier returns the first of two moments; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// schedulerInterval is how far ahead River makes scheduled jobs available
// (river.Config has no say in it).
const schedulerInterval = 5 * time.Second

// schedule queues the next look at a push; none when at is zero. A job that
// is due before River's scheduler comes round is made available here: workers
// take it at its time, not at the scheduler's.
func (j *Journal) schedule(ctx context.Context, tx *sql.Tx, push int64, at time.Time) (sql.NullInt64, error) {
	if at.IsZero() {
		return sql.NullInt64{}, nil
	}
	inserted, err := j.jobs.InsertTx(ctx, tx, judgeArgs{PushID: push}, &river.InsertOpts{ScheduledAt: at})
	if err != nil {
		return sql.NullInt64{}, err
	}
	if at.Before(j.deps.Now().Add(schedulerInterval)) {
		_, err = tx.ExecContext(ctx, "UPDATE river_job SET state = 'available' WHERE id = ? AND state = 'scheduled'", inserted.Job.ID)
	}
	return sql.NullInt64{Int64: inserted.Job.ID, Valid: true}, err
}

// wakeable says whether new evidence can change anything about a push.
func wakeable(state string) bool {
	switch state {
	case string(policy.VerdictPending), string(policy.VerdictRejected), string(policy.VerdictError), stateRetrying:
		return true
	}
	return false
}

// Wake has every push of a subject looked at again that is still the newest
// of its tag and is not golden. It returns how many.
func (j *Journal) Wake(ctx context.Context, source, repository, digest string) (n int, err error) {
	err = j.inTx(ctx, func(tx *sql.Tx) error {
		n, err = j.wake(ctx, tx, source, repository, digest)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wake %s@%s: %w", repository, digest, err)
	}
	return n, nil
}

func (j *Journal) wake(ctx context.Context, tx *sql.Tx, source, repository, digest string) (int, error) {
	woken := 0
	err := j.hurryCounted(ctx, tx, &woken, `
		SELECT id, job_id FROM pushes p WHERE source = ? AND repository = ? AND digest = ? AND tag <> ''
		AND state IN ('queued', 'judging', 'retrying', 'pending', 'rejected', 'error')
		AND NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = p.source AND q.repository = p.repository AND q.tag = p.tag AND q.id > p.id)`,
		source, repository, digest)
	return woken, err
}

func (j *Journal) hurry(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	return j.hurryCounted(ctx, tx, new(int), query, args...)
}

// hurryCounted has the pushes that a query selects looked at now: a job that
// waits is made due, a push without one gets one, and for one that is being
// looked at the count of wakes tells the worker to look again.
func (j *Journal) hurryCounted(ctx context.Context, tx *sql.Tx, count *int, query string, args ...any) error {
	type target struct {
		id  int64
		job sql.NullInt64
	}
	var targets []target
	err := eachRow(ctx, tx, query, args, func(rows *sql.Rows) error {
		var t target
		err := rows.Scan(&t.id, &t.job)
		targets = append(targets, t)
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range targets {
		if err := j.hurryOne(ctx, tx, t.id, t.job); err != nil {
			return err
		}
		*count++
	}
	return nil
}

func (j *Journal) hurryOne(ctx context.Context, tx *sql.Tx, push int64, job sql.NullInt64) error {
	if !job.Valid {
		inserted, err := j.jobs.InsertTx(ctx, tx, judgeArgs{PushID: push}, nil)
		if err != nil {
			return err
		}
		job = sql.NullInt64{Int64: inserted.Job.ID, Valid: true}
	} else if _, err := j.jobs.JobRetryTx(ctx, tx, job.Int64); err != nil && !errors.Is(err, river.ErrNotFound) {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE pushes SET wakes = wakes + 1, woken_at = ?, job_id = ? WHERE id = ?", j.deps.Now().UnixNano(), job, push)
	return err
}
