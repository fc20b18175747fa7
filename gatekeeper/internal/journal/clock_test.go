package journal_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// jumping is a clock that is ahead of the right time by what the test says.
type jumping struct{ ahead atomic.Int64 }

func (c *jumping) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())).Round(0) }
func (c *jumping) jump(ahead time.Duration) { c.ahead.Store(int64(ahead)) }

const day = 24 * time.Hour

func (e engine) openWith(t *testing.T, c *jumping) *journal.Journal {
	t.Helper()
	d := deps(t)
	d.Now = c.now
	d.Retries = 72 * time.Hour
	d.Backoff = func(int) time.Duration { return 100 * time.Millisecond }
	j := open(t, e.location(t), d)
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

// Whatever the clock says for a moment, what is to be tried again or waits is
// looked at when its pause is over.
func TestPausesDoNotDependOnWhatTimeItIs(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		for jump, ahead := range map[string]time.Duration{"a day ahead": day, "an hour behind": -time.Hour} {
			t.Run(name+"/"+jump, func(t *testing.T) {
				t.Parallel()
				c := new(jumping)
				j, p := e.openWith(t, c), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("fails", digest("a")))
				call := p.next(t)
				c.jump(ahead)
				call.answer <- answer{err: errors.New("outage")}
				awaitState(t, j, "fails", "retrying")
				c.jump(0)
				call = p.next(t)
				c.jump(ahead)
				call.pending(c.now().Add(100 * time.Millisecond))
				awaitState(t, j, "fails", "pending")
				c.jump(0)
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "fails", "promoted")
			})
		}
	}
}

// Which push of a tag is the newest does not depend on times.
func TestTheOrderOfPushesIsNotThatOfTimes(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := new(jumping)
			j, p := e.openWith(t, c), newProcessor()
			accept(t, j, pushOf("v1", digest("a")))
			c.jump(-time.Hour)
			accept(t, j, pushOf("v1", digest("b")))
			run(t, j, p)
			for range 2 {
				call := p.next(t)
				_, overtaken, err := j.Overtaken(t.Context(), call.push)
				if err != nil || overtaken != (call.push.Digest == digest("a")) {
					t.Errorf("%s is overtaken: %v, %v", call.push.Digest, overtaken, err)
				}
				call.verdict(policy.VerdictRejected)
			}
		})
	}
}

// A push that was accepted while the clock was ahead would wait for its
// evidence until the clock is there.
func TestPushesFromTheFutureAreOfNow(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := new(jumping)
			j := e.openWith(t, c)
			accept(t, j, pushOf("before", digest("a")))
			before := awaitState(t, j, "before", "queued").Push.ReceivedAt
			c.jump(day)
			accept(t, j, pushOf("ahead", digest("a")))
			c.jump(0)
			if err := j.PutRight(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := awaitState(t, j, "ahead", "queued").Push.ReceivedAt; time.Until(got) > time.Minute || time.Since(got) > time.Minute {
				t.Errorf("the push is of %s", got)
			}
			if got := awaitState(t, j, "before", "queued").Push.ReceivedAt; !got.Equal(before) {
				t.Errorf("the other is of %s, and was of %s", got, before)
			}
		})
	}
}

// Jobs whose times the database's clock wrote down while it was ahead, or a
// process's while it handed them back, are looked at now; those that wait for
// their time are not.
func TestJobsFromTheFutureAreLookedAtNow(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		for _, column := range []string{"created_at", "attempted_at"} {
			t.Run(name+"/"+column, func(t *testing.T) {
				t.Parallel()
				j, p := e.openNew(t), newProcessor()
				stop := run(t, j, p)
				accept(t, j, pushOf("ahead", digest("a")), pushOf("waits", digest("b")))
				for range 2 {
					p.next(t).pending(time.Now().Add(time.Hour))
				}
				awaitState(t, j, "waits", "pending")
				s := awaitState(t, j, "ahead", "pending")
				stop()
				if err := j.FromTheFuture(t.Context(), s.Push.ID, column); err != nil {
					t.Fatal(err)
				}
				run(t, j, p)
				call := p.next(t)
				if call.push.Tag != "ahead" {
					t.Errorf("%s is looked at", call.push.Tag)
				}
				call.verdict(policy.VerdictPromoted)
				awaitState(t, j, "ahead", "promoted")
				if s := awaitState(t, j, "waits", "pending"); s.State != "pending" {
					t.Error(s.State)
				}
			})
		}
	}
}

// A push that was woken by a clock that was ahead is not looked at again and
// again until that time.
func TestAWakeUpFromTheFutureSettles(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := new(jumping)
			j, p := e.openWith(t, c), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			p.next(t).pending(c.now().Add(time.Hour))
			awaitState(t, j, "v1", "pending")
			c.jump(day)
			if _, err := j.Wake(t.Context(), "staging", "team/app", digest("a")); err != nil {
				t.Fatal(err)
			}
			call := p.next(t)
			c.jump(0)
			call.pending(c.now().Add(time.Hour))
			awaitState(t, j, "v1", "pending")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			select {
			case <-p.calls:
				t.Error("it is looked at again at once")
			case <-ctx.Done():
			}
		})
	}
}
