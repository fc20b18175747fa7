package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sys/unix"

	// The database driver. Grype links this fork of modernc.org/sqlite, and only one
	// of the two can be in a program: both register the name "sqlite".
	_ "github.com/glebarez/go-sqlite"
)

// sqlite keeps the journal in one file, which one process at a time opens.
type sqlite struct {
	sqlDB
	path  string
	read  *sql.DB
	write *sql.DB // one connection, as SQLite has one writer
	lock  *os.File
}

func openSQLite(ctx context.Context, path string, o options) (_ engine, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	s := &sqlite{path: path}
	defer func() {
		if err != nil {
			err = joined(err, s.close())
		}
	}()
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	// A push changes a dozen pages, mostly the same as the one before it: with
	// the default of 1,000 pages the log would be copied back every 80 pushes.
	if s.write, err = openDatabase(path, 1, "_pragma=synchronous(FULL)", "_pragma=wal_autocheckpoint(8000)", "_txlock=immediate"); err != nil {
		return nil, err
	}
	if s.read, err = openDatabase(path, 4, "_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	s.sqlDB = sqlDB{s.read}
	return s, s.migrate(ctx, o)
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

// migrate brings the tables up to date. Their version is in user_version.
func (s *sqlite) migrate(ctx context.Context, o options) error {
	steps, err := migrationsOf("sqlite")
	if err != nil {
		return err
	}
	var version int
	if err := s.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return tooNew(version, len(steps))
	}
	migrator, err := rivermigrate.New(riversqlite.New(s.write), &rivermigrate.Config{Logger: o.log})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("prepare the jobs' tables: %w", err)
	}
	for _, step := range steps[version:] {
		err := s.inTx(ctx, func(tx db) error {
			return tx.exec(ctx, step.sql+fmt.Sprintf("PRAGMA user_version = %d;", step.version))
		})
		if err != nil {
			return fmt.Errorf("change the tables to version %d: %w", step.version, err)
		}
	}
	// Nobody else leads, nor works on a job: the lock says so.
	return s.inTx(ctx, func(tx db) error {
		return joined(
			tx.exec(ctx, "DELETE FROM river_leader"),
			tx.exec(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running'"))
	})
}

// sqlTx is a transaction of database/sql.
type sqlTx struct {
	sqlDB
	tx *sql.Tx
}

func (s *sqlite) inTx(ctx context.Context, f func(db) error) (err error) {
	defer func() { err = explainFile(s.path, err) }()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		// A full disk ends a transaction by itself.
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) && !strings.Contains(rollback.Error(), "no transaction is active") {
			err = joined(err, rollback)
		}
	}()
	if err := f(sqlTx{sqlDB{tx}, tx}); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlite) intakeTx(ctx context.Context, f func(db) error) error { return s.inTx(ctx, f) }

func (s *sqlite) probeTx(ctx context.Context, f func(db) error) error { return s.inTx(ctx, f) }

// locked implements engine: there is one transaction at a time.
func (s *sqlite) locked(query string) string { return query }

// insert implements engine. The driver prepares each statement anew, so that a
// plain one counts.
func (s *sqlite) insert(ctx context.Context, tx db, into string, rows columns, _ bool) ([]int64, error) {
	own, ok := tx.(sqlTx)
	if !ok {
		return nil, errForeignTx
	}
	values, args := rows.values()
	result, err := own.tx.ExecContext(ctx, "INSERT INTO "+into+" "+values, args...) //nolint:gosec // values are placeholders
	if err != nil {
		return nil, err
	}
	last, err := result.LastInsertId()
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(args)/len(rows))
	for i := range ids {
		ids[i] = last - int64(len(ids)-1-i) // AUTOINCREMENT, and one transaction at a time
	}
	return ids, nil
}

// insertIf implements engine. A statement by itself is a transaction.
func (s *sqlite) insertIf(ctx context.Context, into string, rows columns, condition string) (id int64, err error) {
	defer func() { err = explainFile(s.path, err) }()
	table, args := s.table(rows)
	result, err := s.write.ExecContext(ctx, selected(into, len(rows), table, condition), args...)
	if err != nil {
		return 0, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return result.LastInsertId()
}

func (s *sqlite) table(c columns) (string, []any) {
	if length(c[0]) == 1 {
		return c.single("")
	}
	values, args := c.values()
	return "(" + values + ") AS v", args
}

func (s *sqlite) place(ctx context.Context, tx db, jobs, ranks, pushes []int64) error {
	table, args := s.table(columns{jobs, ranks})
	if err := tx.exec(ctx, "UPDATE river_job SET scheduled_at = "+s.rank("v.column2")+" FROM "+table+" WHERE river_job.id = v.column1", args...); err != nil {
		return err
	}
	table, args = s.table(columns{jobs, pushes})
	return tx.exec(ctx, "UPDATE pushes SET job_id = v.column1 FROM "+table+" WHERE pushes.id = v.column2", args...)
}

func (s *sqlite) rank(n string) string {
	return "strftime('%Y-%m-%d %H:%M:%f', " + n + ", 'unixepoch')" // as River writes it
}

func (s *sqlite) fromNow(seconds string) string {
	return "strftime('%Y-%m-%d %H:%M:%f', 'now', (" + seconds + ") || ' seconds')"
}

func (s *sqlite) unixNano(secondsFromNow int) string {
	return fmt.Sprintf("(CAST(strftime('%%s', 'now') AS INTEGER) + %d) * 1000000000", secondsFromNow)
}

func (s *sqlite) jobs(c jobsConfig) (jobs, error) {
	return newRiverJobs(riversqlite.New(s.write), c, func(_ context.Context, tx db) (*sql.Tx, error) {
		if own, ok := tx.(sqlTx); ok {
			return own.tx, nil
		}
		return nil, errForeignTx
	})
}

// beat implements engine: this process is alone.
func (s *sqlite) beat(context.Context, string) (int, bool, error) { return 1, false, nil }

func (s *sqlite) join(context.Context, string) error { return nil }

func (s *sqlite) leave(context.Context, string) error { return nil }

func (s *sqlite) takeBack(context.Context) error { return nil }

func (s *sqlite) marked(string) (string, []any) {
	return "SELECT id FROM river_job WHERE state = 'running'", nil
}

// orphaned implements engine: those of the process before were taken back when
// the file was opened.
func (s *sqlite) orphaned() string { return "" }

func (s *sqlite) abandoned(string) (string, []any) { return "j.state = 'running'", nil }

// skipLocked implements engine: there is one transaction at a time.
func (s *sqlite) skipLocked(query, _ string) string { return query }

// turnsOf implements engine: nobody else wants a turn.
func (s *sqlite) turnsOf(string) (string, []any) { return "", nil }

func (s *sqlite) turn(context.Context, string, string, string) (bool, error) { return true, nil }

func (s *sqlite) endTurn(context.Context, string) error { return nil }

func (s *sqlite) close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return joined(errs...)
}
