package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func pushTo(repository, tag string) notifications.Push {
	p := pushOf(tag, digest("a"))
	p.Repository = repository
	return p
}

// A repository that pushes many tags has one of them ahead of others.
func TestRepositoriesTakeTurns(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Workers = 1
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			for i := range 20 {
				accept(t, j, pushTo("team/many", fmt.Sprintf("v%d", i)))
			}
			var several []notifications.Push // in one notification
			for i := range 20 {
				several = append(several, pushTo("team/several", fmt.Sprintf("v%d", i)))
			}
			accept(t, j, several...)
			accept(t, j, pushTo("team/one", "v0"))
			if _, err := j.Reconcile(t.Context(), []notifications.Push{pushTo("team/missed", "v0")}); err != nil {
				t.Fatal(err)
			}
			p := newProcessor()
			run(t, j, p)
			var order []string
			for range 7 {
				c := p.next(t)
				order = append(order, c.push.Repository+":"+c.push.Tag)
				c.verdict(policy.VerdictPromoted)
			}
			want := "[team/many:v0 team/several:v0 team/one:v0 team/many:v1 team/several:v1 team/many:v2 team/several:v2]"
			// The slow lane has a worker too, and may have taken one.
			if fmt.Sprint(order) != want {
				t.Errorf("order %v, want %s", order, want)
			}
		})
	}
}

// However slow the images of one repository are, others go on.
func TestARepositoryDoesNotTakeEveryWorker(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Workers = 4
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := newProcessor()
			run(t, j, p)
			for i := range 12 {
				accept(t, j, pushTo("team/slow", fmt.Sprintf("v%d", i)))
			}
			var held []call
			for range 3 { // of four
				held = append(held, p.next(t))
			}
			accept(t, j, pushTo("team/other", "v1"))
			c := p.next(t)
			if c.push.Repository != "team/other" {
				t.Errorf("%s:%s has a worker before others", c.push.Repository, c.push.Tag)
			}
			c.verdict(policy.VerdictPromoted)
			for range 9 {
				for _, c := range held {
					c.verdict(policy.VerdictPromoted)
				}
				held = []call{p.next(t)}
			}
			held[0].verdict(policy.VerdictPromoted)
		})
	}
}

// A repository that is alone has most workers, however much it pushed.
func TestACrowdHasMostWorkers(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Workers = 8
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			const pushes, most = 200, 6
			for i := range pushes {
				accept(t, j, pushTo("team/many", fmt.Sprintf("v%d", i)))
			}
			p := newProcessor()
			run(t, j, p)
			var held []call
			for range pushes {
				held = append(held, p.next(t))
				if len(held) == most {
					held[0].verdict(policy.VerdictPromoted)
					held = held[1:]
				}
			}
			for _, c := range held {
				c.verdict(policy.VerdictPromoted)
			}
		})
	}
}

// While what one repository pushed hangs, others have a worker at once,
// whatever they are looked at for.
func TestACrowdThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Workers, d.Grace = 8, time.Millisecond
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := newProcessor()
			run(t, j, p)
			for i := range 50 {
				accept(t, j, pushTo("team/slow", fmt.Sprintf("v%d", i)))
			}
			for range 6 {
				p.next(t) // no answer, until the end
			}
			for i := range 5 {
				accept(t, j, pushTo(fmt.Sprintf("team/app-%d", i), "v1"))
				c := p.next(t)
				if c.push.Repository == "team/slow" {
					t.Fatalf("%s has a worker before others", c.push.Tag)
				}
				c.answer <- answer{err: errors.New("outage")}
				if c = p.next(t); c.push.Repository == "team/slow" { // a further attempt comes in time too
					t.Fatalf("%s has a worker before another's further attempt", c.push.Tag)
				}
				c.verdict(policy.VerdictPromoted)
			}
			judging := 0
			for i := range 50 {
				image, err := j.Lookup(t.Context(), "team/slow", fmt.Sprintf("v%d", i))
				if err != nil {
					t.Fatal(err)
				}
				if image.State == "judging" {
					judging++
				}
			}
			if judging < 6 || judging > 8 {
				t.Errorf("%d are said to be judged", judging)
			}
		})
	}
}

func TestALargeImageGoesToTheSlowLane(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			c := p.next(t)
			if c.push.Slow {
				t.Error("a new push is slow")
			}
			c.answer <- answer{progress: gatekeeper.Progress{Large: true}}
			if c = p.next(t); !c.push.Slow || c.push.Attempt != 0 {
				t.Errorf("a large image: %+v", c.push)
			}
			c.answer <- answer{err: errors.New("outage")}
			if c = p.next(t); !c.push.Slow || c.push.Attempt != 1 {
				t.Errorf("after a failure: %+v", c.push)
			}
			c.verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// To wait for others is no failed attempt.
func TestWaitingForOthersIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Backoff = func(int) time.Duration { return time.Hour }
			d.Retries = time.Nanosecond // a failure is the last one
			j, p := open(t, e.location(t), d), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			p.next(t).answer <- answer{err: fmt.Errorf("promote: %w", &gatekeeper.BusyError{Place: "golden/app", Err: context.DeadlineExceeded})}
			c := p.next(t)
			if s := awaitState(t, j, "v1", "judging"); c.push.Attempt != 0 || s.Problem != "" {
				t.Errorf("attempt %d, problem %q", c.push.Attempt, s.Problem)
			}
			c.verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// resting is an error of a registry that says when to come back.
type resting time.Duration

func (r resting) Error() string             { return "429" }
func (r resting) RetryAfter() time.Duration { return time.Duration(r) }

func TestARegistryThatSaysWhenToComeBackIsBelieved(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			const rest = 400 * time.Millisecond
			began := time.Now()
			p.next(t).answer <- answer{err: fmt.Errorf("read: %w", resting(rest))}
			p.next(t).verdict(policy.VerdictPromoted)
			if took := time.Since(began); took < rest {
				t.Errorf("asked again after %s", took)
			}
		})
	}
}
