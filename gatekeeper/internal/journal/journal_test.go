package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestAcceptCountsWhatIsNewAndWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			event := pushOf("v2", digest("b"))
			event.EventID = "event-1"
			retagged := event
			retagged.Tag = "v3"
			for _, step := range []struct {
				name   string
				pushes []notifications.Push
				want   notifications.Receipt
			}{
				{"nothing", nil, notifications.Receipt{}},
				{"a push", []notifications.Push{pushOf("v1", digest("a"))}, notifications.Receipt{Accepted: 1}},
				{"the same while it waits", []notifications.Push{pushOf("v1", digest("a"))}, notifications.Receipt{Duplicates: 1}},
				{"another digest", []notifications.Push{pushOf("v1", digest("b"))}, notifications.Receipt{Accepted: 1}},
				{"back to the first", []notifications.Push{pushOf("v1", digest("a"))}, notifications.Receipt{Accepted: 1}},
				{"twice in one call", []notifications.Push{event, event}, notifications.Receipt{Accepted: 1, Duplicates: 1}},
				{"a repeated event, whatever it says", []notifications.Push{retagged}, notifications.Receipt{Duplicates: 1}},
				{"without tag", []notifications.Push{pushOf("", digest("a")), pushOf("", digest("b"))}, notifications.Receipt{Accepted: 2}},
			} {
				if diff := cmp.Diff(step.want, accept(t, j, step.pushes...)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", step.name, diff)
				}
			}
		})
	}
}

func TestManyCallersAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			const callers = 64
			var wg sync.WaitGroup
			errs := make([]error, callers)
			for i := range callers {
				wg.Go(func() {
					_, errs[i] = j.Accept(t.Context(), []notifications.Push{pushOf(fmt.Sprintf("v%d", i), digest("a"))})
				})
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			q, err := j.Queue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := q.Pushes["queued"]; got != callers {
				t.Errorf("%d pushes are queued, want %d", got, callers)
			}
		})
	}
}

func TestAPushIsProcessedUntilItsVerdictIsFinal(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			c := p.next(t)
			if c.push.Repository != "team/app" || c.push.Tag != "v1" || c.push.Digest != digest("a") || c.push.Attempt != 0 {
				t.Errorf("processed %+v", c.push)
			}
			c.pending(time.Now().Add(10 * time.Millisecond))
			p.next(t).verdict(policy.VerdictRejected)
			awaitState(t, j, "v1", "rejected")
		})
	}
}

func TestAFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			for i, a := range []answer{
				{err: errors.New("the registry is down")},
				{panics: true},
				{progress: gatekeeper.Progress{Verdict: policy.VerdictError, Reason: "no database"}},
			} {
				c := p.next(t)
				if c.push.Attempt != i {
					t.Errorf("attempt %d says it is number %d", i, c.push.Attempt)
				}
				c.answer <- a
			}
			s := awaitState(t, j, "v1", "retrying")
			if s.Problem != "no database" && s.Problem != "judging crashed: as the test asked" {
				t.Errorf("problem %q", s.Problem)
			}
			c := p.next(t)
			if c.push.Attempt != 3 {
				t.Errorf("the fourth attempt says it is number %d", c.push.Attempt)
			}
			c.verdict(policy.VerdictPromoted)
			if s := awaitState(t, j, "v1", "promoted"); s.Problem != "" || s.Push.Attempt != 0 {
				t.Errorf("after success: %+v", s)
			}
		})
	}
}

func TestAFailureThatLastsEndsAsError(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Retries = time.Nanosecond
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			for range 2 {
				p.next(t).answer <- answer{err: errors.New("the registry is down")}
			}
			awaitState(t, j, "v1", "error")
			// Evidence that arrives afterwards is a reason to try again.
			if n, err := j.Wake(t.Context(), "staging", "team/app", digest("a")); n != 1 || err != nil {
				t.Fatalf("wake: %d, %v", n, err)
			}
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
		})
	}
}

// How long a failure may last counts from its first moment, not from when the
// push came.
func TestAnOldPushIsTriedAgainToo(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			accept(t, j, pushOf("v1", digest("a")))
			if err := j.Age(t.Context(), 48*time.Hour); err != nil {
				t.Fatal(err)
			}
			run(t, j, p)
			for range 3 {
				p.next(t).answer <- answer{err: errors.New("a hiccup")}
			}
			p.next(t).verdict(policy.VerdictRejected)
			awaitState(t, j, "v1", "rejected")
		})
	}
}

// A deadline that is further away than River's scheduler looks comes too.
func TestADeadlineComes(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			deadline := time.Now().Add(6 * time.Second)
			p.next(t).pending(deadline)
			c := p.next(t)
			if early := time.Until(deadline); early > 0 {
				t.Errorf("looked at %s before the deadline", early)
			}
			c.verdict(policy.VerdictRejected)
			awaitState(t, j, "v1", "rejected")
		})
	}
}

func TestOneSlowPushHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("slow", digest("a")))
			slow := p.next(t)
			accept(t, j, pushOf("quick", digest("b")))
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "quick", "promoted")
			slow.verdict(policy.VerdictPromoted)
			awaitState(t, j, "slow", "promoted")
		})
	}
}

func TestEvidenceWakesItsSubject(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hour := time.Now().Add(time.Hour)
			signature := pushOf("sha256-"+strings.Repeat("a", 64)+".sig", digest("f"))
			t.Run("that waits", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")))
				p.next(t).pending(hour)
				awaitState(t, j, "v1", "pending")
				accept(t, j, signature)
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
			})
			t.Run("that has it in a platform", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")), pushOf("v2", digest("b")))
				for range 2 {
					c := p.next(t)
					subject := policy.Subject{Registry: c.push.Source, Repository: c.push.Repository, Digest: c.push.Digest}
					platforms := map[string][]string{digest("a"): {digest("d"), digest("c")}, digest("b"): {digest("e")}}[c.push.Digest]
					for range 2 { // as each judgement does
						if err := j.Watch(t.Context(), subject, platforms); err != nil {
							t.Error(err)
						}
					}
					c.pending(hour)
				}
				awaitState(t, j, "v1", "pending")
				awaitState(t, j, "v2", "pending")
				accept(t, j, pushOf("sha256-"+strings.Repeat("c", 64)+".att", digest("f")))
				c := p.next(t)
				if c.push.Tag != "v1" {
					t.Errorf("%s was woken", c.push.Tag)
				}
				c.verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
				if n, err := j.Wake(t.Context(), "staging", "team/other", digest("e")); n != 0 || err != nil {
					t.Errorf("by another repository's platform: %d, %v", n, err)
				}
			})
			t.Run("while it is judged", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")))
				c := p.next(t)
				accept(t, j, signature)
				c.pending(hour)
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
			})
			t.Run("again, when the tag is visible only after its notification", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")))
				p.next(t).pending(hour)
				awaitState(t, j, "v1", "pending")
				accept(t, j, signature)
				p.next(t).pending(hour) // the signature cannot be read yet
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
			})
			t.Run("that was refused", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")))
				p.next(t).verdict(policy.VerdictRejected)
				awaitState(t, j, "v1", "rejected")
				accept(t, j, signature)
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
			})
			t.Run("but not one that is golden, and none that was overtaken", func(t *testing.T) {
				j, p := e.openNew(t), newProcessor()
				run(t, j, p)
				accept(t, j, pushOf("v1", digest("a")))
				p.next(t).verdict(policy.VerdictRejected)
				awaitState(t, j, "v1", "rejected")
				accept(t, j, pushOf("v1", digest("b")))
				p.next(t).verdict(policy.VerdictPromoted)
				awaitState(t, j, "v1", "promoted")
				for _, subject := range []string{digest("a"), digest("b"), digest("c")} {
					if n, err := j.Wake(t.Context(), "staging", "team/app", subject); n != 0 || err != nil {
						t.Errorf("wake %s: %d, %v", subject, n, err)
					}
				}
			})
		})
	}
}

func TestANewerPushHasTheOlderLookAgain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			first := p.next(t)
			if _, overtaken, err := j.Overtaken(t.Context(), first.push); overtaken || err != nil {
				t.Fatalf("overtaken %t, %v", overtaken, err)
			}
			first.pending(time.Now().Add(time.Hour))
			awaitState(t, j, "v1", "pending")
			accept(t, j, pushOf("v1", digest("b")))
			for range 2 {
				c := p.next(t)
				by, overtaken, err := j.Overtaken(t.Context(), c.push)
				if err != nil {
					t.Fatal(err)
				}
				switch older := c.push.Digest == digest("a"); {
				case overtaken != older:
					t.Errorf("push of %s: overtaken %t", c.push.Digest, overtaken)
				case older && by.Digest != digest("b"):
					t.Errorf("overtaken by %s", by.Digest)
				}
				c.verdict(policy.VerdictSuperseded)
			}
		})
	}
}

func TestADigestIsSetOnce(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			accept(t, j, pushOf("v1", ""))
			s := awaitState(t, j, "v1", "queued")
			for _, d := range []string{digest("a"), digest("b")} {
				if err := j.SetDigest(t.Context(), s.Push.ID, gatekeeper.Descriptor{Digest: d, MediaType: "m"}); err != nil {
					t.Fatal(err)
				}
			}
			if got := awaitState(t, j, "v1", "queued").Push.Digest; got != digest("a") {
				t.Errorf("digest %s", got)
			}
		})
	}
}

func TestWorkSurvivesARestart(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := e.location(t)
			j, p := open(t, path, deps(t)), newProcessor()
			stop := run(t, j, p)
			accept(t, j, pushOf("waiting", digest("a")))
			p.next(t).pending(time.Now().Add(time.Hour))
			awaitState(t, j, "waiting", "pending")
			stop()
			accept(t, j, pushOf("queued", digest("b")))
			closeJournal(t, j)

			j, p = open(t, path, deps(t)), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "queued", "promoted")
			if _, err := j.Wake(t.Context(), "staging", "team/app", digest("a")); err != nil {
				t.Fatal(err)
			}
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "waiting", "promoted")
		})
	}
}

func TestOneProcessAtATimeOpensAFile(t *testing.T) {
	path := sqliteLocation(t)
	j := open(t, path, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	_, err := journal.Open(t.Context(), path, deps(t))
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second opener gets %v", err)
	}
}

func TestLocationsThatNameNoStorageAreRefused(t *testing.T) {
	for _, location := range []string{"", "sqlite://", "postgres://%zz", "postgres://127.0.0.1:1/gatekeeper", "mysql://db", "/var/lib/gatekeeper.db"} {
		if _, err := journal.Open(t.Context(), location, deps(t)); err == nil {
			t.Errorf("%q is opened", location)
		}
	}
}

func TestReadyAndAcceptFailOnceClosed(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := open(t, e.location(t), deps(t))
			if err := j.Ready(t.Context()); err != nil {
				t.Errorf("an open journal: %v", err)
			}
			closeJournal(t, j)
			if err := j.Ready(t.Context()); err == nil {
				t.Error("a closed journal is ready")
			}
			if _, err := j.Accept(context.WithoutCancel(t.Context()), []notifications.Push{pushOf("v1", digest("a"))}); err == nil {
				t.Error("a closed journal accepts")
			}
		})
	}
}
