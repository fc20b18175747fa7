package journal

import (
	"context"
	"time"
)

// leaseTime is after how long without a sign of life a process is taken for
// dead, by the server's clock. A process stops its own work before that.
const leaseTime = 8 * time.Second

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
