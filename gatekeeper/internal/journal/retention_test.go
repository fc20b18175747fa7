package journal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A clock that jumps ahead makes nothing old: neither while the service runs
// and pushes come, nor when it starts with a wrong clock.
func TestAClockThatIsAheadRemovesNothing(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, location := new(jumping), e.location(t)
			d := deps(t)
			d.Now, d.Keep = c.now, day
			j := open(t, location, d)
			accept(t, j, pushOf("v1", digest("a")), pushOf("v1", digest("b")))
			if _, err := j.Judged(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			c.jump(30 * day)
			accept(t, j, pushOf("v2", digest("c")))
			wantLeft(t, j, 3)
			closeJournal(t, j)

			c.jump(0)
			j = open(t, location, d)
			accept(t, j, pushOf("v3", digest("d")))
			closeJournal(t, j)
			c.jump(30 * day)
			j = open(t, location, d)
			t.Cleanup(func() { closeJournal(t, j) })
			wantLeft(t, j, 4)
			c.jump(0)
		})
	}
}

// Platforms are remembered for as long as a push of their index is.
func TestPlatformsGoWithTheirIndex(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			accept(t, j, pushOf("v1", digest("a")), pushOf("v1", digest("b")), pushOf("v1", digest("c")), pushOf("other", digest("b")))
			for index, platforms := range map[string][]string{"a": {"1", "2"}, "b": {"1", "3"}, "c": {"4"}} {
				for i := range platforms {
					platforms[i] = digest(platforms[i])
				}
				if err := j.Watch(t.Context(), policy.Subject{Registry: "staging", Repository: "team/app", Digest: digest(index)}, platforms); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := j.Judged(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if err := j.Age(t.Context(), 2*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("now", digest("e")))
			wantLeft(t, j, 3) // the newest of each tag
			if n, err := j.Watched(t.Context()); n != 3 || err != nil {
				t.Errorf("%d platforms are watched, %v; want those of b and c", n, err)
			}
		})
	}
}

// wantLeft forgets what is old and counts what is left.
func wantLeft(t *testing.T, j *journal.Journal, want int) {
	t.Helper()
	if err := j.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := j.Judged(t.Context(), ""); err != nil || n != want {
		t.Errorf("%d pushes are left, %v; want %d", n, err, want)
	}
}

// Thousands of old records go while pushes are accepted, and take along neither
// what a golden tag refers to nor evidence that others share.
func TestManyOldRecordsGoWithoutHoldingUpIntake(t *testing.T) {
	t.Parallel()
	const old, tags = 2000, 10
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			var pushes []notifications.Push
			for i := range old {
				pushes = append(pushes, pushOf(fmt.Sprintf("v%d", i%tags), fmt.Sprintf("sha256:%064d", i)))
			}
			for some := range slices.Chunk(pushes, 100) {
				accept(t, j, some...)
			}
			accept(t, j, pushOf("golden", digest("a")), pushOf("golden", digest("b")), pushOf("other", digest("c")), pushOf("other", digest("d")))
			newest, err := j.Lookup(t.Context(), "team/app", "v1")
			if err != nil {
				t.Fatal(err)
			}
			shared := decide(t, j, newest.Push, policy.VerdictRejected)
			golden, other := lookup(t, j, digest("a")), lookup(t, j, digest("c"))
			promoted := decide(t, j, golden, policy.VerdictPromoted)
			// The tag's origin is another push than the one that was judged.
			err = j.RecordGolden(t.Context(), promoted.ID, []gatekeeper.GoldenReference{
				{Registry: "golden", Repository: "team/app", Tag: "golden", Digest: golden.Digest, PushID: other.ID, At: time.Now()},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Judged(t.Context(), string(shared.Verdict)); err != nil {
				t.Fatal(err)
			}
			if err := j.Age(t.Context(), 2*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("now", digest("e")))

			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { done <- j.Forget(ctx) }()
			slowest, accepted := time.Duration(0), 0
			for forgetting := true; forgetting; accepted++ {
				began := time.Now()
				accept(t, j, pushOf(fmt.Sprintf("meanwhile-%d", accepted), digest("f")))
				slowest = max(slowest, time.Since(began))
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					forgetting = false
				default:
				}
			}
			t.Logf("%d pushes accepted meanwhile, the slowest in %s", accepted, slowest)
			if accepted < 2 {
				t.Errorf("intake is held up: %d pushes accepted", accepted)
			}
			// Left: the newest of each tag, the two that golden refers to, and what came since.
			if n, err := j.Judged(t.Context(), ""); err != nil || n != tags+2+2+1+accepted {
				t.Errorf("%d pushes are left, %v; want %d", n, err, tags+2+2+1+accepted)
			}
			wantDecisions(t, j, map[int64]bool{shared.ID: false, promoted.ID: true}) // there is a newer one by the shared evidence
			last, err := j.LastDecision(t.Context(), newest.Push.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := j.Decision(t.Context(), last.ID); err != nil || d.Evidence == nil {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

func lookup(t *testing.T, j *journal.Journal, digest string) gatekeeper.Push {
	t.Helper()
	s, err := j.Lookup(t.Context(), "team/app", digest)
	if err != nil {
		t.Fatal(err)
	}
	return s.Push
}

// Jobs that are done do not pile up.
func TestJobsThatAreDoneGo(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			location := e.location(t)
			j, p := open(t, location, deps(t)), newProcessor()
			stop := run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
			stop()
			if n, err := j.JobsDone(t.Context(), time.Hour); err != nil || n == 0 {
				t.Fatalf("%d jobs, %v", n, err)
			}
			closeJournal(t, j)
			j = open(t, location, deps(t))
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for n := 1; n > 0; {
				var err error
				if n, err = j.JobsDone(ctx, 0); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
