package journal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	// None of them waits for another's connections.
	intake *pgxpool.Pool // for what is accepted
	front  *pgxpool.Pool // for what is asked
	work   *pgxpool.Pool // for jobs
	pulse  *pgxpool.Pool // one connection for the signs of life
}

// intakeConnections are few: pushes get their numbers one after the other.
const intakeConnections = 2

// Keys of advisory locks, chosen at random; those that River takes are others.
const (
	migrationLock = 0x676b_6d69_6772 // held by who changes the tables
	intakeLock    = 0x676b_696e_746b // held by who gives numbers to pushes
)

func openPostgres(ctx context.Context, location string, o options) (_ engine, err error) {
	config, err := poolConfig(location, o)
	if err != nil {
		return nil, err
	}
	if err := migratePostgres(ctx, config, o); err != nil {
		return nil, err
	}
	p := new(postgres)
	defer func() {
		if err != nil {
			err = joined(err, p.close())
		}
	}()
	if p.intake, err = pgxpool.NewWithConfig(ctx, few(config, intakeConnections)); err != nil {
		return nil, err
	}
	if p.front, err = pgxpool.NewWithConfig(ctx, config.Copy()); err != nil {
		return nil, err
	}
	if p.work, err = pgxpool.NewWithConfig(ctx, config.Copy()); err != nil {
		return nil, err
	}
	if p.pulse, err = pgxpool.NewWithConfig(ctx, few(config, 1)); err != nil {
		return nil, err
	}
	p.pgDB = pgDB{p.front}
	return p, nil
}

// poolConfig is how a process connects. What the operator wrote into the URL
// stays.
func poolConfig(location string, o options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(location)
	if err != nil {
		return nil, misunderstood(err)
	}
	asked := config.ConnConfig.RuntimeParams
	if _, named := asked["application_name"]; !named {
		asked["application_name"] = "gatekeeper"
	}
	settings := settingsBut(asked)
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if settings == "" {
			return nil
		}
		_, err := c.Exec(ctx, settings)
		return err
	}
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
	return config, nil
}

// few is how a process connects where it needs few connections, whatever the
// URL says about the pools.
func few(config *pgxpool.Config, connections int32) *pgxpool.Config {
	config = config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = connections, 0, 0
	return config
}

// misunderstood says what is wrong with a URL. The URL itself is not quoted,
// nor an error that quotes it: there may be a password in it.
func misunderstood(err error) error {
	const words = "the URL is not understood; write postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"
	cause := errors.Unwrap(err)
	if _, quotes := errors.AsType[*url.Error](err); quotes || cause == nil {
		return errors.New(words)
	}
	return fmt.Errorf("%s: %w", words, cause)
}

// settingsBut are statements for each new connection, but for what the URL
// asks for. They are not part of its start, since poolers refuse them there.
func settingsBut(asked map[string]string) string {
	var statements strings.Builder
	for _, s := range []struct{ name, value string }{
		// What a process leaves behind that hangs or lost its network must
		// not hold up the others for long.
		{"idle_in_transaction_session_timeout", "30s"},
		{"statement_timeout", "60s"},
		{"tcp_keepalives_idle", "10"},
		{"tcp_keepalives_interval", "5"},
		{"tcp_keepalives_count", "3"},
		// Statements are prepared when tables may be empty, and used when
		// they hold a million rows: no plan may read them whole because that
		// was cheap once.
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"plan_cache_mode", "force_generic_plan"},
		// What reads a small table whole all the same looks so expensive with
		// that that the server would compile it, which takes a hundred times as
		// long as doing it.
		{"jit", "off"},
	} {
		if _, set := asked[s.name]; !set {
			statements.WriteString("SET " + s.name + " = '" + s.value + "';")
		}
	}
	return statements.String()
}

// migratePostgres brings the tables up to date; one process at a time does.
// Connections of its own take as long as large tables want, and wait as long
// as another process takes.
func migratePostgres(ctx context.Context, config *pgxpool.Config, o options) error {
	steps, err := migrationsOf("postgres")
	if err != nil {
		return err
	}
	config = few(config, 2) // one holds the lock
	settle := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if err := settle(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "SET statement_timeout = 0")
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	err = migrateLocked(ctx, pool, conn, steps, o)
	_, unlock := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return joined(err, unlock)
}

func migrateLocked(ctx context.Context, pool *pgxpool.Pool, conn *pgxpool.Conn, steps []migration, o options) error {
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
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: o.log})
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

func (p *postgres) inTx(ctx context.Context, f func(db) error) error {
	return in(ctx, p.work, pgx.TxOptions{}, f)
}

func (p *postgres) probeTx(ctx context.Context, f func(db) error) error {
	return in(ctx, p.intake, pgx.TxOptions{}, f)
}

func in(ctx context.Context, pool *pgxpool.Pool, o pgx.TxOptions, f func(db) error) error {
	return contending(func() error {
		return pgx.BeginTxFunc(ctx, pool, o, func(tx pgx.Tx) error { return f(pgTx{pgDB{tx}, tx}) })
	})
}

// contending tries a transaction.
func contending(try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if n == contentions || !contended(err) {
			return explainServer(err)
		}
	}
}

// contended says whether an error is a deadlock, a failure to put transactions
// into an order (PostgreSQL, appendix A, class 40), or a reference to what
// another transaction removed meanwhile, or does not see (23503).
func contended(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "40001" || pgErr.Code == "40P01" || pgErr.Code == "23503")
}

// aboutData says that what was to be stored is to blame, and not the storage
// (PostgreSQL, appendix A, classes 22 and 23). SQLite takes any text.
func aboutData(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pgErr.Code, "22") || strings.HasPrefix(pgErr.Code, "23"))
}

func (p *postgres) locked(query string) string { return query + " FOR UPDATE" }

// table implements engine. Arrays, unlike VALUES, leave the text of a query as
// it is whatever their length, so that it is prepared once. A single row is so
// frequent that it has a text of its own, which costs the server less.
func (p *postgres) table(c columns) (string, []any) {
	if length(c[0]) == 1 {
		return c.single("CAST(? AS %s)")
	}
	values, names := make([]string, len(c)), make([]string, len(c))
	for i, column := range c {
		values[i], names[i] = "CAST(? AS "+kindOf(column)+"[])", "column"+strconv.Itoa(i+1)
	}
	return "unnest(" + strings.Join(values, ", ") + ") AS v(" + strings.Join(names, ", ") + ")", c
}

// insert implements engine.
func (p *postgres) insert(ctx context.Context, tx db, into string, rows columns, last bool) ([]int64, error) {
	names, order := columnNames(len(rows)), ""
	if n := length(rows[0]); n > 1 {
		at := make([]int64, n)
		for i := range at {
			at[i] = int64(i)
		}
		rows = append(slices.Clip(rows), at)
		order = " ORDER BY column" + strconv.Itoa(len(rows))
	}
	table, args := p.table(rows)
	query := "INSERT INTO " + into + " SELECT " + strings.Join(names, ", ") + " FROM " + table + order + " RETURNING id"
	var ids []int64
	var err error
	if own, ok := tx.(*pgIntake); ok && last {
		err = own.finally(ctx, query, args, collect(&ids))
	} else {
		err = tx.each(ctx, query, args, collect(&ids))
	}
	slices.Sort(ids) // numbers are given in order, and may be returned in any
	return ids, err
}

// insertIf implements engine, in one round trip.
func (p *postgres) insertIf(ctx context.Context, into string, rows columns, condition string) (id int64, err error) {
	table, args := p.table(rows)
	err = p.intakeTx(ctx, func(tx db) error {
		own, ok := tx.(*pgIntake)
		if !ok {
			return errForeignTx
		}
		id = 0
		return own.finally(ctx, selected(into, len(rows), table, condition)+" RETURNING id", args, func(r row) error { return r.Scan(&id) })
	})
	return id, err
}

// place implements engine, in one round trip.
func (p *postgres) place(ctx context.Context, tx db, jobs, ranks, pushes []int64) error {
	return tx.exec(ctx, `WITH v AS (SELECT * FROM unnest(CAST(? AS bigint[]), CAST(? AS bigint[]), CAST(? AS bigint[])) AS v(job, rank, push)),
		ranked AS (UPDATE river_job SET scheduled_at = to_timestamp(v.rank) FROM v WHERE river_job.id = v.job)
		UPDATE pushes SET job_id = v.job FROM v WHERE pushes.id = v.push`, jobs, ranks, pushes)
}

func (p *postgres) rank(n string) string { return "to_timestamp(" + n + ")" }

func (p *postgres) fromNow(seconds string) string {
	return "clock_timestamp() + make_interval(secs => " + seconds + ")"
}

func (p *postgres) unixNano(secondsFromNow int) string {
	return fmt.Sprintf("CAST(extract(epoch FROM clock_timestamp()) + %d AS bigint) * 1000000000", secondsFromNow)
}

func (p *postgres) jobs(c jobsConfig) (jobs, error) {
	return newRiverJobs(riverpgxv5.New(p.work), c, func(ctx context.Context, tx db) (pgx.Tx, error) {
		switch own := tx.(type) {
		case pgTx:
			return own.tx, nil
		case *pgIntake:
			return own.asTx(ctx)
		}
		return nil, errForeignTx
	})
}

func (p *postgres) close() error {
	for _, pool := range []*pgxpool.Pool{p.intake, p.front, p.work, p.pulse} {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}
