// Package journal keeps pushes, the jobs that look at them, decisions with
// their evidence, and what became golden. What Accept took is durable; every
// accepted push is processed until it has a final verdict, whatever crashes
// in between.
package journal

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sys/unix"

	// The database driver. Grype links this fork of modernc.org/sqlite, and only one
	// of the two can be in a program: both register the name "sqlite".
	_ "github.com/glebarez/go-sqlite"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// schemaVersion is the version of schema.sql; it is kept in user_version.
const schemaVersion = 1

//go:embed schema.sql
var schema string

// Deps is what a Journal works with.
type Deps struct {
	Now func() time.Time
	Log *slog.Logger
	// Workers is how many pushes are processed at a time; 16 when zero.
	Workers int
	// Backoff is the pause after the n-th failed attempt in a row, n from 1;
	// exponential with jitter when nil.
	Backoff func(attempt int) time.Duration
	// Retries is how long after its arrival a push that fails is tried
	// again; 24 hours when zero.
	Retries time.Duration
}

// Journal is the storage on one SQLite file. It is safe for concurrent use;
// one process at a time can open a file.
type Journal struct {
	deps    Deps
	write   *sql.DB // one connection, as SQLite has one writer
	read    *sql.DB
	lock    *os.File
	jobs    *river.Client[*sql.Tx]
	commits chan commit
	closed  chan struct{}
	wg      sync.WaitGroup
	worker  *worker
	zip     *zstd.Encoder
	unzip   *zstd.Decoder
}

// Open opens or creates the journal at a URL of the form sqlite:///path.
func Open(ctx context.Context, location string, deps Deps) (_ *Journal, err error) {
	path, err := sqlitePath(location)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{deps: withDefaults(deps), commits: make(chan commit, maxQueued), closed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the journal %s: %w", path, err), j.closeFiles())
		}
	}()
	if err := j.prepareCompression(); err != nil {
		return nil, err
	}
	if j.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	if j.write, err = openDatabase(path, 1, "_pragma=synchronous(FULL)", "_txlock=immediate"); err != nil {
		return nil, err
	}
	if j.read, err = openDatabase(path, 4, "_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	if err := j.migrate(ctx); err != nil {
		return nil, err
	}
	if err := j.newClient(); err != nil {
		return nil, err
	}
	j.wg.Go(j.commitLoop)
	return j, nil
}

// maxEvidence bounds the evidence of one decision in memory, in bytes.
const maxEvidence = 256 << 20

func (j *Journal) prepareCompression() (err error) {
	if j.zip, err = zstd.NewWriter(nil); err != nil {
		return err
	}
	j.unzip, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxEvidence), zstd.WithDecoderConcurrency(0))
	return err
}

func withDefaults(deps Deps) Deps {
	if deps.Workers == 0 {
		deps.Workers = 16
	}
	if deps.Backoff == nil {
		deps.Backoff = backoff
	}
	if deps.Retries == 0 {
		deps.Retries = 24 * time.Hour
	}
	return deps
}

func sqlitePath(location string) (string, error) {
	path, ok := strings.CutPrefix(location, "sqlite://")
	if !ok || path == "" {
		return "", fmt.Errorf("storage %q is not supported; write sqlite:///path/to/gatekeeper.db", location)
	}
	return path, nil
}

// lockFile makes sure that no other process works on the same journal. The
// kernel lets go of the lock when the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process is using it (%s is locked): %w", path, err), f.Close())
	}
	return f, nil
}

func openDatabase(path string, connections int, options ...string) (*sql.DB, error) {
	options = append(options, "_pragma=busy_timeout(10000)", "_pragma=journal_mode(WAL)", "_pragma=foreign_keys(1)")
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: path, RawQuery: strings.Join(options, "&")}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return db, nil
}

func (j *Journal) migrate(ctx context.Context) error {
	var version int
	if err := j.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return fmt.Errorf("it was written by a newer version (schema %d, this one knows %d); start that version again", version, schemaVersion)
	}
	migrator, err := rivermigrate.New(riversqlite.New(j.write), &rivermigrate.Config{Logger: j.quiet()})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("prepare the jobs' tables: %w", err)
	}
	if version == schemaVersion {
		return nil
	}
	return j.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion))
		return err
	})
}

// newClient sets up River. The jobs of this process that a crash left running
// are nobody's now: the lock says that no other process is at work.
func (j *Journal) newClient() error {
	j.worker = &worker{journal: j}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, j.worker); err != nil {
		return err
	}
	client, err := river.NewClient(riversqlite.New(j.write), &river.Config{
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: j.deps.Workers}},
		Workers:                     workers,
		Logger:                      j.quiet(),
		FetchCooldown:               5 * time.Millisecond,
		FetchPollInterval:           20 * time.Millisecond,
		PollOnly:                    true,
		JobTimeout:                  -1, // each step has its own limits
		RescueStuckJobsAfter:        365 * 24 * time.Hour,
		MaxAttempts:                 1000,
		CompletedJobRetentionPeriod: time.Minute,
	})
	if err != nil {
		return err
	}
	j.jobs = client
	return nil
}

// quiet leaves River's warnings and errors in the log, and no more.
func (j *Journal) quiet() *slog.Logger {
	return slog.New(atLeast{j.deps.Log.Handler(), slog.LevelWarn})
}

// atLeast is a handler that drops what is below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// Close ends the journal. Run must have returned.
func (j *Journal) Close() error {
	close(j.closed)
	j.wg.Wait()
	return j.closeFiles()
}

func (j *Journal) closeFiles() error {
	var errs []error
	for _, db := range []*sql.DB{j.read, j.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if j.lock != nil {
		errs = append(errs, j.lock.Close())
	}
	if j.zip != nil {
		errs = append(errs, j.zip.Close())
	}
	if j.unzip != nil {
		j.unzip.Close()
	}
	return errors.Join(errs...)
}

// Ready says whether the journal can commit: whether a push could be accepted
// now.
func (j *Journal) Ready(ctx context.Context) error {
	return j.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// inTx runs f in a transaction, which is committed unless f fails.
func (j *Journal) inTx(ctx context.Context, f func(*sql.Tx) error) (err error) {
	tx, err := j.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

var (
	_ gatekeeper.Ledger  = (*Journal)(nil)
	_ gatekeeper.History = (*Journal)(nil)
	_ gatekeeper.Waker   = (*Journal)(nil)
)
