package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// How often records that nothing refers to any more are removed, and how many
// pushes one transaction removes: intake waits for no more than that.
const (
	retentionInterval = time.Hour
	forgetBatch       = 200
)

// forgettable holds for pushes whose records go. What is not finished, what is
// the newest of its tag, what was judged of late and what ever became golden
// stays: the history of golden tags is for ever.
const forgettable = `
	received_at < ? AND job_id IS NULL AND state NOT IN ('queued', 'judging', 'retrying', 'pending')
	AND (tag = '' OR EXISTS (SELECT 1 FROM pushes n WHERE n.source = p.source AND n.repository = p.repository AND n.tag = p.tag AND n.id > p.id))
	AND NOT EXISTS (SELECT 1 FROM golden g WHERE g.push_id = p.id)
	AND NOT EXISTS (SELECT 1 FROM decisions d JOIN golden g ON g.decision_id = d.id WHERE d.push_id = p.id)
	AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.push_id = p.id AND d.decided_at >= ?)`

// forget removes pushes that came before Deps.Keep, with their decisions and
// evidence.
func (j *Journal) forget(ctx context.Context) error {
	before, err := j.forgetBefore(ctx)
	if err != nil {
		return fmt.Errorf("look for the newest push: %w", err)
	}
	for last := int64(0); ; {
		ids, err := j.forgettable(ctx, before, last)
		if err == nil && len(ids) > 0 {
			last = ids[len(ids)-1]
			err = j.forgetThese(ctx, before, ids)
		}
		if err != nil {
			return fmt.Errorf("remove what came before %s: %w", before.UTC().Format(time.DateOnly), err)
		}
		if len(ids) < forgetBatch {
			return nil
		}
	}
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

// forgettable lists the next pushes whose records go. It reads only: looking
// takes longer than removing.
func (j *Journal) forgettable(ctx context.Context, before time.Time, after int64) (ids []int64, err error) {
	query := "SELECT id FROM pushes p WHERE id > ? AND " + forgettable + " ORDER BY id LIMIT ?"
	err = j.engine.each(ctx, query, []any{after, before.UnixNano(), before.UnixNano(), forgetBatch}, collect(&ids))
	return ids, err
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

func (j *Journal) forgetThese(ctx context.Context, before time.Time, ids []int64) error {
	return j.engine.inTx(ctx, func(tx db) error {
		// Something may have happened to them since they were listed.
		var still []int64
		query := j.engine.locked("SELECT id FROM pushes p WHERE id IN (" + valuesOf("?", len(ids)) + ") AND " + forgettable + " ORDER BY id")
		if err := tx.each(ctx, query, append(anys(ids), before.UnixNano(), before.UnixNano()), collect(&still)); err != nil || len(still) == 0 {
			return err
		}
		these := "(" + valuesOf("?", len(still)) + ")"
		evidence, err := evidenceOf(ctx, tx, these, anys(still))
		if err != nil {
			return err
		}
		for _, query := range []string{"DELETE FROM decisions WHERE push_id IN " + these, "DELETE FROM pushes WHERE id IN " + these} {
			if err := tx.exec(ctx, query, anys(still)...); err != nil {
				return err
			}
		}
		if len(evidence) == 0 {
			return nil
		}
		return tx.exec(ctx, "DELETE FROM evidence WHERE hash IN ("+valuesOf("?", len(evidence))+
			") AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.evidence = evidence.hash)", evidence...)
	})
}

// evidenceOf lists the evidence that the decisions about pushes were made by.
func evidenceOf(ctx context.Context, tx db, these string, pushes []any) (evidence []any, err error) {
	query := "SELECT DISTINCT evidence FROM decisions WHERE evidence IS NOT NULL AND push_id IN " + these
	err = tx.each(ctx, query, pushes, func(r row) error {
		var hash string
		err := r.Scan(&hash)
		evidence = append(evidence, hash)
		return err
	})
	return evidence, err
}
