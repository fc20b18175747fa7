package journal

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// OpenStates lists the states of pushes that are not finished.
func OpenStates() []string {
	return []string{stateQueued, stateJudging, stateRetrying, string(policy.VerdictPending)}
}

// Queue counts the work that is not finished.
func (j *Journal) Queue(ctx context.Context) (gatekeeper.Queue, error) {
	q := gatekeeper.Queue{Pushes: map[string]int{}}
	for _, s := range OpenStates() {
		q.Pushes[s] = 0
	}
	now := j.deps.Now()
	query := "SELECT state, count(*), min(received_at) FROM pushes WHERE state IN ('queued', 'judging', 'retrying', 'pending') GROUP BY state"
	err := j.engine.each(ctx, query, nil, func(r row) error {
		var state string
		var n int
		var first int64
		if err := r.Scan(&state, &n, &first); err != nil {
			return err
		}
		q.Pushes[state] = n
		if state != string(policy.VerdictPending) {
			q.Oldest = max(q.Oldest, now.Sub(time.Unix(0, first)))
		}
		return nil
	})
	if err != nil {
		return q, fmt.Errorf("count the queue: %w", err)
	}
	return q, nil
}

// countGolden counts the images that golden tags point to, by the policies that
// let them through.
func (j *Journal) countGolden(ctx context.Context) ([]gatekeeper.GoldenCount, error) {
	const query = `
		WITH latest AS (
		  SELECT max(id) AS id FROM golden GROUP BY registry, repository, tag
		), current AS (
		  SELECT max(d.id) AS id FROM latest l JOIN golden g ON g.id = l.id JOIN decisions d ON d.id = g.decision_id
		  GROUP BY g.registry, g.repository, g.digest
		)
		SELECT d.policies, (SELECT n.verdict = 'promoted' FROM decisions n WHERE n.digest = d.digest AND n.source = d.source
		  AND n.repository = d.repository AND n.verdict IN ('promoted', 'rejected') ORDER BY n.id DESC LIMIT 1) AS compliant, count(*)
		FROM current c JOIN decisions d ON d.id = c.id GROUP BY 1, 2`
	counts := map[gatekeeper.GoldenCount]int{}
	err := j.engine.each(ctx, query, nil, func(r row) error {
		var policies string
		var compliant sql.NullBool
		var n int
		if err := r.Scan(&policies, &compliant, &n); err != nil {
			return err
		}
		for name := range strings.SplitSeq(strings.Trim(policies, ","), ",") {
			counts[gatekeeper.GoldenCount{Policy: name, Compliant: compliant.Bool}] += n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count golden images: %w", err)
	}
	list := make([]gatekeeper.GoldenCount, 0, len(counts))
	for c, n := range counts {
		c.Images = n
		list = append(list, c)
	}
	return list, nil
}
