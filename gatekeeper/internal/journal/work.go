package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
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
	if !j.join(ctx) {
		return nil // told to stop before it began
	}
	wg.Go(func() { j.replica.stayAlive(living) })
	wg.Go(func() { j.keepTidy(living) })
	wg.Go(func() { j.keepRight(living) })
	if err := j.feedWaiting(ctx); err != nil && ctx.Err() == nil {
		j.deps.Log.WarnContext(ctx, "jobs for accepted pushes cannot be queued yet", slog.Any("error", err))
	}
	wg.Go(func() { j.keepFed(living) })
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
	feeding, cancelFeed := context.WithTimeout(detached, beatTimeout)
	defer cancelFeed()
	if err := j.feedWaiting(feeding); err != nil {
		j.deps.Log.InfoContext(ctx, "some accepted pushes have no jobs yet; other processes or the next start queue them", slog.Any("reason", err))
	}
	return nil
}

// join gives the first sign of life, when the database lets it; false when ctx
// ends before that.
func (j *Journal) join(ctx context.Context) (joined bool) {
	for {
		_, err := j.replica.beat(ctx)
		if err == nil {
			return true
		}
		j.deps.Log.ErrorContext(ctx, "this process cannot join those that share the journal yet", slog.Any("error", err))
		if pause(ctx, startPause) != nil {
			return false
		}
	}
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
