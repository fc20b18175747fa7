package journal

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Reconcile takes pushes as they were found in a registry, some time after
// their Time. Those that no notification reported are accepted, behind those
// that were; it returns how many. One that ended as an error is judged again,
// as is what its tag points to after all though it was taken for overtaken.
func (j *Journal) Reconcile(ctx context.Context, found []notifications.Push) (missed int, err error) {
	missed, err = j.reconcile(ctx, found, func(p notifications.Push, newest newestPush) bool {
		return newest.receivedAt > p.Time.UnixNano()
	})
	if err != nil {
		return 0, fmt.Errorf("reconcile %d pushes: %w", len(found), err)
	}
	return missed, nil
}

// Notice has what the tag of a push was found to point to judged, unless a
// newer push of the tag is known.
func (j *Journal) Notice(ctx context.Context, p gatekeeper.Push, now gatekeeper.Descriptor) error {
	found := notifications.Push{Source: p.Source, Repository: p.Repository, Tag: p.Tag, Digest: now.Digest, MediaType: now.MediaType}
	_, err := j.reconcile(ctx, []notifications.Push{found}, func(_ notifications.Push, newest newestPush) bool {
		return newest.id > p.ID
	})
	if err != nil {
		return fmt.Errorf("take note of what %s:%s points to: %w", p.Repository, p.Tag, err)
	}
	return nil
}

// reconcile leaves alone what newer says a newer push is known of.
func (j *Journal) reconcile(ctx context.Context, found []notifications.Push, newer func(notifications.Push, newestPush) bool) (missed int, err error) {
	if len(found) == 0 {
		return 0, nil
	}
	err = j.engine.intakeTx(ctx, func(tx db) error {
		known, err := j.newest(ctx, tx, found)
		if err != nil {
			return err
		}
		var unreported []notifications.Push
		var failed []int64
		for i, p := range found {
			switch n := known[i]; {
			case n.there && (newer(p, n) || n.digest == ""):
			case n.there && n.digest == p.Digest && n.state == string(policy.VerdictError):
				failed = append(failed, n.id)
			case !n.there, n.digest != p.Digest, n.state == string(policy.VerdictSuperseded):
				unreported = append(unreported, p)
			}
		}
		in := &intake{journal: j, tx: tx, priority: priorityReconcile}
		receipt, err := in.accept(ctx, unreported)
		if err != nil {
			return err
		}
		missed = receipt.Accepted
		if err := in.finish(ctx); err != nil || len(failed) == 0 {
			return err
		}
		query := j.engine.locked("SELECT id, job_id FROM pushes WHERE id IN (" + valuesOf("?", len(failed)) + ") AND state = 'error' ORDER BY id")
		_, err = j.hurry(ctx, tx, somethingElse, query, anys(failed)...)
		return err
	})
	return missed, err
}

// newestPush is the newest push of a tag.
type newestPush struct {
	there      bool
	id         int64
	digest     string // empty: not resolved yet; it will be what the tag points to
	state      string
	receivedAt int64
}

// newest finds the newest push of each push's tag.
func (j *Journal) newest(ctx context.Context, on db, found []notifications.Push) ([]newestPush, error) {
	if len(found) == 0 {
		return nil, nil
	}
	args := make([]any, 0, 4*len(found))
	for i, p := range found {
		args = append(args, int64(i), p.Source, p.Repository, p.Tag)
	}
	query := `
		SELECT v.column1, p.id, p.digest, p.state, p.received_at FROM (VALUES ` + valuesOf("(CAST(? AS bigint), CAST(? AS text), CAST(? AS text), CAST(? AS text))", len(found)) + `) AS v
		LEFT JOIN pushes p ON p.id = (
		  SELECT max(q.id) FROM pushes q WHERE q.source = v.column2 AND q.repository = v.column3 AND q.tag = v.column4)`
	known := make([]newestPush, len(found))
	err := on.each(ctx, query, args, func(r row) error {
		var i int64
		var id, receivedAt sql.NullInt64
		var digest, state sql.NullString
		if err := r.Scan(&i, &id, &digest, &state, &receivedAt); err != nil {
			return err
		}
		known[i] = newestPush{there: id.Valid, id: id.Int64, digest: digest.String, state: state.String, receivedAt: receivedAt.Int64}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for %d pushes: %w", len(found), err)
	}
	return known, nil
}

// LookAgain has the pushes of a source that wait for evidence looked at, since
// the notification of what arrived may be lost. It returns how many.
func (j *Journal) LookAgain(ctx context.Context, source string) (int, error) {
	n, err := j.hurryPages(ctx, "source = ? AND state = 'pending'", []any{source}, func(candidate) (reason, bool) { return somethingElse, true })
	if err != nil {
		return n, fmt.Errorf("look again at what waits of %s: %w", source, err)
	}
	return n, nil
}
