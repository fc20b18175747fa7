package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
)

// soonAgain is the pause before a push is looked at again whose outcome could
// not be stored.
func soonAgain() time.Duration {
	return time.Second + rand.N(2*time.Second) //nolint:gosec // spreads load
}

// handBackPause is how long to wait before trying again to hand a job back.
const handBackPause = 200 * time.Millisecond

// handBack has a new job look at the push, after a pause. While the database
// cannot be reached there is nothing else to do for this worker either. When
// the service stops meanwhile, the job ends without an outcome, and the sweep
// makes another.
func (j *Journal) handBack(ctx context.Context, job *river.Job[judgeArgs], after time.Duration) error {
	for {
		err := j.tryHandBack(ctx, job, after)
		if err == nil {
			return nil
		}
		if pause(ctx, handBackPause) != nil {
			return river.JobCancel(fmt.Errorf("hand back push %d: %w", job.Args.PushID, err))
		}
	}
}

func (j *Journal) tryHandBack(ctx context.Context, job *river.Job[judgeArgs], after time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	return j.engine.inTx(ctx, func(tx db) error {
		var current sql.NullInt64
		err := tx.row(ctx, j.engine.locked("SELECT job_id FROM pushes WHERE id = ?"), job.Args.PushID).Scan(&current)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil // forgotten meanwhile
		case err != nil:
			return err
		case !current.Valid || current.Int64 != job.ID:
			return nil // this process was taken for dead, or the outcome was stored after all
		}
		n := next{again: j.deps.Now().Add(after), lane: job.Queue, rank: rankOf(job)}
		if err := j.schedule(ctx, tx, job.Args.PushID, n, job.Priority); err != nil {
			return err
		}
		return j.jobs.complete(ctx, tx, job)
	})
}
