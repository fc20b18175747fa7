package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// postgres keeps the journal in a PostgreSQL database, which any number of
// processes share.
type postgres struct {
	pgDB
	front *pgxpool.Pool // for what is asked and accepted
	work  *pgxpool.Pool // for jobs, so that neither waits for the other's connections
	pulse *pgxpool.Pool // one connection for the signs of life, which wait for nothing
}

// Keys of advisory locks, chosen at random; those that River takes are others.
const (
	migrationLock = 0x676b_6d69_6772 // held by who changes the tables
	intakeLock    = 0x676b_696e_746b // held by who gives numbers to pushes
)

// leaseTime is after how long without a sign of life a process is taken for
// dead, by the server's clock. A process stops its own work before that.
const leaseTime = 8 * time.Second

func openPostgres(ctx context.Context, location string, o options) (_ engine, err error) {
	config, err := pgxpool.ParseConfig(location)
	if err != nil {
		return nil, errors.New("the URL is not understood; write postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full")
	}
	setRuntime(config.ConnConfig.RuntimeParams, map[string]string{
		"application_name": "gatekeeper",
		// What a process leaves behind that hangs or lost its network must
		// not hold up the others for long.
		"idle_in_transaction_session_timeout": "30s", "statement_timeout": "60s",
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	if o.password != nil {
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = o.password()
			return err
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	config.MaxConns = max(config.MaxConns, 8)
	p := new(postgres)
	defer func() {
		if err != nil {
			err = joined(err, p.close())
		}
	}()
	if p.front, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if p.work, err = pgxpool.NewWithConfig(ctx, config.Copy()); err != nil {
		return nil, err
	}
	pulse := config.Copy()
	pulse.MinConns, pulse.MinIdleConns, pulse.MaxConns = 0, 0, 1
	if p.pulse, err = pgxpool.NewWithConfig(ctx, pulse); err != nil {
		return nil, err
	}
	p.pgDB = pgDB{p.front}
	return p, p.migrate(ctx, o)
}

// setRuntime leaves what the operator wrote into the URL.
func setRuntime(have, defaults map[string]string) {
	for name, value := range defaults {
		if _, set := have[name]; !set {
			have[name] = value
		}
	}
}

// migrate brings the tables up to date; one process at a time does.
func (p *postgres) migrate(ctx context.Context, o options) error {
	steps, err := migrationsOf("postgres")
	if err != nil {
		return err
	}
	conn, err := p.work.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	err = p.migrateLocked(ctx, conn, steps, o)
	_, unlock := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return joined(err, unlock)
}

func (p *postgres) migrateLocked(ctx context.Context, conn *pgxpool.Conn, steps []migration, o options) error {
	if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS gatekeeper_schema (version integer NOT NULL)"); err != nil {
		return err
	}
	var version int
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM gatekeeper_schema").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return tooNew(version, len(steps))
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(p.work), &rivermigrate.Config{Logger: o.log})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("prepare the jobs' tables: %w", err)
	}
	for _, step := range steps[version:] {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, step.sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO gatekeeper_schema (version) VALUES ($1)", step.version)
			return err
		})
		if err != nil {
			return fmt.Errorf("change the tables to version %d: %w", step.version, err)
		}
	}
	return nil
}

// pgDB is pgx: a pool or a transaction.
type pgDB struct {
	conn interface {
		Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	}
}

func (d pgDB) exec(ctx context.Context, query string, args ...any) error {
	_, err := d.conn.Exec(ctx, numbered(query), args...)
	return err
}

// row implements db; pgx.ErrNoRows is sql.ErrNoRows too.
func (d pgDB) row(ctx context.Context, query string, args ...any) row {
	return d.conn.QueryRow(ctx, numbered(query), args...)
}

func (d pgDB) each(ctx context.Context, query string, args []any, f func(row) error) error {
	rows, err := d.conn.Query(ctx, numbered(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pgTx is a transaction of pgx.
type pgTx struct {
	pgDB
	tx pgx.Tx
}

// contentions is how often a transaction is tried that PostgreSQL gave up in
// favour of another.
const contentions = 5

func (p *postgres) inTx(ctx context.Context, f func(db) error) error { return in(ctx, p.work, f) }

func (p *postgres) intakeTx(ctx context.Context, f func(db) error) error {
	return in(ctx, p.front, func(tx db) error {
		// Numbers are given in the order of commits, and nobody compares with
		// what another process has not committed yet.
		if err := tx.exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(intakeLock)); err != nil {
			return err
		}
		return f(tx)
	})
}

func in(ctx context.Context, pool *pgxpool.Pool, f func(db) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return f(pgTx{pgDB{tx}, tx}) })
		if try == contentions || !contended(err) {
			return explainServer(err)
		}
	}
}

// contended says whether an error is a deadlock or a failure to put
// transactions into an order (PostgreSQL, appendix A, class 40).
func contended(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}

func (p *postgres) locked(query string) string { return query + " FOR UPDATE" }

func (p *postgres) rank(n string) string { return "to_timestamp(" + n + ")" }

func (p *postgres) fromNow(seconds string) string {
	return "clock_timestamp() + make_interval(secs => " + seconds + ")"
}

func (p *postgres) unixNano(secondsFromNow int) string {
	return fmt.Sprintf("CAST(extract(epoch FROM clock_timestamp()) + %d AS bigint) * 1000000000", secondsFromNow)
}

func (p *postgres) jobs(c jobsConfig) (jobs, error) {
	return newRiverJobs(riverpgxv5.New(p.work), c, func(tx db) (pgx.Tx, bool) {
		own, ok := tx.(pgTx)
		return own.tx, ok
	})
}

// beat implements engine. It changes one row, with one statement, and waits for
// nobody.
func (p *postgres) beat(ctx context.Context, id string) (alive int, lapsed bool, err error) {
	// Without the row others have taken back what was this process's.
	err = p.pulse.QueryRow(ctx, `WITH seen AS (UPDATE replicas SET seen_at = clock_timestamp() WHERE id = $1 RETURNING 1)
		SELECT (SELECT count(*) FROM replicas), NOT EXISTS (SELECT 1 FROM seen)`, id).Scan(&alive, &lapsed)
	return alive, lapsed, explainServer(err)
}

func (p *postgres) join(ctx context.Context, id string) error {
	_, err := p.pulse.Exec(ctx, `INSERT INTO replicas (id, seen_at) VALUES ($1, clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()`, id)
	return explainServer(err)
}

// takeBack implements engine. What a transaction has, a dead process's too, is
// for the next time.
func (p *postgres) takeBack(ctx context.Context) error {
	return p.inTx(ctx, func(tx db) error {
		err := tx.exec(ctx, `DELETE FROM replicas WHERE id IN (
			SELECT id FROM replicas WHERE seen_at < clock_timestamp() - make_interval(secs => ?) FOR UPDATE SKIP LOCKED)`, leaseTime.Seconds())
		if err != nil {
			return err
		}
		return takeBack(ctx, tx)
	})
}

// takeBack gives what nobody has any more to whoever comes first.
func takeBack(ctx context.Context, tx db) error {
	for _, query := range []string{
		`DELETE FROM turns WHERE key IN (
			SELECT key FROM turns t WHERE NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = t.replica) FOR UPDATE OF t SKIP LOCKED)`,
		`DELETE FROM river_leader WHERE leader_id IN (
			SELECT leader_id FROM river_leader l WHERE NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = l.leader_id) FOR UPDATE OF l SKIP LOCKED)`,
	} {
		if err := tx.exec(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// workerOf is who works on a running job j: the last of those who tried.
const workerOf = "j.attempted_by[array_upper(j.attempted_by, 1)]"

// nobody is a condition on a running job j: who works on it is dead.
const nobody = "NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = " + workerOf + ")"

func (p *postgres) orphaned() string {
	return "SELECT j.id FROM river_job j WHERE j.state = 'running' AND j.kind IN ('judge', 'task') AND " + nobody
}

func (p *postgres) abandoned(id string) (string, []any) {
	return "j.state = 'running' AND (" + workerOf + " = ? OR " + nobody + ")", []any{id}
}

func (p *postgres) skipLocked(query, tables string) string {
	return query + " FOR UPDATE OF " + tables + " SKIP LOCKED"
}

func (p *postgres) leave(ctx context.Context, id string) error {
	return p.inTx(ctx, func(tx db) error {
		if err := tx.exec(ctx, "DELETE FROM replicas WHERE id = ?", id); err != nil {
			return err
		}
		return takeBack(ctx, tx)
	})
}

func (p *postgres) marked(id string) (string, []any) {
	return "SELECT j.id FROM river_job j WHERE j.state = 'running' AND j.kind IN ('judge', 'task') AND " + workerOf + " = ?", []any{id}
}

func (p *postgres) turnsOf(id string) (string, []any) {
	return "SELECT holder FROM turns WHERE replica = ?", []any{id}
}

func (p *postgres) turn(ctx context.Context, id, key, holder string) (taken bool, err error) {
	err = p.inTx(ctx, func(tx db) error {
		// Who is not among the replicas has been taken for dead.
		return tx.row(ctx, `WITH got AS (
			INSERT INTO turns (key, replica, holder) SELECT CAST(? AS text), r.id, CAST(? AS text) FROM replicas r WHERE r.id = ?
			ON CONFLICT (key) DO NOTHING RETURNING 1)
			SELECT EXISTS (SELECT 1 FROM got)`, key, holder, id).Scan(&taken)
	})
	return taken, err
}

func (p *postgres) endTurn(ctx context.Context, holder string) error {
	return p.inTx(ctx, func(tx db) error { return tx.exec(ctx, "DELETE FROM turns WHERE holder = ?", holder) })
}

func (p *postgres) close() error {
	for _, pool := range []*pgxpool.Pool{p.front, p.work, p.pulse} {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}
