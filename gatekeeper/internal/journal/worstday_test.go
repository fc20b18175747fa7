package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// soonEnough is much less than the time after which a process is taken for
// dead.
const soonEnough = 3 * time.Second

// What a process that stops cannot finish, another takes up at once.
func TestWorkIsHandedBackAtAStop(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Grace = time.Millisecond
	location := postgresLocation(t)
	first := open(t, location, d)
	t.Cleanup(func() { closeJournal(t, first) })
	p := newProcessor()
	stop := run(t, first, p)
	accept(t, first, pushOf("v1", digest("a")))
	p.next(t) // never answered
	alive := make(chan int, 16)
	d = deps(t)
	d.Replicas = func(n int) { alive <- n }
	second := open(t, location, d)
	t.Cleanup(func() { closeJournal(t, second) })
	other := newProcessor()
	run(t, second, other)
	stop()
	stopped := time.Now()
	c := other.next(t)
	if took := time.Since(stopped); took > soonEnough {
		t.Errorf("it takes %s until another process goes on", took)
	}
	c.verdict(policy.VerdictPromoted)
	for n := 0; n != 1; { // the first is gone
		select {
		case n = <-alive:
		case <-time.After(2 * soonEnough):
			t.Fatal("the process that stopped still counts")
		}
	}
	if s := awaitState(t, second, "v1", "promoted"); s.Push.Attempt != 0 {
		t.Errorf("a stop counts as a failure: %+v", s.Push)
	}
}

// On SQLite the next start goes on.
func TestWorkGoesOnAtTheNextStart(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, location := deps(t), e.location(t)
			d.Grace = time.Millisecond
			for range 2 {
				j, p := open(t, location, d), newProcessor()
				stop := run(t, j, p)
				if _, err := j.Lookup(t.Context(), "team/app", "v1"); errors.Is(err, gatekeeper.ErrNotFound) {
					accept(t, j, pushOf("v1", digest("a")))
				}
				p.next(t)
				stop()
				closeJournal(t, j)
			}
			j, p := open(t, location, d), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			started := time.Now()
			c := p.next(t)
			if took := time.Since(started); took > soonEnough {
				t.Errorf("it takes %s until the work goes on", took)
			}
			c.verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// deaf does not notice that its context ends.
type deaf struct{ begun, end chan struct{} }

func (d deaf) Process(context.Context, gatekeeper.Push) (gatekeeper.Progress, error) {
	d.begun <- struct{}{}
	<-d.end
	return gatekeeper.Progress{}, errors.New("too late")
}

// What does not even end when it is told to holds up the stop for a moment, and
// is nobody's afterwards.
func TestAStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	d := deps(t)
	d.Grace = time.Millisecond
	location := postgresLocation(t)
	j := open(t, location, d)
	w := deaf{begun: make(chan struct{}), end: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx, w) }()
	accept(t, j, pushOf("v1", digest("a")))
	awaitSignal(t, w.begun, "the work does not begin")
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("a stop that cuts work off is no failure: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the stop waits for what does not end")
	}
	other, p := open(t, location, deps(t)), newProcessor()
	t.Cleanup(func() { closeJournal(t, other) })
	run(t, other, p)
	p.next(t).verdict(policy.VerdictPromoted)
	close(w.end)
	awaitState(t, other, "v1", "promoted")
	closeJournal(t, j)
}

// frozen stops every process of a server, as a disk does that hangs, until the
// returned function is called.
func frozen(t *testing.T, s *postgres.Server) (thaw func()) {
	t.Helper()
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() {
		if err := s.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(thaw)
	return thaw
}

// A database that is gone or hangs is an error within the time that the caller
// allows; afterwards pushes are accepted again, and each is there once.
func TestADatabaseThatIsGoneOrHangs(t *testing.T) {
	t.Parallel()
	s := postgres.Start(t)
	j := open(t, s.NewDatabase(t), deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	accept(t, j, pushOf("v0", digest("a")))
	refused := func(tag string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := j.Accept(ctx, []notifications.Push{pushOf(tag, digest("a"))})
		if took := time.Since(began); err == nil || took > 3*time.Second {
			t.Errorf("%s: %v after %s", tag, err, took)
		}
	}
	unready := func(words ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantWords(t, j.Ready(ctx), words...)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	refused("v1")
	unready("PostgreSQL", "cannot be reached")
	if err := s.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	acceptAgain(t, j, pushOf("v1", digest("a")))
	thaw := frozen(t, s)
	refused("v2")
	unready("PostgreSQL", "does not answer in time")
	thaw()
	acceptAgain(t, j, pushOf("v2", digest("a")))
	p := newProcessor()
	run(t, j, p)
	seen := []string{}
	for range 3 {
		c := p.next(t)
		seen = append(seen, c.push.Tag)
		c.verdict(policy.VerdictPromoted)
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{"v0", "v1", "v2"}) {
		t.Errorf("judged: %v", seen)
	}
}

// acceptAgain repeats a push until it is accepted, as a registry does.
func acceptAgain(t *testing.T, j *journal.Journal, p notifications.Push) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, err := j.Accept(ctx, []notifications.Push{p})
		if err == nil {
			return
		}
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// When more callers wait than the storage keeps up with, the next are told to
// come again, and nobody waits for ever.
func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	s := postgres.Start(t)
	j := open(t, s.NewDatabase(t), deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	thaw := frozen(t, s)
	var wg sync.WaitGroup
	var busy atomic.Int64
	full := make(chan struct{})
	for i := range 3000 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := j.Accept(ctx, []notifications.Push{pushOf(fmt.Sprintf("v%d", i), digest("a"))})
			if errors.Is(err, journal.ErrBusy) && busy.Add(1) == 1 {
				close(full)
			}
		})
	}
	awaitSignal(t, full, "the queue has no end")
	thaw()
	wg.Wait()
	acceptAgain(t, j, pushOf("last", digest("a")))
}

// A full disk refuses pushes with a reason; what was under way goes on by
// itself once there is space.
func TestADiskThatIsFull(t *testing.T) {
	t.Parallel()
	j := open(t, sqliteLocation(t), deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	p := newProcessor()
	run(t, j, p)
	accept(t, j, pushOf("v0", digest("a")))
	c := p.next(t)
	free, err := j.FillUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var full error
	for i := 0; full == nil; i++ { // what is left of the last pages
		_, full = j.Accept(t.Context(), []notifications.Push{pushOf(fmt.Sprintf("fill-%d-%s", i, strings.Repeat("x", 100)), digest("b"))})
	}
	wantWords(t, full, "gatekeeper.db", "disk is full", "free some space")
	decided := gatekeeper.Decision{Push: c.push, Verdict: policy.VerdictRejected, DecidedAt: time.Now(), Evidence: &policy.Evidence{}}
	decided.Results = []policy.Result{{Policy: strings.Repeat("x", 1<<20)}}
	if _, err := j.RecordDecision(t.Context(), decided); err == nil {
		t.Error("a decision is recorded on a full disk")
	}
	c.answer <- answer{err: full} // as the gate does
	if err := free(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		if c = p.next(t); c.push.Tag == "v0" {
			break
		}
		c.verdict(policy.VerdictPromoted)
	}
	c.verdict(policy.VerdictPromoted)
	awaitState(t, j, "v0", "promoted")
	if err := j.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Storage that becomes read-only, as after an error of the file system, refuses
// pushes with a reason; what was under way goes on once it can be written.
func TestStorageThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	j := open(t, sqliteLocation(t), deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	p := newProcessor()
	run(t, j, p)
	accept(t, j, pushOf("v0", digest("a")))
	c := p.next(t)
	if err := j.ReadOnly(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	wantWords(t, j.Ready(t.Context()), "gatekeeper.db", "cannot be written", "read-write")
	_, err := j.Accept(t.Context(), []notifications.Push{pushOf("v1", digest("a"))})
	wantWords(t, err, "cannot be written")
	c.verdict(policy.VerdictPromoted) // and this cannot be stored
	if err := j.ReadOnly(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := j.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for state := ""; state != "promoted"; {
		select {
		case c := <-p.calls: // again, unless its outcome was stored just then
			c.verdict(policy.VerdictPromoted)
		case <-time.After(10 * time.Millisecond):
		}
		s, err := j.Lookup(t.Context(), "team/app", "v0")
		if err != nil {
			t.Fatal(err)
		}
		state = s.State
	}
}
