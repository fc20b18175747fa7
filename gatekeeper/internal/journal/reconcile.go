package journal

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Unknown returns those of the pushes that were found in a registry which the
// journal does not know: nothing else was pushed under their tag last, or that
// ended as an error.
func (j *Journal) Unknown(ctx context.Context, found []notifications.Push) ([]notifications.Push, error) {
	known, err := j.newest(ctx, j.engine, found)
	if err != nil {
		return nil, err
	}
	var unknown []notifications.Push
	for i, p := range found {
		if known[i].unknown(p) || known[i].failed(p) {
			unknown = append(unknown, p)
		}
	}
	return unknown, nil
}

// Reconcile takes pushes that were found in a registry just now. Those that no
// notification reported are accepted, behind those that were; it returns how
// many. One that ended as an error is judged again.
func (j *Journal) Reconcile(ctx context.Context, found []notifications.Push) (missed int, err error) {
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
			switch {
			case known[i].unknown(p):
				unreported = append(unreported, p)
			case known[i].failed(p):
				failed = append(failed, known[i].id)
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
	if err != nil {
		return 0, fmt.Errorf("reconcile %d pushes: %w", len(found), err)
	}
	return missed, nil
}

// Notice takes what the gate found a tag to point to, as Reconcile does.
func (j *Journal) Notice(ctx context.Context, source, repository, tag string, d gatekeeper.Descriptor) error {
	_, err := j.Reconcile(ctx, []notifications.Push{{Source: source, Repository: repository, Tag: tag, Digest: d.Digest, MediaType: d.MediaType}})
	return err
}

// newestPush is the newest push of a tag.
type newestPush struct {
	there  bool
	id     int64
	digest string // empty: not resolved yet; it will be what the tag points to
	state  string
}

func (n newestPush) unknown(p notifications.Push) bool {
	return !n.there || n.digest != "" && n.digest != p.Digest
}

func (n newestPush) failed(p notifications.Push) bool {
	return n.there && n.digest == p.Digest && n.state == string(policy.VerdictError)
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
		SELECT v.column1, p.id, p.digest, p.state FROM (VALUES ` + valuesOf("(CAST(? AS bigint), CAST(? AS text), CAST(? AS text), CAST(? AS text))", len(found)) + `) AS v
		LEFT JOIN pushes p ON p.id = (
		  SELECT max(q.id) FROM pushes q WHERE q.source = v.column2 AND q.repository = v.column3 AND q.tag = v.column4)`
	known := make([]newestPush, len(found))
	err := on.each(ctx, query, args, func(r row) error {
		var i int64
		var id sql.NullInt64
		var digest, state sql.NullString
		if err := r.Scan(&i, &id, &digest, &state); err != nil {
			return err
		}
		known[i] = newestPush{there: id.Valid, id: id.Int64, digest: digest.String, state: state.String}
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
