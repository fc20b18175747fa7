package journal

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"
)

// A job is worked on once. What has to be done again gets a new one, in the
// transaction that ends the old one: whoever still works on an old job has no
// say any more, neither here nor in River, which changes a job that is marked
// as running whoever it is that runs it, and again when the answer was lost.

// replaced are the jobs that replace found abandoned.
type replaced struct {
	jobs   []int64
	pushes []int64 // that they looked after, at the same places
	places []place
	tasks  []string
}

// replace puts new jobs in the place of those that nobody works on. Others may
// have done so meanwhile: what counts is what the rows say once they are
// locked. Rows that a transaction has, a dead process's too, are for the next
// time.
func (j *Journal) replace(ctx context.Context, running []int64) error {
	var found replaced
	err := j.engine.inTx(ctx, func(tx db) (err error) {
		if found, err = j.abandoned(ctx, tx, running); err != nil || len(found.jobs) == 0 {
			return err
		}
		if err := j.enqueue(ctx, tx, found.pushes, func(i int) place { return found.places[i] }); err != nil {
			return err
		}
		err = tx.exec(ctx, "UPDATE river_job SET state = 'discarded', finalized_at = "+j.engine.rank("CAST(? AS bigint)")+" WHERE id IN ("+valuesOf("?", len(found.jobs))+")",
			append([]any{j.deps.Now().Unix()}, anys(found.jobs)...)...)
		if err != nil {
			return err
		}
		return j.insertTasks(ctx, tx, found.tasks)
	})
	if err == nil {
		j.replica.end(found.jobs)
	}
	return err
}

// abandoned locks those of the jobs that are this process's or a dead one's.
func (j *Journal) abandoned(ctx context.Context, tx db, running []int64) (found replaced, err error) {
	condition, args := j.engine.abandoned(j.replica.id)
	condition += " AND j.id IN (" + valuesOf("?", len(running)) + ")"
	args = append(args, anys(running)...)
	const looksAfter = "p.id = CAST(j.args->>'pushID' AS bigint) AND p.job_id = j.id"
	query := j.engine.skipLocked("SELECT j.id, p.id, j.queue, j.priority FROM river_job j JOIN pushes p ON "+looksAfter+" WHERE "+condition+" ORDER BY p.id", "j, p")
	err = tx.each(ctx, query, args, func(r row) error {
		var job, push int64
		var at place
		err := r.Scan(&job, &push, &at.lane, &at.priority)
		found.jobs, found.pushes, found.places = append(found.jobs, job), append(found.pushes, push), append(found.places, at)
		return err
	})
	if err != nil {
		return found, fmt.Errorf("find the pushes of %d jobs: %w", len(running), err)
	}
	query = j.engine.skipLocked("SELECT j.id, coalesce(j.args->>'name', '') FROM river_job j WHERE "+condition+" AND NOT EXISTS (SELECT 1 FROM pushes p WHERE "+looksAfter+") ORDER BY j.id", "j")
	err = tx.each(ctx, query, args, func(r row) error {
		var job int64
		var task string
		err := r.Scan(&job, &task)
		found.jobs = append(found.jobs, job)
		if task != "" {
			found.tasks = append(found.tasks, task)
		}
		return err
	})
	if err != nil {
		return found, fmt.Errorf("find what else %d jobs were for: %w", len(running), err)
	}
	return found, nil
}

// insertTasks queues periodic work, unless it waits already.
func (j *Journal) insertTasks(ctx context.Context, tx db, names []string) error {
	if len(names) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(names))
	for i, name := range names {
		params[i] = river.InsertManyParams{Args: taskArgs{Name: name}, InsertOpts: taskOpts()}
	}
	_, err := j.jobs.insert(ctx, tx, params)
	return err
}
