package journal

import (
	"context"
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
	// commitTimeout is how long a commit may take: longer than senders wait,
	// and no longer than it has to be, since the next are behind it.
	commitTimeout = 10 * time.Second
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
		// It may be committed all the same; a repetition is a duplicate.
		return notifications.Receipt{}, fmt.Errorf("storage did not commit the pushes in time: %w", ctx.Err())
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
	j.deps.Reached(stepAccept)
	receipts, queued, err := j.commitTogether(batch)
	if err == nil {
		j.deps.Reached(stepAccepted)
		j.feeder.add(queued)
	}
	if err != nil && len(batch) > 1 && aboutData(err) {
		// One of them may be to blame, and the others are not.
		for _, c := range batch {
			j.commit([]commit{c})
		}
		return
	}
	for i, c := range batch {
		if err != nil {
			c.done <- commitResult{err: fmt.Errorf("commit pushes: %w", err)}
			continue
		}
		c.done <- commitResult{receipt: receipts[i]}
	}
}

// commitTogether stores what several callers brought in one transaction.
func (j *Journal) commitTogether(batch []commit) (receipts []notifications.Receipt, queued []int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("storage did not commit them within %s: %w", commitTimeout, err)
		}
	}()
	if len(batch) == 1 && len(batch[0].pushes) == 1 {
		if id, err := j.takeFirst(ctx, batch[0].pushes[0]); err != nil || id != 0 {
			return []notifications.Receipt{{Accepted: 1}}, []int64{id}, err
		}
	}
	err = j.engine.intakeTx(ctx, func(tx db) error {
		in := &intake{journal: j, tx: tx}
		for _, c := range batch {
			in.add(c.pushes)
		}
		receipts, err = in.take(ctx)
		queued = in.queued
		return err
	})
	return receipts, queued, err
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
