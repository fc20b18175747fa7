package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// foundAfter is how long after its Time a push was found, see
// reconcile.Journal.
const foundAfter = time.Minute

// Reconcile takes pushes as they were found in a registry, a minute after
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
		known, err := j.lookUp(ctx, tx, found)
		if err != nil {
			return err
		}
		var unreported []notifications.Push
		var failed []int64
		for i, p := range found {
			switch n := known[i].newest; {
			case n.there && (newer(p, n) || n.digest == "" && n.open()):
			case n.there && n.digest == p.Digest && n.state == string(policy.VerdictError):
				failed = append(failed, n.id)
			case !n.there, n.digest != p.Digest, n.state == string(policy.VerdictSuperseded):
				// When it was pushed nobody knows; not after it was found.
				if !p.Time.IsZero() {
					p.Time = p.Time.Add(foundAfter)
				}
				unreported = append(unreported, p)
			}
		}
		in := &intake{journal: j, tx: tx, priority: priorityReconcile}
		in.add(unreported)
		receipts, err := in.take(ctx)
		if err != nil {
			return err
		}
		missed = receipts[0].Accepted
		if len(failed) == 0 {
			return nil
		}
		table, args := j.engine.table(columns{failed})
		query := j.engine.locked("SELECT id, job_id FROM pushes WHERE id IN (SELECT column1 FROM " + table + ") AND state = 'error' ORDER BY id")
		_, err = j.hurry(ctx, tx, somethingElse(), query, args...)
		return err
	})
	return missed, err
}

// LookAgain has the pushes of a source that wait for evidence looked at, since
// the notification of what arrived may be lost. It returns how many.
func (j *Journal) LookAgain(ctx context.Context, source string) (int, error) {
	n, err := j.hurryPages(ctx, "source = ? AND state = 'pending'", []any{source}, func(candidate) (reason, bool) { return somethingElse(), true })
	if err != nil {
		return n, fmt.Errorf("look again at what waits of %s: %w", source, err)
	}
	return n, nil
}
