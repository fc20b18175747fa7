package journal

import (
	"cmp"
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
	Limit time.Duration // how long it may take; six hours when zero
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
		return w.unknown(job)
	}
	running, leave := w.journal.replica.enter(ctx, job.ID)
	defer leave()
	err := w.run(running, task)
	switch {
	case running.Err() != nil:
		return w.journal.handBackTask(ctx, job)
	case err != nil:
		w.journal.deps.Log.WarnContext(ctx, "periodic work failed", slog.String("task", task.Name), slog.Any("error", err))
	}
	return nil
}

// How often, and for how long, a task is left to others that this process does
// not know: another process has another configuration.
const (
	unknownPause   = 2 * time.Second
	unknownTimeout = time.Minute
)

func (w *taskWorker) unknown(job *river.Job[taskArgs]) error {
	if w.journal.deps.Now().Sub(job.CreatedAt) > unknownTimeout {
		return nil
	}
	return river.JobSnooze(unknownPause)
}

// handBackTask has another process go on.
func (j *Journal) handBackTask(ctx context.Context, job *river.Job[taskArgs]) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	if err := j.replace(ctx, []int64{job.ID}); err != nil {
		return river.JobCancel(err) // it waits for its next time
	}
	return nil
}

func (w *taskWorker) run(ctx context.Context, t Task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it crashed: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.Limit, taskLimit))
	defer cancel()
	return t.Run(ctx)
}

// taskLimit bounds a task that does not say how long it may take.
const taskLimit = 6 * time.Hour

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
			return taskArgs{Name: t.Name}, taskOpts()
		}, &river.PeriodicJobOpts{RunOnStart: true}))
	}
	return periodic, river.AddWorkerSafely(workers, w)
}

// taskOpts has each task be there once.
func taskOpts() *river.InsertOpts {
	return &river.InsertOpts{Queue: laneTasks, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}
