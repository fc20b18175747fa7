package journal

import (
	"context"
	"fmt"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Rejudge has those pushes judged again that were judged by something else
// than what is in force now: of each tag the newest, unless it has not been
// looked at yet. What is golden is verified again, and stays golden. An empty
// answer leaves a push alone. It returns how many.
func (j *Journal) Rejudge(ctx context.Context, judgedBy func(source, repository, tag string) string) (int, error) {
	const states = "state IN ('judging', 'retrying', 'pending', 'rejected', 'error', 'promoted')"
	n, err := j.hurryPages(ctx, states, nil, func(c candidate) (reason, bool) {
		switch by := judgedBy(c.source, c.repository, c.tag); {
		case by == "" || by == c.judgedBy:
			return reason{}, false
		case c.state == string(policy.VerdictPromoted):
			return nowReverified(), true
		}
		return somethingElse(), true
	})
	if err != nil {
		return n, fmt.Errorf("judge again what changed policies affect: %w", err)
	}
	return n, nil
}

// candidate is the newest push of a tag.
type candidate struct {
	id                                       int64
	source, repository, tag, state, judgedBy string
}

// hurryBatch is how many pushes are looked through at a time.
const hurryBatch = 500

// hurryPages looks through the newest pushes of tags that a condition holds
// for, and has those looked at that choose has a reason for.
func (j *Journal) hurryPages(ctx context.Context, where string, args []any, choose func(candidate) (why reason, yes bool)) (n int, err error) {
	query := `SELECT id, source, repository, tag, state, judged_by FROM pushes p WHERE ` + where + ` AND tag <> '' AND id > ?
		AND NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = p.source AND q.repository = p.repository AND q.tag = p.tag AND ` + newer("q", "p") + `)
		ORDER BY id LIMIT ?`
	for last := int64(0); ; {
		chosen, seen := map[reason][]int64{}, 0
		page := append(append([]any{}, args...), last, hurryBatch)
		err := j.engine.each(ctx, query, page, func(r row) error {
			var c candidate
			if err := r.Scan(&c.id, &c.source, &c.repository, &c.tag, &c.state, &c.judgedBy); err != nil {
				return err
			}
			last, seen = c.id, seen+1
			if why, yes := choose(c); yes {
				chosen[why] = append(chosen[why], c.id)
			}
			return nil
		})
		if err != nil {
			return n, err
		}
		for why, ids := range chosen {
			woken, err := j.hurryThese(ctx, why, ids)
			if err != nil {
				return n, err
			}
			n += woken
		}
		if seen < hurryBatch {
			return n, nil
		}
	}
}

func (j *Journal) hurryThese(ctx context.Context, why reason, ids []int64) (n int, err error) {
	err = j.engine.inTx(ctx, func(tx db) error {
		table, args := j.engine.table(columns{ids})
		n, err = j.hurry(ctx, tx, why, j.engine.locked("SELECT id, job_id FROM pushes WHERE id IN (SELECT column1 FROM "+table+") ORDER BY id"), args...)
		return err
	})
	return n, err
}
