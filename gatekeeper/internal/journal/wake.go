package journal

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// wakeable says whether new evidence can change anything about a push.
func wakeable(state string) bool {
	switch state {
	case string(policy.VerdictPending), string(policy.VerdictRejected), string(policy.VerdictError), stateRetrying:
		return true
	}
	return false
}

// Wake has every push of a subject looked at again that is still the newest
// of its tag and is not golden. It returns how many.
func (j *Journal) Wake(ctx context.Context, source, repository, digest string) (n int, err error) {
	err = j.engine.inTx(ctx, func(tx db) error {
		n, err = j.wake(ctx, tx, []subject{{source, repository, digest}})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wake %s@%s: %w", repository, digest, err)
	}
	return n, nil
}

// Watch has what arrives about the platforms of an index wake the index as what
// is about itself does.
func (j *Journal) Watch(ctx context.Context, s policy.Subject, platforms []string) error {
	// An index never changes, and is judged many times: mostly all is there.
	var known int
	err := j.engine.row(ctx, "SELECT count(*) FROM platforms WHERE source = ? AND repository = ? AND part_of = ?",
		s.Registry, s.Repository, s.Digest).Scan(&known)
	if err != nil || known >= len(platforms) {
		return err
	}
	n := len(platforms)
	table, args := j.engine.table(columns{
		slices.Repeat([]string{s.Registry}, n), slices.Repeat([]string{s.Repository}, n), slices.Repeat([]string{s.Digest}, n), slices.Sorted(slices.Values(platforms)),
	})
	return j.engine.inTx(ctx, func(tx db) error {
		return tx.exec(ctx, `INSERT INTO platforms (source, repository, part_of, digest)
			SELECT column1, column2, column3, column4 FROM `+table+` WHERE true ON CONFLICT DO NOTHING`, args...)
	})
}

// subject is what evidence is about.
type subject struct{ source, repository, digest string }

// wake is Wake for several subjects, whose pushes it locks in order. What is
// about a watched platform is about the index that it is in.
func (j *Journal) wake(ctx context.Context, tx db, of []subject) (int, error) {
	if len(of) == 0 {
		return 0, nil
	}
	var source, repository, digest []string
	for _, s := range of {
		source, repository, digest = append(source, s.source), append(repository, s.repository), append(digest, s.digest)
	}
	table, args := j.engine.table(columns{source, repository, digest})
	return j.hurry(ctx, tx, evidenceArrived(), j.engine.locked(`
		SELECT p.id, p.job_id FROM pushes p WHERE p.id IN (
		  SELECT o.id FROM `+table+` JOIN pushes o ON o.source = v.column1 AND o.repository = v.column2 AND o.digest = v.column3
		  UNION ALL
		  SELECT o.id FROM `+table+` JOIN platforms m ON m.source = v.column1 AND m.repository = v.column2 AND m.digest = v.column3
		  JOIN pushes o ON o.source = m.source AND o.repository = m.repository AND o.digest = m.part_of)
		AND p.tag <> '' AND p.state IN ('queued', 'judging', 'retrying', 'pending', 'rejected', 'error')
		AND NOT EXISTS (SELECT 1 FROM pushes q WHERE q.source = p.source AND q.repository = p.repository AND q.tag = p.tag AND `+newer("q", "p")+`)
		ORDER BY p.id`), slices.Concat(args, args)...)
}

// reason is why a push is looked at before its time.
type reason struct {
	priority int
	wakes    bool // something arrived in the registry, and may not be visible yet
}

// Why pushes are looked at again.
func evidenceArrived() reason { return reason{priority: priorityFresh, wakes: true} }
func newerArrived() reason    { return reason{priority: priorityFresh, wakes: true} }
func somethingElse() reason   { return reason{priority: priorityReconcile} }
func nowReverified() reason   { return reason{priority: priorityReverify} }

// hurry has the pushes that a query selects looked at now: a job that waits is
// made due, a push without one gets one, and for one that is being looked at
// a count tells the worker to look again. It returns how many.
func (j *Journal) hurry(ctx context.Context, tx db, why reason, query string, args ...any) (int, error) {
	type target struct {
		id  int64
		job sql.NullInt64
	}
	var targets []target
	err := tx.each(ctx, query, args, func(r row) error {
		var t target
		err := r.Scan(&t.id, &t.job)
		targets = append(targets, t)
		return err
	})
	if err != nil || len(targets) == 0 {
		return 0, err
	}
	var all, jobless, waiting []int64
	for _, t := range targets {
		all = append(all, t.id)
		if t.job.Valid {
			waiting = append(waiting, t.job.Int64)
		} else {
			jobless = append(jobless, t.id)
		}
	}
	if len(waiting) > 0 {
		table, args := j.engine.table(columns{waiting})
		err := tx.exec(ctx, "UPDATE river_job SET state = 'available', priority = CASE WHEN priority < ? THEN priority ELSE ? END, scheduled_at = "+
			j.engine.rank("0")+" WHERE state IN ('available', 'scheduled', 'retryable') AND id IN (SELECT column1 FROM "+table+")",
			append([]any{why.priority, why.priority}, args...)...)
		if err != nil {
			return 0, err
		}
	}
	if err := j.enqueue(ctx, tx, jobless, func(int) place { return place{lane: laneFast, priority: why.priority} }); err != nil {
		return 0, err
	}
	table, args := j.engine.table(columns{all})
	these := " WHERE id IN (SELECT column1 FROM " + table + ")"
	if !why.wakes {
		return len(all), tx.exec(ctx, "UPDATE pushes SET rechecks = rechecks + 1"+these, args...)
	}
	return len(all), tx.exec(ctx, "UPDATE pushes SET wakes = wakes + 1, woken_at = ?"+these, append([]any{j.deps.Now().UnixNano()}, args...)...)
}
