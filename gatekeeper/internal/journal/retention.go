package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// How often records that nothing refers to any more are removed, and how many
// pushes one transaction removes.
const (
	retentionInterval = time.Hour
	forgetBatch       = 200
)

// forget removes pushes that came before Deps.Keep, with their decisions and
// evidence. What is not finished, what is the newest of its tag and what ever
// became golden stays: the history of golden tags is for ever.
func (j *Journal) forget(ctx context.Context) error {
	before := j.deps.Now().Add(-j.deps.Keep)
	for {
		n, err := j.forgetSome(ctx, before)
		if err != nil {
			return fmt.Errorf("remove what came before %s: %w", before.UTC().Format(time.DateOnly), err)
		}
		if n == 0 {
			return nil
		}
	}
}

func (j *Journal) forgetSome(ctx context.Context, before time.Time) (n int, err error) {
	err = j.engine.inTx(ctx, func(tx db) error {
		var pushes []int64
		var evidence []any
		query := j.engine.locked(`
			SELECT id FROM pushes p WHERE received_at < ? AND job_id IS NULL AND state NOT IN ('queued', 'judging', 'retrying', 'pending')
			AND (tag = '' OR EXISTS (SELECT 1 FROM pushes n WHERE n.source = p.source AND n.repository = p.repository AND n.tag = p.tag AND n.id > p.id))
			AND NOT EXISTS (SELECT 1 FROM golden g WHERE g.push_id = p.id)
			AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.push_id = p.id AND d.decided_at >= ?) ORDER BY id LIMIT ?`)
		err := tx.each(ctx, query, []any{before.UnixNano(), before.UnixNano(), forgetBatch}, func(r row) error {
			var id int64
			err := r.Scan(&id)
			pushes = append(pushes, id)
			return err
		})
		if n = len(pushes); err != nil || n == 0 {
			return err
		}
		these := "(" + valuesOf("?", n) + ")"
		err = tx.each(ctx, "SELECT DISTINCT evidence FROM decisions WHERE push_id IN "+these, anys(pushes), func(r row) error {
			var hash sql.NullString
			err := r.Scan(&hash)
			if hash.Valid {
				evidence = append(evidence, hash.String)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, query := range []string{"DELETE FROM decisions WHERE push_id IN " + these, "DELETE FROM pushes WHERE id IN " + these} {
			if err := tx.exec(ctx, query, anys(pushes)...); err != nil {
				return err
			}
		}
		if len(evidence) == 0 {
			return nil
		}
		return tx.exec(ctx, "DELETE FROM evidence WHERE hash IN ("+valuesOf("?", len(evidence))+
			") AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.evidence = evidence.hash)", evidence...)
	})
	return n, err
}
