package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How often records that nothing refers to any more are removed, how many
// pushes one query looks at, and how many pushes or decisions one transaction
// removes: intake waits for no more than that.
const (
	retentionInterval = time.Hour
	lookBatch         = 2000
	forgetBatch       = 200
)

// forgettable holds for pushes whose records go. What is not finished, what is
// the newest of its tag, what was judged of late and what ever became golden
// stays: the history of golden tags is for ever.
const forgettable = `
	received_at < ? AND job_id IS NULL AND state NOT IN ('queued', 'judging', 'retrying', 'pending')
	AND (tag = '' OR EXISTS (SELECT 1 FROM pushes n WHERE n.source = p.source AND n.repository = p.repository AND n.tag = p.tag AND (n.order_at, n.id) > (p.order_at, p.id)))
	AND NOT EXISTS (SELECT 1 FROM golden g WHERE g.push_id = p.id)
	AND NOT EXISTS (SELECT 1 FROM decisions d JOIN golden g ON g.decision_id = d.id WHERE d.push_id = p.id)
	AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.push_id = p.id AND d.decided_at >= ?)`

// outdated holds for decisions that go though their push stays: those that say
// neither what counts now nor why something became golden.
const outdated = `
	decided_at < ?
	AND EXISTS (SELECT 1 FROM decisions n WHERE n.push_id = d.push_id AND n.id > d.id
	  AND (n.verdict IN ('promoted', 'rejected') OR d.verdict NOT IN ('promoted', 'rejected')))
	AND NOT EXISTS (SELECT 1 FROM golden g WHERE g.decision_id = d.id)`

// forget removes pushes that came before Deps.Keep, with their decisions and
// evidence, and decisions that newer ones about their push took the place of.
func (j *Journal) forget(ctx context.Context) error {
	before, err := j.forgetBefore(ctx)
	if err != nil {
		return fmt.Errorf("look for the newest push: %w", err)
	}
	for last := int64(0); ; {
		end, err := j.oldUntil(ctx, before, last)
		if err == nil && end > last {
			err = j.forgetBetween(ctx, before, last, end)
		}
		if err != nil {
			return fmt.Errorf("remove what came before %s: %w", before.UTC().Format(time.DateOnly), err)
		}
		if end <= last {
			return nil
		}
		last = end
	}
}

// oldUntil returns the number of the last of the next pushes; after itself when
// there is none, or none of them is old. Numbers are given in the order of
// time, but for clocks that jump.
func (j *Journal) oldUntil(ctx context.Context, before time.Time, after int64) (int64, error) {
	var last, oldest sql.NullInt64
	query := "SELECT max(id), min(received_at) FROM (SELECT id, received_at FROM pushes WHERE id > ? ORDER BY id LIMIT ?) AS page"
	err := j.engine.row(ctx, query, after, lookBatch).Scan(&last, &oldest)
	if err != nil || !last.Valid || oldest.Int64 >= before.UnixNano() {
		return after, err
	}
	return last.Int64, nil
}

// forgetBetween removes what is old of a page of pushes.
func (j *Journal) forgetBetween(ctx context.Context, before time.Time, after, until int64) error {
	pushes, err := numbers(ctx, j.engine, "SELECT id FROM pushes p WHERE id > ? AND id <= ? AND "+forgettable+" ORDER BY id",
		[]any{after, until, before.UnixNano(), before.UnixNano()})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(pushes, forgetBatch) {
		if err := j.forgetThese(ctx, before, some); err != nil {
			return err
		}
	}
	decisions, err := numbers(ctx, j.engine, "SELECT id FROM decisions d WHERE push_id > ? AND push_id <= ? AND "+outdated+" ORDER BY id",
		[]any{after, until, before.UnixNano()})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(decisions, forgetBatch) {
		if err := j.trim(ctx, before, some); err != nil {
			return err
		}
	}
	return nil
}

// forgetBefore is when what is too old came. A clock that jumps ahead must not
// make everything old: now is no later than this process's steady clock says,
// and no later than the newest push came.
func (j *Journal) forgetBefore(ctx context.Context) (time.Time, error) {
	var newest sql.NullInt64
	err := j.engine.row(ctx, "SELECT received_at FROM pushes ORDER BY id DESC LIMIT 1").Scan(&newest)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	now := j.deps.Now()
	for _, other := range []time.Time{j.steady.now(), time.Unix(0, newest.Int64)} {
		if other.Before(now) {
			now = other
		}
	}
	return now.Add(-j.deps.Keep), err
}

// collect gathers the numbers of an answer.
func collect(ids *[]int64) func(row) error {
	return func(r row) error {
		var id int64
		err := r.Scan(&id)
		*ids = append(*ids, id)
		return err
	}
}

func (j *Journal) forgetThese(ctx context.Context, before time.Time, pushes []int64) error {
	return j.engine.inTx(ctx, func(tx db) error {
		// Something may have happened to them since they were listed.
		var still []int64
		query := j.engine.locked("SELECT id FROM pushes p WHERE id IN (" + valuesOf("?", len(pushes)) + ") AND " + forgettable + " ORDER BY id")
		if err := tx.each(ctx, query, append(anys(pushes), before.UnixNano(), before.UnixNano()), collect(&still)); err != nil || len(still) == 0 {
			return err
		}
		these, ids := "("+valuesOf("?", len(still))+")", anys(still)
		evidence, err := evidenceOf(ctx, tx, "push_id IN "+these, ids)
		if err != nil {
			return err
		}
		for _, query := range []struct {
			sql  string
			args []any
		}{
			{"DELETE FROM decisions WHERE push_id IN " + these, ids},
			{`DELETE FROM platforms WHERE (source, repository, part_of) IN (SELECT p.source, p.repository, p.digest FROM pushes p WHERE p.id IN ` + these + `)
				AND NOT EXISTS (SELECT 1 FROM pushes o WHERE o.repository = platforms.repository AND o.digest = platforms.part_of
				  AND o.source = platforms.source AND o.id NOT IN ` + these + `)`, slices.Concat(ids, ids)},
			{"DELETE FROM pushes WHERE id IN " + these, ids},
		} {
			if err := tx.exec(ctx, query.sql, query.args...); err != nil {
				return err
			}
		}
		return forgetEvidence(ctx, tx, evidence)
	})
}

// trim removes decisions of pushes that stay.
func (j *Journal) trim(ctx context.Context, before time.Time, ids []int64) error {
	return j.engine.inTx(ctx, func(tx db) error {
		query := j.engine.locked("SELECT id FROM decisions d WHERE id IN (" + valuesOf("?", len(ids)) + ") AND " + outdated + " ORDER BY id")
		still, err := numbers(ctx, tx, query, append(anys(ids), before.UnixNano()))
		if err != nil || len(still) == 0 {
			return err
		}
		these := "id IN (" + valuesOf("?", len(still)) + ")"
		evidence, err := evidenceOf(ctx, tx, these, anys(still))
		if err != nil {
			return err
		}
		if err := tx.exec(ctx, "DELETE FROM decisions WHERE "+these, anys(still)...); err != nil {
			return err
		}
		return forgetEvidence(ctx, tx, evidence)
	})
}

// evidenceOf lists the evidence that decisions were made by.
func evidenceOf(ctx context.Context, tx db, decisions string, args []any) (evidence []any, err error) {
	query := "SELECT DISTINCT evidence FROM decisions WHERE evidence IS NOT NULL AND " + decisions
	err = tx.each(ctx, query, args, func(r row) error {
		var hash string
		err := r.Scan(&hash)
		evidence = append(evidence, hash)
		return err
	})
	return evidence, err
}

// forgetEvidence removes evidence that no decision refers to any more. A push
// may have been judged any number of times, and a statement has only so many
// arguments.
func forgetEvidence(ctx context.Context, tx db, hashes []any) error {
	for some := range slices.Chunk(hashes, forgetBatch) {
		err := tx.exec(ctx, "DELETE FROM evidence WHERE hash IN ("+valuesOf("?", len(some))+
			") AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.evidence = evidence.hash)", some...)
		if err != nil {
			return err
		}
	}
	return nil
}
