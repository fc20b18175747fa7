package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// next is what happens to a push after an attempt.
type next struct {
	state    string
	attempt  int
	problem  string
	judgedBy string
	again    time.Time // zero: not by itself
	lane     string    // empty: the fast one
	priority int       // zero: by what it is looked at again for
	rank     int64     // when it is looked at again at once
}

func (j *Journal) next(t turnOf, progress gatekeeper.Progress, err error) next {
	n := next{state: string(progress.Verdict), judgedBy: cmp.Or(progress.JudgedBy, t.judgedBy), again: progress.Again}
	_, busy := errors.AsType[*gatekeeper.BusyError](err)
	switch {
	case busy: // no attempt of its own
		n.state, n.attempt, n.problem, n.again = t.state, t.push.Attempt, t.problem, j.deps.Now().Add(busyPause+rand.N(busyPause)) //nolint:gosec // spreads load
	case err == nil && progress.Large && !t.push.Slow:
		n.state, n.attempt, n.lane, n.again = t.state, t.push.Attempt, laneSlow, j.deps.Now()
	case err != nil || progress.Verdict == policy.VerdictError:
		return j.failed(t, progress, err)
	case progress.Unanswered:
		n.attempt = t.push.Attempt + 1
	case n.state == "":
		n.state = stateDone
	}
	return n
}

// failed has a push tried again, for as long as Deps.Retries says since the
// first failure in a row. A registry that says when to come back is believed.
func (j *Journal) failed(t turnOf, progress gatekeeper.Progress, err error) next {
	n := next{
		state: stateRetrying, attempt: t.push.Attempt + 1, judgedBy: cmp.Or(progress.JudgedBy, t.judgedBy),
		problem: cmp.Or(progress.Reason, "could not decide"),
	}
	if err != nil {
		n.problem = err.Error()
	}
	now, pause := j.deps.Now(), j.deps.Backoff(n.attempt)
	var patient interface{ RetryAfter() time.Duration }
	if errors.As(err, &patient) {
		pause = max(pause, patient.RetryAfter())
	}
	switch {
	case t.push.Golden:
		// It stays golden. What could not be asked now is asked another time.
		n.state, n.again = t.state, now.Add(pause)
		if n.attempt >= reverifyAttempts {
			n.attempt, n.again = 0, time.Time{}
		}
	case t.failing > 0 && now.Sub(time.Unix(0, t.failing)) > j.deps.Retries:
		n.state = string(policy.VerdictError)
	default:
		n.again = now.Add(pause)
	}
	return n
}

// busyPause is how long a push waits, at least, whose turn it was not.
const busyPause = time.Second

// reverifyAttempts is how often a golden image is looked at again that cannot
// be read.
const reverifyAttempts = 5

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
func (j *Journal) finish(ctx context.Context, job *river.Job[judgeArgs], t turnOf, n next) error {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	return j.engine.inTx(ctx, func(tx db) error {
		var wakes, wokenAt, rechecks int64
		var jobID sql.NullInt64
		query := j.engine.locked("SELECT wakes, woken_at, rechecks, job_id FROM pushes WHERE id = ?")
		if err := tx.row(ctx, query, t.push.ID).Scan(&wakes, &wokenAt, &rechecks, &jobID); err != nil {
			return err
		}
		if jobID.Int64 != job.ID {
			return nil // this process was taken for dead, and another is at it
		}
		n := n // the transaction may run again
		priority := priorityAgain
		switch settled := settling(time.Unix(0, wokenAt), j.deps.Now()); {
		case rechecks != t.rechecks && n.state != stateDone && n.state != string(policy.VerdictSuperseded):
			n.again, priority = j.deps.Now(), priorityReconcile
		case !wakeable(n.state):
		case wakes != t.wakes:
			n.again, priority = j.deps.Now(), priorityFresh
		case !settled.IsZero():
			n.again, priority = earlier(n.again, settled), priorityFresh
		}
		now := j.deps.Now().UnixNano()
		err := tx.exec(ctx, `UPDATE pushes SET state = ?, attempt = ?, problem = ?, judged_by = ?, job_id = NULL,
			failing_since = CASE WHEN CAST(? AS text) <> 'retrying' THEN 0 WHEN failing_since = 0 OR failing_since > ? THEN ? ELSE failing_since END WHERE id = ?`,
			n.state, n.attempt, bounded(n.problem), n.judgedBy, n.state, now, now, t.push.ID)
		if err != nil {
			return err
		}
		if err := j.schedule(ctx, tx, t.push.ID, n, cmp.Or(n.priority, priority)); err != nil {
			return err
		}
		return j.jobs.complete(ctx, tx, job)
	})
}

// finishTimeout bounds how long an outcome may take to store.
const finishTimeout = 30 * time.Second

// settleTime is how long after its notification a tag may still be invisible.
// CNCF Distribution v3 reports a push before it writes the tag (manifests.Put,
// then tags.Tag), so that a woken push may find nothing new at first.
const settleTime = 10 * time.Second

// settling is when a push that was woken in vain is looked at again: after
// 0.5, 2 and 8 seconds or so. Zero: no more.
func settling(wokenAt, now time.Time) time.Time {
	waited := now.Sub(wokenAt)
	if waited >= settleTime || waited <= -settleTime { // by a clock that was ahead
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

// schedule queues the next look at a push; none when again is zero. A job that
// is due before River's scheduler comes round is made available here: workers
// take it at its time, not at the scheduler's.
func (j *Journal) schedule(ctx context.Context, tx db, push int64, n next, priority int) error {
	if n.again.IsZero() {
		return nil
	}
	lane := cmp.Or(n.lane, laneFast)
	if !n.again.After(j.deps.Now()) {
		return j.enqueue(ctx, tx, []int64{push}, func(int) place { return place{lane, priority, n.rank} })
	}
	ids, err := j.jobs.insert(ctx, tx, []river.InsertManyParams{{
		Args: judgeArgs{PushID: push}, InsertOpts: &river.InsertOpts{ScheduledAt: n.again, Queue: lane, Priority: priority},
	}})
	if err != nil {
		return err
	}
	pause, state := n.again.Sub(j.deps.Now()), "scheduled"
	if pause < schedulerInterval {
		state = "available"
	}
	// Workers go by the database's clock; only the pause is this process's.
	err = tx.exec(ctx, "UPDATE river_job SET state = '"+state+"', scheduled_at = "+j.engine.fromNow("CAST(? AS double precision)")+" WHERE id = ? AND state IN ('available', 'scheduled')",
		pause.Seconds(), ids[0])
	if err != nil {
		return err
	}
	return tx.exec(ctx, "UPDATE pushes SET job_id = ? WHERE id = ?", ids[0], push)
}
