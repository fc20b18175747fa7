package journal_test

import (
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
			for range 3 { // two of four in the fast lane, and the one of the slow lane
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
