package journal

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgIntake is a transaction of who gives numbers to pushes. Whoever reports a
// push waits for it, so that it takes two round trips where it can: its begin
// and its lock go with the first query, its commit with the last.
type pgIntake struct {
	conn  *pgx.Conn
	state int
}

// The states of a pgIntake.
const (
	intakeNew = iota
	intakeBegun
	intakeCommitted
)

// rollbackTimeout bounds how long ending a failed transaction may take; after
// that the connection is closed.
const rollbackTimeout = 2 * time.Second

// intakeTx implements engine. Numbers are given in the order of commits, and
// nobody compares with what another process has not committed yet.
func (p *postgres) intakeTx(ctx context.Context, f func(db) error) error {
	return contending(func() error {
		conn, err := p.intake.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release() // which closes one that is in a transaction still
		tx := &pgIntake{conn: conn.Conn()}
		if err := f(tx); err != nil {
			return joined(err, tx.rollback(ctx))
		}
		return tx.commit(ctx)
	})
}

func (t *pgIntake) exec(ctx context.Context, query string, args ...any) error {
	return t.each(ctx, query, args, func(row) error { return nil })
}

func (t *pgIntake) row(ctx context.Context, query string, args ...any) row {
	if err := t.begin(ctx); err != nil {
		return failedRow{err}
	}
	return t.conn.QueryRow(ctx, numbered(query), args...)
}

func (t *pgIntake) each(ctx context.Context, query string, args []any, f func(row) error) error {
	if t.state == intakeNew {
		return t.send(ctx, query, args, f, false)
	}
	return pgDB{t.conn}.each(ctx, query, args, f)
}

// finally is each for the last query of the transaction.
func (t *pgIntake) finally(ctx context.Context, query string, args []any, f func(row) error) error {
	return t.send(ctx, query, args, f, true)
}

// send sends a query with what comes before and after it.
func (t *pgIntake) send(ctx context.Context, query string, args []any, f func(row) error, last bool) (err error) {
	batch := new(pgx.Batch)
	none := func(pgx.Rows) error { return nil }
	if t.state == intakeNew {
		batch.Queue("BEGIN").Query(none)
		batch.Queue("SELECT pg_advisory_xact_lock($1)", int64(intakeLock)).Query(none)
		t.state = intakeBegun
	}
	batch.Queue(numbered(query), args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := f(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if last {
		batch.Queue("COMMIT").Query(none)
	}
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if last {
		t.state = intakeCommitted
	}
	return nil
}

func (t *pgIntake) begin(ctx context.Context) error {
	if t.state != intakeNew {
		return nil
	}
	return t.exec(ctx, "SELECT 1")
}

func (t *pgIntake) commit(ctx context.Context) error {
	if t.state != intakeBegun {
		return nil
	}
	tag, err := t.conn.Exec(ctx, "COMMIT")
	if err == nil && tag.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback
	}
	return err
}

// rollback ends what failed. A commit may have been sent; its answer was lost
// then, with the connection.
func (t *pgIntake) rollback(ctx context.Context) error {
	if t.state != intakeBegun || t.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, err := t.conn.Exec(ctx, "ROLLBACK")
	return err
}

// asTx is the transaction for who wants one of pgx's, and does not end it.
func (t *pgIntake) asTx(ctx context.Context) (pgx.Tx, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	return t.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT 1"}) // it has begun
}

// failedRow is the row of a query that could not be sent.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }
