package journal

import (
	"context"
	"errors"
	"time"
)

// readyFor is how long the journal counts as ready once it could commit: a
// write to the disk for each question would be one more load.
const readyFor = time.Second

// probe remembers when the journal could commit for the last time.
type probe struct {
	turn chan struct{} // held by who asks the database
	at   time.Time     // zero: not yet, or not any more
}

func newProbe() probe { return probe{turn: make(chan struct{}, 1)} }

// Ready says whether the journal can commit, or could a second ago: whether a
// push could be accepted now. What is wrong is said in plain words.
func (j *Journal) Ready(ctx context.Context) error {
	select {
	case j.probe.turn <- struct{}{}:
		defer func() { <-j.probe.turn }()
	case <-ctx.Done():
		return notInTime(ctx.Err())
	}
	select {
	case <-j.closed:
		return errClosed
	default:
	}
	began := j.steady.now()
	if !j.probe.at.IsZero() && began.Sub(j.probe.at) < readyFor {
		return nil
	}
	j.probe.at = time.Time{}
	err := j.engine.probeTx(ctx, func(tx db) error {
		return tx.exec(ctx, "UPDATE probe SET at = ? WHERE id = 1", j.deps.Now().UnixNano())
	})
	if err == nil {
		j.probe.at = began
	}
	return notInTime(err)
}

var errClosed = errors.New("the journal is closed")

// notInTime explains an error that says no more than that time ran out.
func notInTime(err error) error {
	if _, explained := errors.AsType[*trouble](err); !explained && errors.Is(err, context.DeadlineExceeded) {
		return &trouble{words: "nothing can be committed in time; look at the disk, and at what else uses it", cause: err}
	}
	return err
}
