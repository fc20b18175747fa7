// Package journal keeps pushes, the jobs that look at them, decisions with
// their evidence, and what became golden. What Accept took is durable; every
// accepted push is processed until it has a final verdict, whatever crashes
// in between.
package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/riverqueue/river"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// Deps is what a Journal works with.
type Deps struct {
	Now func() time.Time
	Log *slog.Logger
	// Workers is how many pushes are processed at a time; 16 when zero. A
	// quarter as many are kept for what takes long.
	Workers int
	// Backoff is the pause after the n-th failed attempt in a row, n from 1;
	// exponential with jitter when nil.
	Backoff func(attempt int) time.Duration
	// Grace is how long pushes under way may take to finish when Run ends; 20
	// seconds when zero.
	Grace time.Duration
	// Retries is how long a push that fails is tried again after its first
	// failure in a row; 24 hours when zero.
	Retries time.Duration
	// Password returns PostgreSQL's password, for each connection anew; nil:
	// what the URL and the environment say.
	Password func() (string, error)
	// Tasks are done from time to time, by one process at a time.
	Tasks []Task
	// Keep is how long records are kept that nothing refers to any more;
	// for ever when zero.
	Keep time.Duration
	// Replicas is told how many processes share the journal whenever that
	// changes; may be nil.
	Replicas func(alive int)
	// Reached is told about steps, for tests that end the process there; may
	// be nil.
	Reached func(step string)
}

// The steps that Deps.Reached is told about: before and after each commit.
const (
	stepAccept      = "accept"
	stepAccepted    = "accepted"
	stepQueue       = "queue"
	stepQueued      = "queued"
	stepBegin       = "begin"
	stepBegun       = "begun"
	stepDecide      = "decide"
	stepDecided     = "decided"
	stepGolden      = "record-golden"
	stepGoldenThere = "golden-recorded"
	stepFinish      = "finish"
	stepFinished    = "finished"
)

// Steps lists what Deps.Reached is told about, in the order of a promotion.
func Steps() []string {
	return []string{stepAccept, stepAccepted, stepQueue, stepQueued, stepBegin, stepBegun, stepDecide, stepDecided, stepGolden, stepGoldenThere, stepFinish, stepFinished}
}

// Journal is the storage on SQLite, for one process, or PostgreSQL, for any
// number of them. It is safe for concurrent use.
type Journal struct {
	deps      Deps
	engine    engine
	jobs      jobs
	replica   *replica
	processor Processor
	crowds    crowds
	suspects  suspects  // of keepTidy
	swept     time.Time // by keepTidy
	steady    steady
	probe     probe
	golden    goldenCounts
	uses      exceptionUses
	filling   chan struct{} // holds one: who fills in what golden images are made of
	commits   chan commit
	feeder    feeder
	closed    chan struct{}
	wg        sync.WaitGroup
	zip       *zstd.Encoder
	unzip     *zstd.Decoder
}

// options are what an engine is opened with.
type options struct {
	log      *slog.Logger
	password func() (string, error) // nil: none
}

// Open opens or creates the journal at a URL: sqlite:///path, or postgres://…
// as libpq has it. Tables are brought up to date.
func Open(ctx context.Context, location string, deps Deps) (_ *Journal, err error) {
	j := &Journal{deps: withDefaults(deps), steady: newSteady(deps.Now()), commits: make(chan commit, maxQueued), closed: make(chan struct{}), crowds: newCrowds()}
	j.probe, j.golden, j.uses, j.feeder, j.filling = newProbe(), newGoldenCounts(), newExceptionUses(), newFeeder(), make(chan struct{}, 1)
	defer func() {
		if err != nil {
			err = joined(fmt.Errorf("open the journal: %w", err), j.closeFiles())
		}
	}()
	if err := j.prepareCompression(); err != nil {
		return nil, err
	}
	if j.engine, err = openEngine(ctx, location, options{log: j.quiet(), password: deps.Password}); err != nil {
		return nil, err
	}
	if err := j.newQueue(); err != nil {
		return nil, err
	}
	j.wg.Go(j.commitLoop)
	j.wg.Go(j.countLoop)
	return j, nil
}

// Migrate brings the tables at a URL up to date, and does nothing else. The
// password is as in Deps.
func Migrate(ctx context.Context, location string, password func() (string, error), log *slog.Logger) error {
	e, err := openEngine(ctx, location, options{log: log, password: password})
	if err != nil {
		return fmt.Errorf("migrate the journal: %w", err)
	}
	return e.close()
}

func openEngine(ctx context.Context, location string, o options) (engine, error) {
	if IsPostgres(location) {
		e, err := openPostgres(ctx, location, o)
		if err != nil {
			return nil, atServer(err)
		}
		return e, nil
	}
	path, ok := strings.CutPrefix(location, "sqlite://")
	if !ok || path == "" {
		return nil, errors.New("the storage's URL is not understood; write sqlite:///path/to/gatekeeper.db or postgres://user@host:5432/database")
	}
	e, err := openSQLite(ctx, path, o)
	if err != nil {
		return nil, inFile(path, err)
	}
	return e, nil
}

// IsPostgres says whether a storage's URL names a PostgreSQL database.
func IsPostgres(location string) bool {
	return strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://")
}

// maxEvidence bounds the evidence of one decision in memory, in bytes.
const maxEvidence = 256 << 20

func (j *Journal) prepareCompression() (err error) {
	if j.zip, err = zstd.NewWriter(nil); err != nil {
		return err
	}
	j.unzip, err = newUnzip()
	return err
}

func newUnzip() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxEvidence), zstd.WithDecoderConcurrency(0))
}

func withDefaults(deps Deps) Deps {
	if deps.Workers == 0 {
		deps.Workers = 16
	}
	if deps.Backoff == nil {
		deps.Backoff = backoff
	}
	if deps.Grace == 0 {
		deps.Grace = 20 * time.Second
	}
	if deps.Retries == 0 {
		deps.Retries = 24 * time.Hour
	}
	if deps.Replicas == nil {
		deps.Replicas = func(int) {}
	}
	if deps.Reached == nil {
		deps.Reached = func(string) {}
	}
	return deps
}

// newQueue sets up the jobs.
func (j *Journal) newQueue() error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	id := host[:min(len(host), 63)] + "-" + strings.ToLower(rand.Text())
	j.replica = j.newReplica(id)
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{journal: j}); err != nil {
		return err
	}
	tasks, err := j.addTasks(workers)
	if err != nil {
		return err
	}
	j.jobs, err = j.engine.jobs(jobsConfig{
		id: id, workers: workers, tasks: tasks, poll: pollInterval(j.engine), now: j.deps.Now, log: j.quiet(),
		lanes: map[string]river.QueueConfig{
			laneFast: {MaxWorkers: j.deps.Workers},
			laneSlow: {MaxWorkers: j.slowWorkers(), FetchPollInterval: unhurriedPoll},
			// One that hangs holds up no other.
			laneTasks: {MaxWorkers: max(2, len(tasks)), FetchPollInterval: unhurriedPoll},
		},
	})
	return err
}

func (j *Journal) slowWorkers() int { return max(1, j.deps.Workers/4) }

// unhurriedPoll is how often is looked for jobs of lanes where nobody notices:
// on SQLite each look keeps accepted pushes waiting.
const unhurriedPoll = 200 * time.Millisecond

// pollInterval is shorter where nobody tells of new jobs.
func pollInterval(e engine) time.Duration {
	if _, alone := e.(*sqlite); alone {
		return 20 * time.Millisecond
	}
	return 100 * time.Millisecond
}

// quiet leaves River's warnings and errors in the log, and no more; each once
// in a while.
func (j *Journal) quiet() *slog.Logger {
	return slog.New(newSeldom(j.deps.Log.Handler(), slog.LevelWarn))
}

// Close ends the journal. Run must have returned.
func (j *Journal) Close() error {
	close(j.closed)
	j.wg.Wait()
	return j.closeFiles()
}

func (j *Journal) closeFiles() error {
	var errs []error
	if j.engine != nil {
		errs = append(errs, j.engine.close())
	}
	if j.zip != nil {
		errs = append(errs, j.zip.Close())
	}
	if j.unzip != nil {
		j.unzip.Close()
	}
	return joined(errs...)
}

var (
	_ gatekeeper.Ledger  = (*Journal)(nil)
	_ gatekeeper.History = (*Journal)(nil)
	_ gatekeeper.Waker   = (*Journal)(nil)
)
