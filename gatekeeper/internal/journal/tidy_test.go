package journal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// executor is a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
}

func execute(t *testing.T, on executor, query string, args ...any) {
	t.Helper()
	if _, err := on.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// A turn that was taken, though nobody heard of it, is given back.
func TestATurnWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	j := processes(t, 1, deps(t))[0]
	run(t, j, newProcessor())
	if err := j.LoseTurn(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	await(t, func(ctx context.Context) error {
		release, err := j.Turn(ctx, "key")
		if err == nil {
			release()
		}
		return err
	})
}

// Whoever has a turn keeps it while it is put in order.
func TestATurnInUseStays(t *testing.T) {
	t.Parallel()
	j := processes(t, 1, deps(t))[0]
	run(t, j, newProcessor())
	release, err := j.Turn(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	j.Tidy(t.Context())
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := j.Turn(impatient, "key"); err == nil {
		t.Error("two have the turn")
	}
}

// Signs of life wait for nothing: not for a connection, not for a lock, and
// not for a transaction that takes long.
func TestASignOfLifeWaitsForNothing(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			free, err := j.Busy(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer free()
			if err := j.Beat(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Where nothing is lost SQLite's only writer is left alone.
func TestTidyingNothingWritesNothing(t *testing.T) {
	t.Parallel()
	j := engine{sqliteLocation}.openNew(t)
	free, err := j.Busy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	j.Tidy(ctx)
	if ctx.Err() != nil {
		t.Error("it waited for the writer")
	}
}

// What a dead process's transaction still has holds up nobody.
func TestALockOfADeadProcess(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	accept(t, j, pushTo("team/held", "v1"))
	conn := connect(t, location)
	execute(t, conn, "UPDATE river_job SET state = 'running', attempted_by = '{gone}', attempted_at = now()")
	execute(t, conn, "INSERT INTO replicas VALUES ('dead', now() - interval '1 hour')")
	execute(t, conn, "INSERT INTO turns VALUES ('key', 'dead', 'dead/1')")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"river_job", "replicas", "turns", "pushes"} {
		execute(t, tx, "SELECT * FROM "+table+" FOR UPDATE")
	}
	p := newProcessor()
	run(t, j, p)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	j.Tidy(ctx)
	if ctx.Err() != nil {
		t.Error("it waited for the lock")
	}
	accept(t, j, pushOf("v1", digest("a")))
	p.next(t).verdict(policy.VerdictPromoted)
	awaitState(t, j, "v1", "promoted")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := p.next(t) // its work is taken up then
	if c.push.Repository != "team/held" {
		t.Errorf("%+v", c.push)
	}
	c.verdict(policy.VerdictPromoted)
}

// A process that was struck off notices, whatever fails meanwhile, until it is
// among the others again.
func TestBeingStruckOffIsNoticed(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	conn := connect(t, location)
	ends := func(want, works bool) {
		t.Helper()
		working, leave := j.Enter(t.Context(), 1)
		defer leave()
		if err := j.Beat(t.Context()); (err == nil) != works {
			t.Errorf("a sign of life: %v", err)
		}
		if ended := working.Err() != nil; ended != want {
			t.Errorf("the work was ended: %t", ended)
		}
	}
	ends(true, true) // before the first sign of life nothing is its own
	ends(false, true)
	execute(t, conn, "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'as the test asked'; END $$")
	execute(t, conn, "CREATE TRIGGER no BEFORE INSERT ON replicas FOR EACH ROW EXECUTE FUNCTION no()")
	execute(t, conn, "DELETE FROM replicas")
	ends(true, false)
	execute(t, conn, "DROP TRIGGER no ON replicas")
	ends(true, true)
	ends(false, true)
}

// Work of a process that was struck off is done again, as another job.
func TestWorkOfWhoWasStruckOff(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j, p := open(t, location, deps(t)), newProcessor()
	t.Cleanup(func() { closeJournal(t, j) })
	run(t, j, p)
	accept(t, j, pushOf("v1", digest("a")))
	before := jobOf(t, j, p.next(t).push)
	execute(t, connect(t, location), "DELETE FROM replicas")
	p.next(t).verdict(policy.VerdictPromoted) // the first was ended
	awaitState(t, j, "v1", "promoted")
	if state := stateOf(t, j, before); state == "available" || state == "running" {
		t.Errorf("the job that was ended is %s", state)
	}
}

func jobOf(t *testing.T, j *journal.Journal, p gatekeeper.Push) int64 {
	t.Helper()
	id, err := j.JobOf(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func stateOf(t *testing.T, j *journal.Journal, job int64) string {
	t.Helper()
	state, err := j.StateOf(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// Work that is ended is done again as another job: what River says about the
// old one, late or twice, hurts nobody.
func TestWorkThatIsEndedGetsAnotherJob(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			first := p.next(t)
			before := jobOf(t, j, first.push)
			j.Fence(t.Context())
			again := p.next(t)
			if again.push.ID != first.push.ID || jobOf(t, j, again.push) == before {
				t.Errorf("push %d, job %d again", again.push.ID, before)
			}
			if state := stateOf(t, j, before); state != "completed" {
				t.Errorf("the job that was ended is %s", state)
			}
			again.verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// Nobody takes what a living process works on, whatever it was taken for when
// somebody looked.
func TestTheWorkOfOthersIsTheirs(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	acceptQueued(t, j, pushOf("v1", digest("a")))
	job, err := j.JobOf(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, location)
	replaced := func(by, seen string) bool {
		execute(t, conn, "INSERT INTO replicas VALUES ('other', now())  ON CONFLICT DO NOTHING")
		execute(t, conn, "UPDATE river_job SET state = $1, attempted_by = ARRAY['before', $2] WHERE id = $3", seen, by, job)
		if err := j.Replace(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		now, err := j.JobOf(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return now != job || stateOf(t, j, job) == "discarded"
	}
	if replaced("other", "running") {
		t.Error("a living process's job is replaced")
	}
	if replaced("dead", "available") {
		t.Error("a job that waits is replaced")
	}
	if !replaced("dead", "running") {
		t.Error("a dead process's job is not replaced")
	}
}

// A push whose job is over without an outcome gets another.
func TestAPushWithoutAJob(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			acceptQueued(t, j, pushOf("v1", digest("a")), pushTo("team/other", "v1"))
			for push := range int64(2) {
				job := jobOf(t, j, gatekeeper.Push{ID: push + 1})
				if push == 0 {
					if err := j.Spoil(t.Context(), job); err != nil {
						t.Fatal(err)
					}
				}
				if err := j.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if changed := jobOf(t, j, gatekeeper.Push{ID: push + 1}) != job; changed != (push == 0) {
					t.Errorf("push %d has another job: %t", push+1, changed)
				}
			}
			run(t, j, p)
			for range 2 {
				p.next(t).verdict(policy.VerdictPromoted)
			}
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// stubborn works on whatever its context says.
type stubborn struct{ begun, end chan struct{} }

func (s stubborn) Process(context.Context, gatekeeper.Push) (gatekeeper.Progress, error) {
	s.begun <- struct{}{}
	<-s.end
	return gatekeeper.Progress{Verdict: policy.VerdictPromoted}, nil
}

// A process that is still at work does not say that it left.
func TestWhoIsAtWorkHasNotLeft(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	d := deps(t)
	d.Grace = time.Millisecond
	j := open(t, location, d)
	t.Cleanup(func() { closeJournal(t, j) })
	s := stubborn{make(chan struct{}), make(chan struct{})}
	stop := run(t, j, s)
	accept(t, j, pushOf("v1", digest("a")))
	awaitSignal(t, s.begun, "the work does not begin")
	stop()
	var alive int
	if err := connect(t, location).QueryRow(t.Context(), "SELECT count(*) FROM replicas").Scan(&alive); err != nil {
		t.Fatal(err)
	}
	close(s.end)
	if alive != 1 {
		t.Errorf("%d processes are alive", alive)
	}
}

// A task that hangs holds up no other.
func TestTasksThatHang(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, done := deps(t), make(chan struct{})
			for i := range 3 {
				d.Tasks = append(d.Tasks, journal.Task{Name: fmt.Sprintf("hangs-%d", i), Every: time.Hour, Run: func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				}})
			}
			d.Tasks = append(d.Tasks, journal.Task{Name: "limited", Every: time.Hour, Limit: time.Millisecond, Run: func(ctx context.Context) error {
				<-ctx.Done()
				close(done)
				return nil
			}})
			d.Grace = time.Millisecond
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, newProcessor())
			awaitSignal(t, done, "a task waits for others")
		})
	}
}

// A process that is told to stop while it starts stops.
func TestStoppedBeforeItBegan(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := e.openNew(t).Run(ctx, newProcessor()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A task whose process died is done by the next, and not only when its time
// comes.
func TestATaskOfADeadProcess(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	d, done := deps(t), make(chan struct{}, 1)
	d.Tasks = []journal.Task{{Name: "walk", Every: time.Hour, Run: func(context.Context) error { done <- struct{}{}; return nil }}}
	j := open(t, location, d)
	t.Cleanup(func() { closeJournal(t, j) })
	stop := run(t, j, newProcessor())
	awaitSignal(t, done, "the task is not done")
	stop()
	conn := connect(t, location)
	var job int64
	err := conn.QueryRow(t.Context(), "UPDATE river_job SET state = 'running', finalized_at = NULL, attempted_by = '{gone}' WHERE kind = 'task' RETURNING id").Scan(&job)
	if err != nil {
		t.Fatal(err)
	}
	j.Tidy(t.Context())
	j.Tidy(t.Context())
	var name string
	if err := conn.QueryRow(t.Context(), "SELECT args->>'name' FROM river_job WHERE kind = 'task' AND state = 'available'").Scan(&name); err != nil || name != "walk" {
		t.Errorf("the task %q waits: %v", name, err)
	}
	if state := stateOf(t, j, job); state != "discarded" {
		t.Errorf("the job before is %s", state)
	}
}

// A task that is ended goes on, in another process or in this one.
func TestATaskThatIsEndedIsDoneAgain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, runs := deps(t), make(chan struct{})
			d.Tasks = []journal.Task{{Name: "walk", Every: time.Hour, Run: func(ctx context.Context) error {
				select {
				case runs <- struct{}{}:
				case <-ctx.Done(): // it is begun once more while the journal stops
				}
				<-ctx.Done()
				return ctx.Err()
			}}}
			d.Grace = time.Millisecond
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, newProcessor())
			awaitSignal(t, runs, "the task is not done")
			j.Fence(t.Context())
			awaitSignal(t, runs, "the task is not done again")
		})
	}
}

// A task that this process does not know is left to those that do.
func TestATaskOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	with, done := deps(t), make(chan struct{}, 1)
	with.Tasks = []journal.Task{{Name: "walk", Every: time.Hour, Run: func(context.Context) error { done <- struct{}{}; return nil }}}
	leader := open(t, location, with)
	stop := run(t, leader, newProcessor())
	awaitSignal(t, done, "the task is not done")
	stop()
	closeJournal(t, leader)
	conn := connect(t, location)
	without := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, without) })
	run(t, without, newProcessor())
	execute(t, conn, "UPDATE river_job SET state = 'available', finalized_at = NULL, created_at = now(), scheduled_at = now() WHERE kind = 'task'")
	await(t, func(ctx context.Context) error { // until the one that does not know it looked at it
		var state string
		var left bool
		for !left {
			query := "SELECT state, metadata->>'snoozes' IS NOT NULL FROM river_job WHERE kind = 'task'"
			if err := conn.QueryRow(ctx, query).Scan(&state, &left); err != nil {
				return err
			}
			if state == "completed" {
				return fmt.Errorf("the task is %s", state)
			}
		}
		return nil
	})
}
