package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/riverqueue/river"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// The limits of group commit.
const (
	maxQueued = 1024 // callers that wait for a commit
	maxBatch  = 256  // callers that share one
	maxPushes = 2000 // pushes in one, beyond which no caller is added
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
	ctx := context.Background()
	results := make([]commitResult, len(batch))
	err := j.inTx(ctx, func(tx *sql.Tx) error {
		in := &intake{journal: j, tx: tx}
		for i, c := range batch {
			receipt, err := in.accept(ctx, c.pushes)
			if err != nil {
				return err
			}
			results[i].receipt = receipt
		}
		return in.enqueue(ctx)
	})
	for i, c := range batch {
		if err != nil {
			results[i] = commitResult{err: fmt.Errorf("commit pushes: %w", err)}
		}
		c.done <- results[i]
	}
}

// intake is one transaction of accepted pushes.
type intake struct {
	journal *Journal
	tx      *sql.Tx
	queued  []int64
}

func (in *intake) accept(ctx context.Context, pushes []notifications.Push) (notifications.Receipt, error) {
	var receipt notifications.Receipt
	for _, p := range pushes {
		known, err := in.known(ctx, p)
		if err != nil {
			return receipt, err
		}
		if known {
			receipt.Duplicates++
			continue
		}
		if err := in.insert(ctx, p); err != nil {
			return receipt, err
		}
		receipt.Accepted++
	}
	return receipt, nil
}

// known says whether an event was seen before, or says again what the newest
// push of its tag says that is still being worked on.
func (in *intake) known(ctx context.Context, p notifications.Push) (bool, error) {
	var n int
	if p.EventID != "" {
		err := in.tx.QueryRowContext(ctx, "SELECT count(*) FROM pushes WHERE source = ? AND event_id = ?", p.Source, p.EventID).Scan(&n)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	if p.Tag == "" || p.Digest == "" {
		return false, nil
	}
	err := in.tx.QueryRowContext(ctx, `
		SELECT count(*) FROM (SELECT digest, state FROM pushes WHERE source = ? AND repository = ? AND tag = ? ORDER BY id DESC LIMIT 1)
		WHERE digest = ? AND state IN ('queued', 'judging', 'retrying', 'pending')`,
		p.Source, p.Repository, p.Tag, p.Digest).Scan(&n)
	return n > 0, err
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

// insert stores a push. Evidence is remembered as an event and wakes its
// subject; everything else gets a job.
func (in *intake) insert(ctx context.Context, p notifications.Push) error {
	subject, isEvidence := subjectTag(p.Tag)
	state := stateQueued
	if isEvidence {
		state = stateDone
	}
	res, err := in.tx.ExecContext(ctx, `
		INSERT INTO pushes (source, repository, tag, digest, media_type, actor, event_id, received_at, state)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.Source, p.Repository, p.Tag, p.Digest, p.MediaType, p.Actor, p.EventID, in.journal.deps.Now().UnixNano(), state)
	if err != nil {
		return fmt.Errorf("store the push %s:%s: %w", p.Repository, p.Tag, err)
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	if isEvidence {
		_, err := in.journal.wake(ctx, in.tx, p.Source, p.Repository, subject)
		return err
	}
	in.queued = append(in.queued, id)
	if p.Tag == "" {
		return nil
	}
	return in.hurryOvertaken(ctx, p, id)
}

// hurryOvertaken has the older pushes of a tag that still wait look again, so
// that they end as superseded now and not at their deadline.
func (in *intake) hurryOvertaken(ctx context.Context, p notifications.Push, newest int64) error {
	return in.journal.hurry(ctx, in.tx, `
		SELECT id, job_id FROM pushes WHERE source = ? AND repository = ? AND tag = ? AND id < ? AND digest <> ?
		AND state IN ('judging', 'retrying', 'pending')`, p.Source, p.Repository, p.Tag, newest, p.Digest)
}

// enqueue adds the jobs of the accepted pushes, all at once.
func (in *intake) enqueue(ctx context.Context) error {
	if len(in.queued) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, 0, len(in.queued))
	for _, id := range in.queued {
		params = append(params, river.InsertManyParams{Args: judgeArgs{PushID: id}})
	}
	jobs, err := in.journal.jobs.InsertManyTx(ctx, in.tx, params)
	if err != nil {
		return fmt.Errorf("queue pushes: %w", err)
	}
	var update strings.Builder
	args := make([]any, 0, 2*len(jobs))
	update.WriteString("UPDATE pushes SET job_id = v.column2 FROM (VALUES ")
	for i, job := range jobs {
		if i > 0 {
			update.WriteString(", ")
		}
		update.WriteString("(?, ?)")
		args = append(args, in.queued[i], job.Job.ID)
	}
	update.WriteString(") AS v WHERE pushes.id = v.column1")
	if _, err := in.tx.ExecContext(ctx, update.String(), args...); err != nil {
		return fmt.Errorf("queue pushes: %w", err)
	}
	return nil
}
