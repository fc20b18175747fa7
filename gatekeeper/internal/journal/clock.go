package journal

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Clocks jump: a machine starts with a wrong one, or is put right by an hour.
// Three rules keep that from holding up or removing anything.
//
//   - What comes first is told by numbers, never by times.
//   - Jobs are due by the database's clock alone, a pause from now.
//   - What the database's clock or this process's wrote down while it was ahead
//     is put right here.

// putRightInterval is how often is looked for times that cannot be.
const putRightInterval = 10 * time.Second

// The limits of putRight.
const (
	// clockSkew is what clocks that are right differ by, in seconds.
	clockSkew = 60
	// recentPushes are the pushes whose times are looked at.
	recentPushes = 2000
)

// putRight has jobs looked at now that wait for a time which a clock that was
// ahead wrote down, and takes pushes from the future for pushes of now: they
// would wait for evidence until then.
func (j *Journal) putRight(ctx context.Context) error {
	e := j.engine
	return e.inTx(ctx, func(tx db) error {
		var ahead int64
		query := "SELECT count(*) FROM pushes WHERE id > (SELECT coalesce(max(id), 0) FROM pushes) - ? AND received_at > " + e.unixNano(clockSkew)
		if err := tx.row(ctx, query, recentPushes).Scan(&ahead); err != nil {
			return fmt.Errorf("look for pushes from the future: %w", err)
		}
		if ahead > 0 {
			j.deps.Log.WarnContext(ctx, "a clock was ahead: pushes from the future are taken for pushes of now", slog.Int64("pushes", ahead))
			err := tx.exec(ctx, "UPDATE pushes SET received_at = "+e.unixNano(0)+", order_at = CASE WHEN order_at > "+e.unixNano(0)+" THEN "+e.unixNano(0)+" ELSE order_at END WHERE id > (SELECT coalesce(max(id), 0) FROM pushes) - ? AND received_at > "+e.unixNano(clockSkew), recentPushes)
			if err != nil {
				return fmt.Errorf("put pushes from the future right: %w", err)
			}
		}
		for _, query := range []string{
			// Made while the database's clock was ahead.
			"UPDATE river_job SET state = 'available', scheduled_at = " + e.rank("0") + " WHERE state IN ('available', 'scheduled', 'retryable')" +
				" AND created_at > " + e.fromNow(fmt.Sprint(clockSkew)) + " AND scheduled_at > " + e.fromNow("0"),
			// Handed back, or to be tried again within seconds, by the clock of
			// a process; a look at a push is a job of its own.
			"UPDATE river_job SET state = 'available', scheduled_at = " + e.rank("0") + " WHERE state IN ('available', 'scheduled', 'retryable')" +
				" AND attempted_at IS NOT NULL AND scheduled_at > " + e.fromNow(fmt.Sprint(schedulerInterval.Seconds())),
			// Due, but not by the clock of the process that schedules.
			"UPDATE river_job SET state = 'available' WHERE state = 'scheduled' AND scheduled_at <= " + e.fromNow("0"),
		} {
			if err := tx.exec(ctx, query); err != nil {
				return fmt.Errorf("look for jobs from the future: %w", err)
			}
		}
		return nil
	})
}

// keepRight calls putRight from time to time until ctx ends.
func (j *Journal) keepRight(ctx context.Context) {
	tick := time.NewTicker(putRightInterval)
	defer tick.Stop()
	for {
		if err := j.putRight(ctx); err != nil && ctx.Err() == nil {
			j.deps.Log.WarnContext(ctx, "could not look for times that cannot be", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// steady is a clock that goes on from where it was when it was made, whatever
// becomes of the machine's.
type steady struct{ wall, made time.Time }

func newSteady(wall time.Time) steady { return steady{wall.Round(0), time.Now()} } //nolint:forbidigo // what it measures with

func (s steady) now() time.Time { return s.wall.Add(time.Since(s.made)) }
