package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river"

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

// abortTimeout is how long jobs have to end that did not finish in time.
const abortTimeout = 5 * time.Second

// Run processes pushes until ctx ends. Pushes under way may finish within a
// limit; the rest is taken up by other processes or the next Run.
func (j *Journal) Run(ctx context.Context, p Processor) error {
	j.processor = p
	detached := context.WithoutCancel(ctx)
	living, die := context.WithCancel(detached)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer die()
	// The first sign of life comes before the first job.
	if _, err := j.replica.beat(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it began
		}
		return fmt.Errorf("join the processes that share the journal: %w", err)
	}
	wg.Go(func() { j.replica.stayAlive(living) })
	wg.Go(func() { j.keepTidy(living) })
	wg.Go(func() { j.keepRight(living) })
	if j.startJobs(ctx) {
		<-ctx.Done()
	}
	ended := j.stop(detached)
	die()
	wg.Wait()
	if !ended {
		return nil // it is at work still, and dead to others when its lease ends
	}
	leaving, cancel := context.WithTimeout(detached, beatTimeout)
	defer cancel()
	if err := j.engine.leave(leaving, j.replica.id); err != nil {
		// Others notice after a while.
		j.deps.Log.WarnContext(ctx, "could not hand back what this process had", slog.Any("error", err))
	}
	return nil
}

// startPause is how long to wait for a database that went away while the
// workers were started.
const startPause = time.Second

// startJobs starts the workers, when the database lets it; false when ctx ends
// before that.
func (j *Journal) startJobs(ctx context.Context) (started bool) {
	for {
		err := j.jobs.start(context.WithoutCancel(ctx))
		if err == nil {
			return true
		}
		j.deps.Log.ErrorContext(ctx, "the workers cannot be started yet", slog.Any("error", err))
		if pause(ctx, startPause) != nil {
			return false
		}
	}
}

// stop lets jobs under way finish, and ends those that take too long. What does
// not even end is left to others as well: they take it up when the lease of
// this process ends, and nothing that comes of it here is stored any more. It
// says whether everything ended.
func (j *Journal) stop(ctx context.Context) (ended bool) {
	stopping, cancel := context.WithTimeout(ctx, j.deps.Grace)
	defer cancel()
	if err := j.jobs.stop(stopping); err == nil {
		return true
	}
	j.deps.Log.WarnContext(ctx, "what takes longer to finish is handed back", slog.Duration("waited", j.deps.Grace))
	aborting, cancelAbort := context.WithTimeout(ctx, abortTimeout)
	defer cancelAbort()
	if err := j.jobs.abort(aborting); err != nil {
		j.deps.Log.WarnContext(ctx, "some work does not end; it is left behind", slog.Any("error", err))
		return false
	}
	return true
}

// judgeArgs is the job that looks at one push.
type judgeArgs struct {
	PushID int64 `json:"pushID"`
}

// Kind implements river.JobArgs.
func (judgeArgs) Kind() string { return "judge" }

type worker struct {
	river.WorkerDefaults[judgeArgs]
	journal *Journal
}

// Work implements river.Worker. Nothing that it returns has River make the job
// available again, see replace.go.
func (w *worker) Work(ctx context.Context, job *river.Job[judgeArgs]) error {
	j := w.journal
	// The context ends when the service stops or loses its lease.
	running, leave := j.replica.enter(ctx, job.ID)
	defer leave()
	t, err := j.begin(running, job)
	switch {
	case running.Err() != nil:
		return j.handBack(ctx, job, 0) // whoever comes next takes it up at once
	case err != nil:
		j.deps.Log.WarnContext(ctx, "could not begin with a push", slog.Int64("push_id", job.Args.PushID), slog.Any("error", err))
		return j.handBack(ctx, job, soonAgain())
	case !t.current:
		return nil // another job looks after this push
	}
	patience := time.Duration(0)
	if job.Priority == priorityLast {
		patience = crowdPatience
	}
	step, err := j.crowds.join(running, crowd{job.Queue, t.push.Source, t.push.Repository}, mostOf(j.workersOf(job.Queue)), patience)
	switch {
	case running.Err() != nil:
		return j.handBack(ctx, job, 0)
	case err != nil:
		return j.set(ctx, job, t, j.behind(t, job))
	}
	defer step()
	began := j.deps.Now()
	progress, err := w.process(running, t.push)
	if running.Err() != nil {
		return j.handBack(ctx, job, 0) // nothing was decided
	}
	n := j.next(t, progress, err)
	if t.push.Golden || progress.Large {
		n.priority = job.Priority
	}
	if n.lane == "" && job.Queue == laneSlow || j.deps.Now().Sub(began) > slowAfter {
		n.lane = laneSlow
	}
	if n.problem != "" {
		j.deps.Log.WarnContext(ctx, "push could not be judged",
			slog.Int64("push_id", t.push.ID), slog.String("repository", t.push.Repository), slog.String("tag", t.push.Tag),
			slog.Int("attempt", n.attempt), slog.String("problem", n.problem))
	}
	return j.set(ctx, job, t, n)
}

// set stores the outcome, even while the service is being stopped.
func (j *Journal) set(ctx context.Context, job *river.Job[judgeArgs], t turnOf, n next) error {
	j.deps.Reached(stepFinish)
	if err := j.finish(context.WithoutCancel(ctx), job, t, n); err != nil {
		j.deps.Log.WarnContext(ctx, "could not store what became of a push", slog.Int64("push_id", t.push.ID), slog.Any("error", err))
		return j.handBack(ctx, job, soonAgain())
	}
	j.deps.Reached(stepFinished)
	return nil
}

// soonAgain is the pause before a push is looked at again whose outcome could
// not be stored.
func soonAgain() time.Duration {
	return time.Second + rand.N(2*time.Second) //nolint:gosec // spreads load
}

// handBackPause is how long to wait before trying again to hand a job back.
const handBackPause = 200 * time.Millisecond

// handBack has a new job look at the push, after a pause. While the database
// cannot be reached there is nothing else to do for this worker either. When
// the service stops meanwhile, the job ends without an outcome, and the sweep
// makes another.
func (j *Journal) handBack(ctx context.Context, job *river.Job[judgeArgs], after time.Duration) error {
	for {
		err := j.tryHandBack(ctx, job, after)
		if err == nil {
			return nil
		}
		if pause(ctx, handBackPause) != nil {
			return river.JobCancel(fmt.Errorf("hand back push %d: %w", job.Args.PushID, err))
		}
	}
}

func (j *Journal) tryHandBack(ctx context.Context, job *river.Job[judgeArgs], after time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	return j.engine.inTx(ctx, func(tx db) error {
		var current sql.NullInt64
		err := tx.row(ctx, j.engine.locked("SELECT job_id FROM pushes WHERE id = ?"), job.Args.PushID).Scan(&current)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil // forgotten meanwhile
		case err != nil:
			return err
		case !current.Valid || current.Int64 != job.ID:
			return nil // this process was taken for dead, or the outcome was stored after all
		}
		n := next{again: j.deps.Now().Add(after), lane: job.Queue, rank: rankOf(job)}
		if err := j.schedule(ctx, tx, job.Args.PushID, n, job.Priority); err != nil {
			return err
		}
		return j.jobs.complete(ctx, tx, job)
	})
}

// slowAfter is how long judging may take before it goes on in the slow lane.
const slowAfter = time.Minute

// process contains a crash: one image's trouble is its own.
func (w *worker) process(ctx context.Context, p gatekeeper.Push) (progress gatekeeper.Progress, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("judging crashed: %v", r)
		}
	}()
	return w.journal.processor.Process(ctx, p)
}

// turnOf is what a job is about to look at.
type turnOf struct {
	push     gatekeeper.Push
	before   string // the state it was found in
	state    string
	problem  string
	judgedBy string
	wakes    int64 // those after it are seen by finish, as are rechecks
	rechecks int64
	failing  int64 // since when it has failed in a row; 0: it has not
	current  bool  // the job is the one that looks after the push
}

// begin reads the push and how often it was woken. What is woken later than
// this is seen by finish.
func (j *Journal) begin(ctx context.Context, job *river.Job[judgeArgs]) (t turnOf, err error) {
	j.deps.Reached(stepBegin)
	defer j.deps.Reached(stepBegun)
	err = j.engine.inTx(ctx, func(tx db) error {
		var jobID sql.NullInt64
		query := j.engine.locked("SELECT " + pushColumns + ", state, problem, judged_by, wakes, rechecks, failing_since, job_id FROM pushes WHERE id = ?")
		t.push, err = scanPush(tx.row(ctx, query, job.Args.PushID), &t.state, &t.problem, &t.judgedBy, &t.wakes, &t.rechecks, &t.failing, &jobID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // forgotten meanwhile
		}
		if err != nil {
			return err
		}
		t.before, t.push.Slow = t.state, job.Queue == laneSlow
		t.current = jobID.Valid && jobID.Int64 == job.ID
		switch {
		case !t.current:
			return nil
		case t.state == string(policy.VerdictPromoted):
			// One that a policy in audit mode said yes to is not golden.
			return tx.row(ctx, "SELECT EXISTS (SELECT 1 FROM golden WHERE push_id = ?)", t.push.ID).Scan(&t.push.Golden)
		case t.state == stateQueued:
			t.state = stateJudging
			return tx.exec(ctx, "UPDATE pushes SET state = ? WHERE id = ?", stateJudging, t.push.ID)
		}
		return nil
	})
	return t, err
}

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
	err = j.engine.inTx(ctx, func(tx db) error {
		n, err = j.wake(ctx, tx, []subject{{source, repository, digest}})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wake %s@%s: %w", repository, digest, err)
	}
	return n, nil
}

// subject is what evidence is about.
type subject struct{ source, repository, digest string }

// wake is Wake for several subjects, whose pushes it locks in order.
func (j *Journal) wake(ctx context.Context, tx db, of []subject) (int, error) {
	if len(of) == 0 {
		return 0, nil
	}
	var source, repository, digest []string
	for _, s := range of {
		source, repository, digest = append(source, s.source), append(repository, s.repository), append(digest, s.digest)
	}
	table, args := j.engine.table(columns{source, repository, digest})
	return j.hurry(ctx, tx, evidenceArrived(), j.engine.locked(`
		SELECT p.id, p.job_id FROM pushes p WHERE p.id IN (
		  SELECT o.id FROM `+table+` JOIN pushes o ON o.source = v.column1 AND o.repository = v.column2 AND o.digest = v.column3)
		AND p.tag <> '' AND p.state IN ('queued', 'judging', 'retrying', 'pending', 'rejected', 'error')
		AND NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = p.source AND q.repository = p.repository AND q.tag = p.tag AND `+newer("q", "p")+`)
		ORDER BY p.id`), args...)
}

// reason is why a push is looked at before its time.
type reason struct {
	priority int
	wakes    bool // something arrived in the registry, and may not be visible yet
}

// Why pushes are looked at again.
func evidenceArrived() reason { return reason{priority: priorityFresh, wakes: true} }
func newerArrived() reason    { return reason{priority: priorityFresh, wakes: true} }
func somethingElse() reason   { return reason{priority: priorityReconcile} }
func nowReverified() reason   { return reason{priority: priorityReverify} }

// hurry has the pushes that a query selects looked at now: a job that waits is
// made due, a push without one gets one, and for one that is being looked at
// a count tells the worker to look again. It returns how many.
func (j *Journal) hurry(ctx context.Context, tx db, why reason, query string, args ...any) (int, error) {
	type target struct {
		id  int64
		job sql.NullInt64
	}
	var targets []target
	err := tx.each(ctx, query, args, func(r row) error {
		var t target
		err := r.Scan(&t.id, &t.job)
		targets = append(targets, t)
		return err
	})
	if err != nil || len(targets) == 0 {
		return 0, err
	}
	var all, jobless, waiting []int64
	for _, t := range targets {
		all = append(all, t.id)
		if t.job.Valid {
			waiting = append(waiting, t.job.Int64)
		} else {
			jobless = append(jobless, t.id)
		}
	}
	if len(waiting) > 0 {
		table, args := j.engine.table(columns{waiting})
		err := tx.exec(ctx, "UPDATE river_job SET state = 'available', priority = CASE WHEN priority < ? THEN priority ELSE ? END, scheduled_at = "+
			j.engine.rank("0")+" WHERE state IN ('available', 'scheduled', 'retryable') AND id IN (SELECT column1 FROM "+table+")",
			append([]any{why.priority, why.priority}, args...)...)
		if err != nil {
			return 0, err
		}
	}
	if err := j.enqueue(ctx, tx, jobless, func(int) place { return place{lane: laneFast, priority: why.priority} }); err != nil {
		return 0, err
	}
	table, args := j.engine.table(columns{all})
	these := " WHERE id IN (SELECT column1 FROM " + table + ")"
	if !why.wakes {
		return len(all), tx.exec(ctx, "UPDATE pushes SET rechecks = rechecks + 1"+these, args...)
	}
	return len(all), tx.exec(ctx, "UPDATE pushes SET wakes = wakes + 1, woken_at = ?"+these, append([]any{j.deps.Now().UnixNano()}, args...)...)
}
