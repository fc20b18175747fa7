package journal

import (
	"context"
	"fmt"
	"time"
)

// Forget does what the periodic work of retention does.
func (j *Journal) Forget(ctx context.Context) error { return j.forget(ctx) }

// FillUp has SQLite say that the disk is full until free is called.
func (j *Journal) FillUp(ctx context.Context) (free func(context.Context) error, err error) {
	s, ok := j.engine.(*sqlite)
	if !ok {
		return nil, fmt.Errorf("%T is no file", j.engine)
	}
	limit := func(ctx context.Context, pages int) error {
		_, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		return err
	}
	return func(ctx context.Context) error { return limit(ctx, 1<<30) }, limit(ctx, 1) // no less than there are
}

// PutRight does what is done from time to time about clocks that were ahead.
func (j *Journal) PutRight(ctx context.Context) error { return j.putRight(ctx) }

// FromTheFuture has the job of a push be due in a day, with a column that says
// the clock was ahead.
func (j *Journal) FromTheFuture(ctx context.Context, push int64, column string) error {
	return j.engine.inTx(ctx, func(tx db) error {
		return tx.exec(ctx, "UPDATE river_job SET scheduled_at = "+j.engine.fromNow("86400")+", "+column+" = "+j.engine.fromNow("86400")+
			" WHERE id = (SELECT job_id FROM pushes WHERE id = ?)", push)
	})
}

// Age makes everything that was written down older.
func (j *Journal) Age(ctx context.Context, by time.Duration) error {
	return j.engine.inTx(ctx, func(tx db) error {
		return joined(
			tx.exec(ctx, "UPDATE pushes SET received_at = received_at - ?", int64(by)),
			tx.exec(ctx, "UPDATE decisions SET decided_at = decided_at - ?", int64(by)))
	})
}

// Judged gives every push that waits a verdict, and a decision by the same
// evidence as those that have one. It returns how many pushes there are.
func (j *Journal) Judged(ctx context.Context, verdict string) (n int, err error) {
	err = j.engine.inTx(ctx, func(tx db) error {
		if verdict == "" {
			verdict = "rejected"
		}
		err := joined(
			tx.exec(ctx, "DELETE FROM river_job"),
			tx.exec(ctx, `INSERT INTO decisions (push_id, source, repository, tag, digest, verdict, policies, decided_at, body, evidence)
				SELECT id, source, repository, tag, digest, CAST(? AS text), ',', received_at, '{}', (SELECT min(hash) FROM evidence) FROM pushes WHERE state = 'queued'`, verdict),
			tx.exec(ctx, "UPDATE pushes SET state = ?, job_id = NULL WHERE state = 'queued'", verdict))
		if err != nil {
			return err
		}
		return tx.row(ctx, "SELECT count(*) FROM pushes").Scan(&n)
	})
	return n, err
}

// Watched counts the platforms that wake their indexes.
func (j *Journal) Watched(ctx context.Context) (n int, err error) {
	err = j.engine.row(ctx, "SELECT count(*) FROM platforms").Scan(&n)
	return n, err
}

// JobsDone makes finished jobs older and counts them.
func (j *Journal) JobsDone(ctx context.Context, by time.Duration) (n int, err error) {
	err = j.engine.inTx(ctx, func(tx db) error {
		if by != 0 {
			if err := tx.exec(ctx, "UPDATE river_job SET finalized_at = "+j.engine.fromNow(fmt.Sprint(-by.Seconds()))+" WHERE state = 'completed'"); err != nil {
				return err
			}
		}
		return tx.row(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&n)
	})
	return n, err
}

// FromANewerVersion has the tables say that a newer version changed them.
func (j *Journal) FromANewerVersion(ctx context.Context) error {
	return j.engine.inTx(ctx, func(tx db) error {
		if _, file := j.engine.(*sqlite); file {
			return tx.exec(ctx, "PRAGMA user_version = 99")
		}
		return tx.exec(ctx, "INSERT INTO gatekeeper_schema (version) VALUES (99)")
	})
}

// ReadOnly has SQLite say that the file cannot be written, or that it can.
func (j *Journal) ReadOnly(ctx context.Context, on bool) error {
	s, ok := j.engine.(*sqlite)
	if !ok {
		return fmt.Errorf("%T is no file", j.engine)
	}
	_, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA query_only = %t", on))
	return err
}

// Setting reads a setting of PostgreSQL's from a connection of the journal.
func (j *Journal) Setting(ctx context.Context, name string) (value string, err error) {
	err = j.engine.row(ctx, "SELECT current_setting(?)", name).Scan(&value)
	return value, err
}

// ReadSlowly asks PostgreSQL for something that takes as long as ctx lasts.
func (j *Journal) ReadSlowly(ctx context.Context) {
	var nothing string
	_ = j.engine.row(ctx, "SELECT CAST(pg_sleep(60) AS text)").Scan(&nothing)
}

// Orphans lists the jobs that dead processes work on.
func (j *Journal) Orphans(ctx context.Context) ([]int64, error) {
	return numbers(ctx, j.engine, j.engine.orphaned(), nil)
}

// MigrationLock is held by who changes the tables, IntakeLock by who gives
// numbers to pushes.
const (
	MigrationLock = migrationLock
	IntakeLock    = intakeLock
)

// JudgedOften adds decisions about a push, each by evidence of its own.
func (j *Journal) JudgedOften(ctx context.Context, push int64, times int) error {
	return j.engine.inTx(ctx, func(tx db) error {
		series := "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < " + fmt.Sprint(times) + ") "
		return joined(
			tx.exec(ctx, "INSERT INTO evidence (hash, body) "+series+"SELECT 'e' || CAST(i AS text), CAST('' AS "+j.blob()+") FROM s"),
			tx.exec(ctx, `INSERT INTO decisions (push_id, source, repository, tag, digest, verdict, policies, decided_at, body, evidence)
				SELECT p.id, p.source, p.repository, p.tag, p.digest, 'rejected', ',', p.received_at, '{}', e.hash FROM pushes p, evidence e WHERE p.id = ?`, push))
	})
}

// blob is the type of bytes.
func (j *Journal) blob() string {
	if _, file := j.engine.(*sqlite); file {
		return "blob"
	}
	return "bytea"
}

// OldUntil returns up to which push is looked for what is old.
func (j *Journal) OldUntil(ctx context.Context, before time.Time, after int64) (int64, error) {
	return j.oldUntil(ctx, before, after)
}

// NotJudgedBy counts the pushes that were judged by something else.
func (j *Journal) NotJudgedBy(ctx context.Context, by string) (n int, err error) {
	err = j.engine.row(ctx, "SELECT count(*) FROM pushes WHERE judged_by <> ? AND state <> 'superseded'", by).Scan(&n)
	return n, err
}

// Beat shows a sign of life; Tidy puts in order what others left behind, and
// Sweep looks for pushes without a job.
func (j *Journal) Beat(ctx context.Context) error {
	_, err := j.replica.beat(ctx)
	return err
}

// Tidy is one round of what is done each second.
func (j *Journal) Tidy(ctx context.Context) { j.tidy(ctx) }

// Sweep gives pushes without a job a new one.
func (j *Journal) Sweep(ctx context.Context) error { return j.sweep(ctx) }

// Feed queues jobs for what the process remembers.
func (j *Journal) Feed(ctx context.Context) error { return j.feedWaiting(ctx) }

// Rerelease puts on record that each image that is golden became so n times more,
// as images with the same layers and other digests.
func (j *Journal) Rerelease(ctx context.Context, n int) error {
	return j.engine.inTx(ctx, func(tx db) error {
		const times = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO "
		return joined(
			tx.exec(ctx, times+`golden_layers (registry, repository, digest, manifest, layers, digest_chain, diff_chain, source, claims)
				SELECT registry, repository, digest || '-' || i, manifest || '-' || i, layers, digest_chain, diff_chain, source, claims FROM golden_layers, n`, n),
			tx.exec(ctx, times+`golden (decision_id, registry, repository, tag, digest, push_id, at, in_lineage)
				SELECT decision_id, registry, repository, tag || '-' || i, digest || '-' || i, push_id, at + i, 1 FROM golden, n`, n),
			tx.exec(ctx, times+`golden_releases (registry, repository, channel, digest, place, at)
				SELECT registry, repository, channel, digest || '-' || i, place + i, at + i FROM golden_releases, n WHERE channel = ''`, n))
	})
}

// Fence ends all work, as when the database is gone for long.
func (j *Journal) Fence(ctx context.Context) { j.replica.fence(ctx) }

// Enter begins work on a job.
func (j *Journal) Enter(ctx context.Context, job int64) (working context.Context, leave func()) {
	return j.replica.enter(ctx, job)
}

// Busy takes all connections that work is done with until free is called; of
// SQLite the one that writes.
func (j *Journal) Busy(ctx context.Context) (free func(), err error) {
	if s, ok := j.engine.(*sqlite); ok {
		conn, err := s.write.Conn(ctx)
		if err != nil {
			return nil, err
		}
		return func() { _ = conn.Close() }, nil
	}
	p, ok := j.engine.(*postgres)
	if !ok {
		return nil, fmt.Errorf("%T is unknown", j.engine)
	}
	var releases []func()
	for range p.work.Config().MaxConns {
		conn, err := p.work.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		releases = append(releases, conn.Release)
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}, nil
}

// LoseTurn has this process have a turn that it knows nothing of, as when the
// answer was lost.
func (j *Journal) LoseTurn(ctx context.Context, key string) error {
	for {
		taken, err := j.engine.turn(ctx, j.replica.id, key, j.replica.id+"/lost")
		if taken || err != nil {
			return err // not before this process is among the others
		}
	}
}

// JobOf returns the job that looks after a push.
func (j *Journal) JobOf(ctx context.Context, push int64) (job int64, err error) {
	err = j.engine.row(ctx, "SELECT job_id FROM pushes WHERE id = ?", push).Scan(&job)
	return job, err
}

// StateOf returns the state of a job.
func (j *Journal) StateOf(ctx context.Context, job int64) (state string, err error) {
	err = j.engine.row(ctx, "SELECT state FROM river_job WHERE id = ?", job).Scan(&state)
	return state, err
}

// Spoil has a job be over without an outcome.
func (j *Journal) Spoil(ctx context.Context, job int64) error {
	return j.engine.inTx(ctx, func(tx db) error {
		return tx.exec(ctx, "UPDATE river_job SET state = 'cancelled', finalized_at = "+j.engine.fromNow("0")+" WHERE id = ?", job)
	})
}

// Replace has jobs done anew if nobody works on them.
func (j *Journal) Replace(ctx context.Context, jobs ...int64) error { return j.replace(ctx, jobs) }

// Repeat adds pushes of other tags, judged as one was last.
func (j *Journal) Repeat(ctx context.Context, push int64, times int) error {
	return j.engine.inTx(ctx, func(tx db) error {
		series := "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < " + fmt.Sprint(times) + ") "
		return joined(
			tx.exec(ctx, `INSERT INTO pushes (source, repository, tag, digest, media_type, actor, event_id, received_at, state) `+series+
				`SELECT p.source, p.repository, 'repeated' || CAST(s.i AS text), p.digest, p.media_type, p.actor, '', p.received_at, 'promoted' FROM pushes p, s WHERE p.id = ?`, push),
			tx.exec(ctx, `INSERT INTO decisions (push_id, source, repository, tag, digest, verdict, policies, decided_at, body, exceptions)
				SELECT p.id, p.source, p.repository, p.tag, p.digest, d.verdict, d.policies, d.decided_at, d.body, d.exceptions
				FROM pushes p, decisions d WHERE p.tag LIKE 'repeated%' AND d.push_id = ?`, push))
	})
}

// ForgetLineage has nothing be known of what golden images are made of, as
// before there were tables for it.
func (j *Journal) ForgetLineage(ctx context.Context) error {
	return j.engine.inTx(ctx, func(tx db) error {
		return joined(
			tx.exec(ctx, "DELETE FROM golden_layers"), tx.exec(ctx, "DELETE FROM golden_releases"), tx.exec(ctx, "DELETE FROM golden_bases"),
			tx.exec(ctx, "UPDATE golden SET in_lineage = 0"))
	})
}
