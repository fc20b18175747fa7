package journal_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// event is a push as a registry with a clock reports it.
func event(tag, digest, id string, at time.Time) notifications.Push {
	p := pushOf(tag, digest)
	p.EventID, p.Time = id, at
	return p
}

// The registry's clock tells which push is the newer one, whatever arrives
// first; a registry without one reports in order.
func TestWhichPushOfATagIsTheNewerOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		first, second notifications.Push
		newest        string
	}{
		"in order":                      {event("v1", digest("a"), "1", now.Add(-2*time.Second)), event("v1", digest("b"), "2", now.Add(-time.Second)), digest("b")},
		"in the wrong order":            {event("v1", digest("a"), "1", now.Add(-time.Second)), event("v1", digest("b"), "2", now.Add(-2*time.Second)), digest("a")},
		"without a clock":               {pushOf("v1", digest("a")), pushOf("v1", digest("b")), digest("b")},
		"one without, after one with":   {event("v1", digest("a"), "1", now.Add(-time.Second)), pushOf("v1", digest("b")), digest("b")},
		"a clock that is far ahead":     {event("v1", digest("a"), "1", now.Add(time.Hour)), event("v1", digest("b"), "2", now.Add(time.Hour)), digest("b")},
		"the same moment":               {event("v1", digest("a"), "1", now.Add(-time.Second)), event("v1", digest("b"), "2", now.Add(-time.Second)), digest("b")},
		"found, and reported late":      {event("v1", digest("a"), "", now.Add(-time.Second)), event("v1", digest("b"), "2", now.Add(-2*time.Second)), digest("a")},
		"found, and newer was pushed":   {event("v1", digest("a"), "", now.Add(-2*time.Second)), event("v1", digest("b"), "2", now.Add(-time.Second)), digest("b")},
		"both in one notification":      {event("v2", digest("c"), "1", now.Add(-time.Second)), event("v1", digest("b"), "2", now.Add(-2*time.Second)), digest("b")},
		"reported again while it waits": {event("v1", digest("a"), "1", now.Add(-3*time.Second)), event("v1", digest("a"), "2", now.Add(-time.Second)), digest("a")},
	} {
		for engineName, e := range engines() {
			t.Run(name+", "+engineName, func(t *testing.T) {
				t.Parallel()
				j := e.openNew(t)
				if strings.HasPrefix(name, "both") {
					accept(t, j, tt.first, tt.second)
				} else {
					accept(t, j, tt.first)
					accept(t, j, tt.second)
				}
				s, err := j.Lookup(t.Context(), "team/app", "v1")
				if err != nil || s.Push.Digest != tt.newest {
					t.Fatalf("%s, %v", s.Push.Digest, err)
				}
				if _, overtaken, err := j.Overtaken(t.Context(), s.Push); overtaken || err != nil {
					t.Errorf("the newest is overtaken: %v", err)
				}
				for _, d := range []string{tt.first.Digest, tt.second.Digest} {
					older, err := j.Lookup(t.Context(), "team/app", d)
					if err != nil || d == tt.newest || older.Push.Tag != "v1" {
						continue
					}
					if by, overtaken, err := j.Overtaken(t.Context(), older.Push); !overtaken || err != nil || by.Digest != tt.newest {
						t.Errorf("the older one is not overtaken: %+v, %v", by, err)
					}
				}
			})
		}
	}
}

// What waits for its signature hears of it, though an older push of its tag
// was reported later.
func TestALateNotificationDoesNotMakeTheNewestDeaf(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			now := time.Now()
			for _, reported := range []notifications.Push{event("v1", digest("a"), "1", now), event("v1", digest("b"), "2", now.Add(-time.Second))} {
				accept(t, j, reported)
				p.next(t).pending(now.Add(time.Hour))
			}
			accept(t, j, pushOf(strings.Replace(digest("a"), ":", "-", 1)+".sig", digest("e")))
			if c := p.next(t); c.push.Digest != digest("a") {
				t.Errorf("%+v", c.push)
			} else {
				c.verdict(policy.VerdictPromoted)
			}
		})
	}
}

// A push that was found in the registry is not another one when its
// notification comes; one that happens afterwards is.
func TestANotificationOfWhatWasFound(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			found := event("v1", digest("a"), "", time.Now().Add(-time.Minute))
			if missed, err := j.Reconcile(t.Context(), []notifications.Push{found}); err != nil || missed != 1 {
				t.Fatalf("%d, %v", missed, err)
			}
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
			for id, want := range map[string]notifications.Receipt{"late": {Duplicates: 1}} {
				if r := accept(t, j, event("v1", digest("a"), id, time.Now().Add(-30*time.Second))); r != want {
					t.Errorf("%s: %+v", id, r)
				}
				if r := accept(t, j, event("v1", digest("a"), id, time.Now())); r != want {
					t.Errorf("%s, again: %+v", id, r)
				}
			}
			if r := accept(t, j, event("v1", digest("a"), "pushed again", time.Now().Add(time.Second))); r.Accepted != 1 {
				t.Errorf("a later push: %+v", r)
			}
			p.next(t).verdict(policy.VerdictPromoted)
		})
	}
}

// A push whose digest nobody knows yet is what its tag points to, until it
// failed.
func TestWhatFailedBeforeItsDigestWasKnownIsFoundAgain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Retries = time.Nanosecond
			j, p := open(t, e.location(t), d), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			accept(t, j, pushOf("v1", ""))
			c := p.next(t)
			found := pushOf("v1", digest("a"))
			found.Time = time.Now()
			if missed, err := j.Reconcile(t.Context(), []notifications.Push{found}); err != nil || missed != 0 {
				t.Errorf("while it is looked at: %d, %v", missed, err)
			}
			c.answer <- answer{err: errors.New("outage")}
			p.next(t).answer <- answer{err: errors.New("outage")}
			awaitState(t, j, "v1", "error")
			found.Time = time.Now()
			if missed, err := j.Reconcile(t.Context(), []notifications.Push{found}); err != nil || missed != 1 {
				t.Errorf("afterwards: %d, %v", missed, err)
			}
			p.next(t).verdict(policy.VerdictPromoted)
		})
	}
}

// What one sender sends does not fail what others send at the same time.
func TestOneCallersTextFailsNoOther(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			const callers = 16
			var wg sync.WaitGroup
			errs := make([]error, callers)
			for i := range callers {
				wg.Go(func() {
					p := pushTo("team/app", "v"+strings.Repeat("i", i))
					if i == 0 {
						p.EventID = "a\x00b" // the handler lets none through
					}
					_, errs[i] = j.Accept(t.Context(), []notifications.Push{p})
				})
			}
			wg.Wait()
			if err := errors.Join(errs[1:]...); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever an error says can be stored.
func TestAProblemOfAnyText(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Retries = time.Nanosecond
			j, p := open(t, e.location(t), d), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			for range 2 { // the first failure, and one after Retries
				p.next(t).answer <- answer{progress: gatekeeper.Progress{Verdict: policy.VerdictError, Reason: "curl 1.0\x00\xff" + strings.Repeat("x", 4000)}}
			}
			if s := awaitState(t, j, "v1", "error"); !strings.HasPrefix(s.Problem, "curl 1.0\uFFFD\uFFFDx") {
				t.Errorf("%.20q", s.Problem)
			}
		})
	}
}
