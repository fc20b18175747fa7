package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// processes opens one database for several processes.
func processes(t *testing.T, n int, d journal.Deps) []*journal.Journal {
	t.Helper()
	location := postgresLocation(t)
	all := make([]*journal.Journal, n)
	for i := range all {
		all[i] = open(t, location, d)
		t.Cleanup(func() { closeJournal(t, all[i]) })
	}
	return all
}

func TestProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Workers = 2
	all := processes(t, 2, d)
	first, second := newProcessor(), newProcessor()
	run(t, all[0], first)
	run(t, all[1], second)
	const pushes = 12
	for i := range pushes {
		accept(t, all[0], pushTo(fmt.Sprintf("team/app-%d", i), "v1"))
	}
	// Each has some of them at a time: the other cannot have them all.
	held := []call{first.next(t), second.next(t)}
	seen := map[string]bool{}
	for {
		for _, c := range held {
			if seen[c.push.Repository] {
				t.Errorf("%s is looked at twice", c.push.Repository)
			}
			seen[c.push.Repository] = true
			c.verdict(policy.VerdictPromoted)
		}
		if len(seen) == pushes {
			return
		}
		held = []call{nextOf(t, first, second)}
	}
}

// nextOf waits for the next push that one of two processes works on.
func nextOf(t *testing.T, first, second *processor) call {
	t.Helper()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case c := <-first.calls:
		return c
	case c := <-second.calls:
		return c
	case <-timer.C:
		t.Fatal("no push is processed")
		return call{}
	}
}

// What a process says that others took for dead does not count, and does not
// end the work of who took it over.
func TestWhoWasTakenForDeadHasNoSay(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	d := deps(t)
	d.Workers = 1
	open2 := func() (*journal.Journal, *processor) {
		j, p := open(t, location, d), newProcessor()
		t.Cleanup(func() { closeJournal(t, j) })
		run(t, j, p)
		return j, p
	}
	j, p := open2()
	accept(t, j, pushOf("v1", digest("a")))
	dead := p.next(t)
	conn, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if _, err := conn.Exec(t.Context(), "UPDATE river_job SET attempted_by = '{dead}' WHERE state = 'running'"); err != nil {
		t.Fatal(err)
	}
	_, other := open2()
	alive := nextOf(t, p, other) // who took it up first
	if alive.push.ID != dead.push.ID {
		t.Fatalf("%+v", alive.push)
	}
	dead.late(policy.VerdictRejected)
	// The first process is done with it, and has told the queue so, by the
	// time it has worked on many others.
	for i := range 20 {
		tag := fmt.Sprintf("w%d", i)
		accept(t, j, pushOf(tag, digest("b")))
		nextOf(t, p, other).verdict(policy.VerdictRejected)
		awaitState(t, j, tag, "rejected")
	}
	alive.verdict(policy.VerdictPromoted)
	awaitState(t, j, "v1", "promoted")
}

// Over all processes a turn is one holder's.
func TestATurnIsOneHolders(t *testing.T) {
	t.Parallel()
	all := processes(t, 2, deps(t))
	for _, j := range all {
		run(t, j, newProcessor())
	}
	const each = 20
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, len(all))
	for _, j := range all {
		wg.Go(func() {
			for range each {
				release, err := j.Turn(t.Context(), "golden/team/app")
				if err != nil {
					errs <- err
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				release()
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if most.Load() != 1 {
		t.Errorf("%d had the turn at once", most.Load())
	}
}

// A turn that another process has is waited for as long as the caller allows,
// and it comes back when that process stops.
func TestATurnOfAnotherProcess(t *testing.T) {
	t.Parallel()
	all := processes(t, 2, deps(t))
	stop := run(t, all[0], newProcessor())
	run(t, all[1], newProcessor())
	await(t, func(ctx context.Context) error { _, err := all[0].Turn(ctx, "key"); return err })
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := all[1].Turn(impatient, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a turn that is taken: %v", err)
	}
	stop() // without giving it back
	release, err := all[1].Turn(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// await tries until something works.
func await(t *testing.T, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := try(ctx); err != nil {
		t.Fatal(err)
	}
}

// A process that cannot reach the database ends its work before others take it
// over, and does it again when the database is back.
func TestWorkEndsWhenTheDatabaseIsGoneForLong(t *testing.T) {
	t.Parallel()
	s := postgres.Start(t)
	d, frozen := deps(t), time.Now().Round(0)
	d.Now = func() time.Time { return frozen } // no clock that jumps has a say in it
	j := open(t, s.NewDatabase(t), d)
	t.Cleanup(func() { closeJournal(t, j) })
	w := &fenced{begun: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	w.answer.Store(true)
	run(t, j, w)
	accept(t, j, pushOf("v0", digest("a"))) // once all workers have started
	awaitSignal(t, w.begun, "the work does not begin")
	awaitState(t, j, "v0", "promoted")
	w.answer.Store(false)
	accept(t, j, pushOf("v1", digest("a")))
	awaitSignal(t, w.begun, "the work does not begin")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitSignal(t, w.ended, "the work goes on without the database")
	w.answer.Store(true)
	if err := s.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitSignal(t, w.begun, "the work is not done again")
	awaitState(t, j, "v1", "promoted")
}

func awaitSignal(t *testing.T, signal <-chan struct{}, otherwise string) {
	t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-signal:
	case <-timer.C:
		t.Fatal(otherwise)
	}
}

// fenced works until its context ends, or answers at once.
type fenced struct {
	begun, ended chan struct{}
	answer       atomic.Bool
}

func (f *fenced) Process(ctx context.Context, _ gatekeeper.Push) (gatekeeper.Progress, error) {
	f.begun <- struct{}{}
	if f.answer.Load() {
		return gatekeeper.Progress{Verdict: policy.VerdictPromoted}, nil
	}
	<-ctx.Done()
	f.ended <- struct{}{}
	return gatekeeper.Progress{}, ctx.Err()
}

// Several processes may start on an empty database at once.
func TestOneProcessPreparesTheTables(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = journal.Migrate(t.Context(), location, nil, deps(t).Log) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
