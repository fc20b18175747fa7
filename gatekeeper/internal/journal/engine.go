package journal

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// db is a database or a transaction on it. Queries have ? for their
// arguments.
type db interface {
	exec(ctx context.Context, query string, args ...any) error
	row(ctx context.Context, query string, args ...any) row // sql.ErrNoRows comes from Scan
	each(ctx context.Context, query string, args []any, f func(row) error) error
}

// row is one row of an answer.
type row interface{ Scan(dest ...any) error }

// engine is one of the databases that a journal can be kept in. Outside of a
// transaction it is for reading.
type engine interface {
	db
	// inTx runs f in a transaction, which is committed unless f fails. f may
	// run more than once.
	inTx(ctx context.Context, f func(db) error) error
	// intakeTx is inTx for who gives numbers to pushes: one after the other,
	// so that numbers come in the order of commits.
	intakeTx(ctx context.Context, f func(db) error) error
	// probeTx is intakeTx for who gives no numbers, and waits for nobody.
	probeTx(ctx context.Context, f func(db) error) error
	// locked makes a query that reads rows to change them wait for other
	// transactions that change the same.
	locked(query string) string
	// insert adds rows to a table, given as its name and columns, and returns
	// their numbers in the same order. last says that nothing but the commit
	// comes after it.
	insert(ctx context.Context, tx db, into string, rows columns, last bool) ([]int64, error)
	// insertIf adds one row where a condition on it, v, holds, in an intakeTx
	// of its own. It returns its number; zero when the condition does not hold.
	insertIf(ctx context.Context, into string, rows columns, condition string) (id int64, err error)
	// table makes a table of columns, named v, for the FROM of a query.
	table(c columns) (sql string, args []any)
	// place gives jobs their ranks, and pushes their jobs.
	place(ctx context.Context, tx db, jobs, ranks, pushes []int64) error
	// rank is an expression for the time that puts a job at a place of the
	// queue; n is an expression for a number of seconds since 1970.
	rank(n string) string
	// fromNow is an expression for the time of a job in so many seconds, by
	// the database's clock; unixNano for a time as pushes have it.
	fromNow(seconds string) string
	unixNano(secondsFromNow int) string
	// jobs sets up the queue.
	jobs(c jobsConfig) (jobs, error)
	replicas
	close() error
}

// replicas are the processes that share an engine.
type replicas interface {
	// beat says that a process is alive. It returns how many are, and whether
	// this one was taken for dead: then it is not among them until it joins.
	beat(ctx context.Context, id string) (alive int, lapsed bool, err error)
	join(ctx context.Context, id string) error
	// leave says that a process is at work no more.
	leave(ctx context.Context, id string) error
	// takeBack strikes off dead processes, with their turns and leadership.
	takeBack(ctx context.Context) error
	// marked is a query for the jobs that a process is said to work on.
	marked(id string) (query string, args []any)
	// orphaned is a query for the jobs that dead processes work on; empty when
	// there are none.
	orphaned() string
	// abandoned is a condition on a running job j that is a process's own, or a
	// dead one's.
	abandoned(id string) (condition string, args []any)
	// skipLocked is locked for rows of some tables, without those that other
	// transactions change.
	skipLocked(query, tables string) string
	// turnsOf is a query for the holders of a process that have turns; empty
	// when nobody needs any.
	turnsOf(id string) (query string, args []any)
	// turn tries to take the turn of a key; one holder has it at a time.
	turn(ctx context.Context, id, key, holder string) (taken bool, err error)
	endTurn(ctx context.Context, holder string) error
}

//go:embed migrations
var migrations embed.FS

// migration is a step to the newest form of the tables.
type migration struct {
	version int
	sql     string
}

// migrationsOf lists an engine's steps, the oldest first.
func migrationsOf(engine string) ([]migration, error) {
	files, err := fs.Glob(migrations, "migrations/"+engine+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]migration, 0, len(files))
	for i, name := range files {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{version: i + 1, sql: string(text)})
	}
	return steps, nil
}

// tooNew says that a newer version of the product changed the tables.
func tooNew(have, known int) error {
	return fmt.Errorf("it was written by a newer version (schema %d, this one knows %d); start that version again", have, known)
}

// selected is the query of insertIf.
func selected(into string, rows int, table, condition string) string {
	return "INSERT INTO " + into + " SELECT " + strings.Join(columnNames(rows), ", ") + " FROM " + table + " WHERE " + condition
}

// columnNames are the names of a table's columns, see engine.table.
func columnNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "column" + strconv.Itoa(i+1)
	}
	return names
}

// valuesOf writes n placeholders of a form, as in (?, ?), (?, ?).
func valuesOf(form string, n int) string {
	return strings.TrimSuffix(strings.Repeat(form+", ", n), ", ")
}

// anys is a list of numbers as arguments.
func anys(ids []int64) []any {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return args
}

// numbered writes $1, $2 … for each ?, as PostgreSQL has it. No query of ours
// has a ? of another meaning.
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// sqlDB is database/sql: a pool or a transaction.
type sqlDB struct {
	conn interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (d sqlDB) exec(ctx context.Context, query string, args ...any) error {
	_, err := d.conn.ExecContext(ctx, query, args...)
	return err
}

func (d sqlDB) row(ctx context.Context, query string, args ...any) row {
	return d.conn.QueryRowContext(ctx, query, args...)
}

func (d sqlDB) each(ctx context.Context, query string, args []any, f func(row) error) (err error) {
	rows, err := d.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = joined(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// joined is errors.Join, but leaves a single error as it is.
func joined(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
