package journal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Task is done when the processes have elected a leader, and then from time to
// time, by one of them at a time.
type Task struct {
	Name  string // unique
	Every time.Duration
	Run   func(ctx context.Context) error
}

// taskArgs is the job that does a task.
type taskArgs struct {
	Name string `json:"name" river:"unique"`
}

// Kind implements river.JobArgs.
func (taskArgs) Kind() string { return "task" }

type taskWorker struct {
	river.WorkerDefaults[taskArgs]
	journal *Journal
	tasks   map[string]Task
}

// Work implements river.Worker. A task that fails is done again at its next
// time.
func (w *taskWorker) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	task, ok := w.tasks[job.Args.Name]
	if !ok {
		return nil // of a process with another configuration
	}
	running, leave := w.journal.replica.enter(ctx, job.ID)
	defer leave()
	err := w.run(running, task)
	switch {
	case running.Err() != nil:
		return river.JobSnooze(0) // another process goes on
	case err != nil:
		w.journal.deps.Log.WarnContext(ctx, "periodic work failed", slog.String("task", task.Name), slog.Any("error", err))
	}
	return nil
}

func (w *taskWorker) run(ctx context.Context, t Task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it crashed: %v", r)
		}
	}()
	return t.Run(ctx)
}

// addTasks makes periodic jobs of the tasks.
func (j *Journal) addTasks(workers *river.Workers) ([]*river.PeriodicJob, error) {
	w := &taskWorker{journal: j, tasks: map[string]Task{}}
	var periodic []*river.PeriodicJob
	all := j.deps.Tasks
	if j.deps.Keep > 0 {
		all = append(slices.Clip(all), Task{Name: "retention", Every: retentionInterval, Run: j.forget})
	}
	for _, t := range all {
		if _, twice := w.tasks[t.Name]; twice || t.Every <= 0 {
			return nil, fmt.Errorf("the task %q is there twice or has no interval", t.Name)
		}
		w.tasks[t.Name] = t
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(t.Every), func() (river.JobArgs, *river.InsertOpts) {
			return taskArgs{Name: t.Name}, &river.InsertOpts{Queue: laneTasks, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
			}}}
		}, &river.PeriodicJobOpts{RunOnStart: true}))
	}
	return periodic, river.AddWorkerSafely(workers, w)
}
