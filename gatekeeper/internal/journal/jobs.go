package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// The lanes that jobs wait in. Each has workers of its own, so that what takes
// long does not hold up the rest.
const (
	laneFast  = river.QueueDefault
	laneSlow  = "slow"  // large images, what took long before
	laneTasks = "tasks" // periodic work
)

// The priorities of jobs: of two that wait in a lane, the one with the smaller
// number goes first.
const (
	priorityFresh     = 1 // pushes, and those whose evidence arrived
	priorityAgain     = 2 // deadlines and further attempts
	priorityReconcile = 3 // what no notification reported, what a changed policy affects
	priorityReverify  = 4 // golden images
	priorityLast      = 4 // what a repository has too much of
)

// jobs is River on one of the engines.
type jobs interface {
	// insert queues jobs and returns their numbers, in the same order.
	insert(ctx context.Context, tx db, params []river.InsertManyParams) ([]int64, error)
	// complete ends the job that a worker works on.
	complete(ctx context.Context, tx db, job *river.Job[judgeArgs]) error
	// start has the workers work until stop, or until ctx ends.
	start(ctx context.Context) error
	// stop waits for what is under way.
	stop(ctx context.Context) error
	// abort ends what is under way.
	abort(ctx context.Context) error
}

// jobsConfig is what an engine sets its queue up with.
type jobsConfig struct {
	id      string // of this process
	workers *river.Workers
	lanes   map[string]river.QueueConfig
	tasks   []*river.PeriodicJob
	// poll is how often is looked for jobs that nobody was told about; River
	// polls for everything where the database tells nobody.
	poll time.Duration
	now  func() time.Time
	log  *slog.Logger
}

// riverJobs implements jobs with a driver of River.
type riverJobs[D riverdriver.Driver[T], T any] struct {
	client *river.Client[T]
	unwrap func(context.Context, db) (T, error)
}

func newRiverJobs[D riverdriver.Driver[T], T any](driver D, c jobsConfig, unwrap func(context.Context, db) (T, error)) (jobs, error) {
	client, err := river.NewClient(driver, &river.Config{
		ID:                          c.id,
		Queues:                      c.lanes,
		Workers:                     c.workers,
		PeriodicJobs:                c.tasks,
		Logger:                      c.log,
		FetchCooldown:               5 * time.Millisecond,
		FetchPollInterval:           c.poll,
		PollOnly:                    !driver.SupportsListener(),
		JobTimeout:                  -1,                   // each step has its own limits
		RescueStuckJobsAfter:        365 * 24 * time.Hour, // replica.go takes back what nobody works on
		RetryPolicy:                 soon{c.now},
		MaxAttempts:                 maxAttempts,
		CompletedJobRetentionPeriod: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &riverJobs[D, T]{client, unwrap}, nil
}

// maxAttempts is as large as River's column: no job is given up, since each
// failure of judging is a new one.
const maxAttempts = 32767

// soon is when a job is tried again whose outcome could not be stored.
type soon struct{ now func() time.Time }

// NextRetry implements river.ClientRetryPolicy.
func (s soon) NextRetry(*rivertype.JobRow) time.Time {
	return s.now().Add(time.Second + rand.N(2*time.Second)) //nolint:gosec // spreads load
}

var errForeignTx = errors.New("the transaction is not this engine's")

func (r *riverJobs[D, T]) insert(ctx context.Context, tx db, params []river.InsertManyParams) ([]int64, error) {
	own, err := r.unwrap(ctx, tx)
	if err != nil {
		return nil, err
	}
	inserted, err := r.client.InsertManyTx(ctx, own, params)
	if err != nil {
		return nil, fmt.Errorf("queue %d jobs: %w", len(params), err)
	}
	ids := make([]int64, len(inserted))
	for i, job := range inserted {
		ids[i] = job.Job.ID
	}
	return ids, nil
}

func (r *riverJobs[D, T]) complete(ctx context.Context, tx db, job *river.Job[judgeArgs]) error {
	own, err := r.unwrap(ctx, tx)
	if err != nil {
		return err
	}
	_, err = river.JobCompleteTx[D](ctx, own, job)
	return err
}

func (r *riverJobs[D, T]) start(ctx context.Context) error { return r.client.Start(ctx) }
func (r *riverJobs[D, T]) stop(ctx context.Context) error  { return r.client.Stop(ctx) }
func (r *riverJobs[D, T]) abort(ctx context.Context) error { return r.client.StopAndCancel(ctx) }

// place is where a job waits.
type place struct {
	lane     string
	priority int
	// rank orders jobs of one priority: how many of its repository were
	// waiting when it came. A repository that pushes a thousand tags has one
	// job ahead of the others, not a thousand.
	rank int64
}

// rankOf is the rank of a job that was queued with one.
func rankOf(job *river.Job[judgeArgs]) int64 { return job.ScheduledAt.Unix() }

// enqueue queues jobs for pushes, each at its place, and makes them the ones
// that look after the pushes.
func (j *Journal) enqueue(ctx context.Context, tx db, pushes []int64, at func(i int) place) error {
	if len(pushes) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, 0, len(pushes))
	for i, push := range pushes {
		p := at(i)
		params = append(params, river.InsertManyParams{
			Args: judgeArgs{PushID: push}, InsertOpts: &river.InsertOpts{Queue: p.lane, Priority: p.priority},
		})
	}
	ids, err := j.jobs.insert(ctx, tx, params)
	if err != nil {
		return err
	}
	ranks := make([]int64, len(ids))
	for i := range ids {
		ranks[i] = at(i).rank
	}
	// A job that is due already waits in the order of the times it was due at.
	if err := j.engine.place(ctx, tx, ids, ranks, pushes); err != nil {
		return fmt.Errorf("place %d jobs: %w", len(ids), err)
	}
	return nil
}
