package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// The limits of group commit.
const (
	maxQueued = 1024 // callers that wait for a commit
	maxBatch  = 256  // callers that share one
	maxPushes = 2000 // pushes in one, beyond which no caller is added
	// commitTimeout is how long a commit may take: longer than senders wait.
	commitTimeout = 30 * time.Second
)

// ErrBusy is returned when more pushes wait to be committed than storage
// keeps up with. The sender should try again.
var ErrBusy = errors.New("the journal is busy; try again")

// commit is one caller of Accept.
type commit struct {
	pushes []notifications.Push
	done   chan commitResult
}

type commitResult struct {
	receipt notifications.Receipt
	err     error
}

// Accept implements notifications.Sink. Callers at the same time share a
// transaction, because the disk's flush is what takes long.
func (j *Journal) Accept(ctx context.Context, pushes []notifications.Push) (notifications.Receipt, error) {
	if len(pushes) == 0 {
		return notifications.Receipt{}, nil
	}
	c := commit{pushes: pushes, done: make(chan commitResult, 1)}
	select {
	case j.commits <- c:
	case <-j.closed:
		return notifications.Receipt{}, errors.New("the journal is closed")
	default:
		return notifications.Receipt{}, ErrBusy
	}
	select {
	case r := <-c.done:
		return r.receipt, r.err
	case <-ctx.Done():
		return notifications.Receipt{}, ctx.Err() // it may be committed all the same; a repetition is a duplicate
	case <-j.closed:
		return notifications.Receipt{}, errors.New("the journal is closed")
	}
}

func (j *Journal) commitLoop() {
	for {
		select {
		case c := <-j.commits:
			j.commit(j.gather(c))
		case <-j.closed:
			return
		}
	}
}

// gather takes along who else is waiting.
func (j *Journal) gather(first commit) []commit {
	batch, pushes := []commit{first}, len(first.pushes)
	for len(batch) < maxBatch && pushes < maxPushes {
		select {
		case c := <-j.commits:
			batch = append(batch, c)
			pushes += len(c.pushes)
		default:
			return batch
		}
	}
	return batch
}

func (j *Journal) commit(batch []commit) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	results := make([]commitResult, len(batch))
	j.deps.Reached(stepAccept)
	err := j.engine.intakeTx(ctx, func(tx db) error {
		in := &intake{journal: j, tx: tx}
		for i, c := range batch {
			receipt, err := in.accept(ctx, c.pushes)
			if err != nil {
				return err
			}
			results[i].receipt = receipt
		}
		return in.finish(ctx)
	})
	j.deps.Reached(stepAccepted)
	for i, c := range batch {
		if err != nil {
			results[i] = commitResult{err: fmt.Errorf("commit pushes: %w", err)}
		}
		c.done <- results[i]
	}
}

// intake is one transaction of accepted pushes.
type intake struct {
	journal  *Journal
	tx       db
	priority int // of their jobs; priorityFresh when zero
	queued   []accepted
}

// accepted is a push that gets a job.
type accepted struct {
	id   int64
	push notifications.Push
}

func (in *intake) accept(ctx context.Context, pushes []notifications.Push) (notifications.Receipt, error) {
	var receipt notifications.Receipt
	for _, p := range pushes {
		isNew, err := in.insert(ctx, p)
		if err != nil {
			return receipt, err
		}
		if isNew {
			receipt.Accepted++
		} else {
			receipt.Duplicates++
		}
	}
	return receipt, nil
}

// evidenceTag is the form of the tags under which cosign and the referrers
// fallback (OCI distribution-spec v1.1) keep what belongs to a digest.
var evidenceTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.(sig|att|sbom))?$`)

// subjectTag returns the digest that such a tag belongs to.
func subjectTag(tag string) (digest string, ok bool) {
	m := evidenceTag.FindStringSubmatch(tag)
	if m == nil {
		return "", false
	}
	return "sha256:" + m[1], true
}

// insertPush stores a push unless its event was seen before, or it says again
// what the newest push of its tag says that is still being worked on.
const insertPush = `
	INSERT INTO pushes (source, repository, tag, digest, media_type, actor, event_id, received_at, state)
	SELECT CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS bigint), CAST(? AS text)
	WHERE NOT EXISTS (SELECT 1 FROM pushes WHERE source = ? AND event_id = ? AND event_id <> '')
	AND NOT EXISTS (
	  SELECT 1 FROM (SELECT tag, digest, state FROM pushes WHERE source = ? AND repository = ? AND tag = ? ORDER BY id DESC LIMIT 1) AS newest
	  WHERE tag <> '' AND digest <> '' AND digest = ? AND state IN ('queued', 'judging', 'retrying', 'pending'))
	RETURNING id`

// insert stores a push that is new. Evidence is remembered as an event and
// wakes its subject; everything else gets a job.
func (in *intake) insert(ctx context.Context, p notifications.Push) (isNew bool, err error) {
	subject, isEvidence := subjectTag(p.Tag)
	state := stateQueued
	if isEvidence {
		state = stateDone
	}
	var id int64
	err = in.tx.row(ctx, insertPush,
		p.Source, p.Repository, p.Tag, p.Digest, p.MediaType, p.Actor, p.EventID, in.journal.deps.Now().UnixNano(), state,
		p.Source, p.EventID, p.Source, p.Repository, p.Tag, p.Digest).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("store the push %s:%s: %w", p.Repository, p.Tag, err)
	case isEvidence:
		_, err := in.journal.wake(ctx, in.tx, p.Source, p.Repository, subject)
		return true, err
	}
	in.queued = append(in.queued, accepted{id, p})
	return true, nil
}

// finish queues the jobs of the accepted pushes, all at once.
func (in *intake) finish(ctx context.Context) error {
	if len(in.queued) == 0 {
		return nil
	}
	ranks, err := in.ranks(ctx)
	if err != nil {
		return err
	}
	ids := make([]int64, len(in.queued))
	for i, a := range in.queued {
		ids[i] = a.id
	}
	priority := cmp.Or(in.priority, priorityFresh)
	err = in.journal.enqueue(ctx, in.tx, ids, func(i int) place { return place{laneFast, priority, ranks[i]} })
	if err != nil {
		return err
	}
	return in.hurryOvertaken(ctx, ids)
}

// hurryOvertaken has the older pushes of the tags that still wait look again,
// so that they end as superseded now and not at their deadline.
func (in *intake) hurryOvertaken(ctx context.Context, ids []int64) error {
	query := in.journal.engine.locked(`
		SELECT p.id, p.job_id FROM pushes n JOIN pushes p ON p.source = n.source AND p.repository = n.repository AND p.tag = n.tag
		WHERE n.id IN (` + valuesOf("?", len(ids)) + `) AND n.tag <> '' AND p.id < n.id AND p.digest <> n.digest
		AND p.state IN ('judging', 'retrying', 'pending') ORDER BY p.id`)
	_, err := in.journal.hurry(ctx, in.tx, newerArrived, query, anys(ids)...)
	return err
}

// ranks counts, for each accepted push, how many of its repository wait before
// it.
func (in *intake) ranks(ctx context.Context) ([]int64, error) {
	type place struct{ source, repository string }
	next := map[place]int64{}
	ranks := make([]int64, len(in.queued))
	for i, a := range in.queued {
		at := place{a.push.Source, a.push.Repository}
		if _, known := next[at]; !known {
			var n int64 // with those of this transaction
			err := in.tx.row(ctx, "SELECT count(*) FROM pushes WHERE source = ? AND repository = ? AND state = 'queued'", at.source, at.repository).Scan(&n)
			if err != nil {
				return nil, fmt.Errorf("count what waits of %s: %w", at.repository, err)
			}
			next[at] = n - in.among(at.source, at.repository)
		}
		ranks[i] = next[at]
		next[at]++
	}
	return ranks, nil
}

// among counts the accepted pushes of a repository.
func (in *intake) among(source, repository string) (n int64) {
	for _, a := range in.queued {
		if a.push.Source == source && a.push.Repository == repository {
			n++
		}
	}
	return n
}
