package journal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestReconcileTakesWhatWasMissed(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Retries = time.Nanosecond
			j, p := open(t, e.location(t), d), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			accept(t, j, pushOf("known", digest("a")))
			p.next(t).verdict(policy.VerdictRejected)
			awaitState(t, j, "known", "rejected")
			accept(t, j, pushOf("failed", digest("b")))
			for range 2 {
				p.next(t).answer <- answer{err: errors.New("outage")}
			}
			awaitState(t, j, "failed", "error")

			signature := pushOf(strings.Replace(digest("a"), ":", "-", 1)+".sig", digest("e"))
			found := []notifications.Push{
				pushOf("known", digest("a")), pushOf("failed", digest("b")), pushOf("moved", digest("c")), signature,
			}
			// A reading that may be older than what is known changes nothing.
			stale := slices.Clone(found)
			stale[0].Digest = digest("d")
			if missed, err := j.Reconcile(t.Context(), stale[:2]); err != nil || missed != 0 {
				t.Errorf("from before: missed %d, %v", missed, err)
			}
			for i := range found {
				found[i].Time = time.Now()
			}
			missed, err := j.Reconcile(t.Context(), found)
			if err != nil || missed != 2 {
				t.Errorf("missed %d, %v; want 2: what moved, and the signature", missed, err)
			}
			// What failed is judged again, and the signature wakes its subject.
			got := map[string]bool{}
			for range 3 {
				c := p.next(t)
				got[c.push.Tag] = true
				c.verdict(policy.VerdictPromoted)
			}
			for _, tag := range []string{"known", "failed", "moved"} {
				if !got[tag] {
					t.Errorf("%s is not looked at", tag)
				}
				awaitState(t, j, tag, "promoted")
			}
			if missed, err := j.Reconcile(t.Context(), found); err != nil || missed != 0 {
				t.Errorf("the second time: missed %d, %v", missed, err)
			}
		})
	}
}

// What a tag was found to point to is judged, and what was taken for overtaken.
func TestWhatATagPointsToIsJudged(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			older := p.next(t)
			older.verdict(policy.VerdictSuperseded)
			awaitState(t, j, "v1", "superseded")
			if err := j.Notice(t.Context(), older.push, gatekeeper.Descriptor{Digest: digest("b")}); err != nil {
				t.Fatal(err)
			}
			c := p.next(t)
			if c.push.Digest != digest("b") {
				t.Errorf("%+v", c.push)
			}
			c.verdict(policy.VerdictPromoted)
			awaitState(t, j, "v1", "promoted")
			if err := j.Notice(t.Context(), older.push, gatekeeper.Descriptor{Digest: digest("c")}); err != nil {
				t.Fatal(err)
			}
			if s := awaitState(t, j, "v1", "promoted"); s.Push.Digest != digest("b") {
				t.Error("a newer push was known")
			}
			found := pushOf("v2", digest("d"))
			accept(t, j, found)
			p.next(t).verdict(policy.VerdictSuperseded)
			awaitState(t, j, "v2", "superseded")
			found.Time = time.Now()
			if missed, err := j.Reconcile(t.Context(), []notifications.Push{found}); err != nil || missed != 1 {
				t.Errorf("missed %d, %v", missed, err)
			}
			p.next(t).verdict(policy.VerdictPromoted)
			awaitState(t, j, "v2", "promoted")
		})
	}
}

func TestWhatWaitsIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("waits", digest("a")))
			p.next(t).pending(time.Now().Add(time.Hour))
			awaitState(t, j, "waits", "pending")
			for source, want := range map[string]int{"staging": 1, "another": 0} {
				if n, err := j.LookAgain(t.Context(), source); err != nil || n != want {
					t.Errorf("%s: %d, %v; want %d", source, n, err, want)
				}
			}
			p.next(t).verdict(policy.VerdictPromoted)
		})
	}
}

// What was judged by something else than what is in force now is judged again:
// what is golden without any effect.
func TestAChangeJudgesAgainWhatItConcerns(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			for tag, verdict := range map[string]policy.Verdict{"golden": policy.VerdictPromoted, "refused": policy.VerdictRejected, "overtaken": policy.VerdictSuperseded} {
				accept(t, j, pushOf(tag, digest("a")))
				c := p.next(t)
				if verdict == policy.VerdictPromoted {
					record(t, j, c.push)
				}
				c.answer <- answer{progress: gatekeeper.Progress{Verdict: verdict, JudgedBy: "before"}}
				awaitState(t, j, tag, string(verdict))
			}
			in := func(now string) func(string, string, string) string {
				return func(string, string, string) string { return now }
			}
			for now, want := range map[string]int{"before": 0, "": 0, "now": 2} {
				if n, err := j.Rejudge(t.Context(), in(now)); err != nil || n != want {
					t.Errorf("in force %q: %d, %v; want %d", now, n, err, want)
				}
			}
			for range 2 {
				c := p.next(t)
				if c.push.Golden != (c.push.Tag == "golden") {
					t.Errorf("%+v", c.push)
				}
				verdict := policy.VerdictRejected
				if c.push.Golden {
					verdict = policy.VerdictPromoted
				}
				c.answer <- answer{progress: gatekeeper.Progress{Verdict: verdict, JudgedBy: "now"}}
			}
			awaitState(t, j, "refused", "rejected")
			awaitState(t, j, "golden", "promoted")
			awaitRejudged(t, j, "now")
		})
	}
}

// awaitRejudged polls until everything was judged by what is in force; then
// nothing is left to judge again.
func awaitRejudged(t *testing.T, j *journal.Journal, now string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		others, err := j.NotJudgedBy(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		if others == 0 {
			break
		}
		<-tick.C
	}
	if n, err := j.Rejudge(ctx, func(string, string, string) string { return now }); err != nil || n != 0 {
		t.Errorf("%d are judged again, %v", n, err)
	}
}

// record has a push written to golden.
func record(t *testing.T, j *journal.Journal, p gatekeeper.Push) {
	t.Helper()
	d := decide(t, j, p, policy.VerdictPromoted, "services")
	err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{
		{Registry: "golden", Repository: p.Repository, Tag: p.Tag, Digest: p.Digest, PushID: p.ID, At: d.DecidedAt},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A change while a push is judged by what was in force before is not lost.
func TestAChangeDuringAJudgementIsNotLost(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, p := e.openNew(t), newProcessor()
			run(t, j, p)
			accept(t, j, pushOf("v1", digest("a")))
			c := p.next(t)
			if n, err := j.Rejudge(t.Context(), func(string, string, string) string { return "now" }); err != nil || n != 1 {
				t.Fatalf("%d, %v", n, err)
			}
			record(t, j, c.push)
			c.answer <- answer{progress: gatekeeper.Progress{Verdict: policy.VerdictPromoted, JudgedBy: "before"}}
			if c = p.next(t); !c.push.Golden {
				t.Errorf("%+v", c.push)
			}
			// An outage takes nothing from what is golden.
			c.answer <- answer{err: errors.New("outage")}
			c = p.next(t)
			c.answer <- answer{progress: gatekeeper.Progress{Verdict: policy.VerdictPromoted, JudgedBy: "now"}}
			awaitState(t, j, "v1", "promoted")
		})
	}
}

func TestOldRecordsAreRemovedUnlessSomethingRefersToThem(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = 24 * time.Hour
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := newProcessor()
			stop := run(t, j, p)
			judged := func(tag, digest string, golden bool) (decision int64) {
				accept(t, j, pushOf(tag, digest))
				c := p.next(t)
				if golden {
					record(t, j, c.push)
				} else {
					decide(t, j, c.push, policy.VerdictRejected)
				}
				c.verdict(policy.VerdictRejected)
				return awaitState(t, j, tag, "rejected").Decision.ID
			}
			overtaken, newest := judged("v1", digest("a"), false), judged("v1", digest("b"), false)
			golden := judged("v2", digest("c"), true)
			judged("v2", digest("d"), false)
			stop()
			if err := j.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantDecisions(t, j, map[int64]bool{overtaken: true, newest: true, golden: true})
			if err := j.Age(t.Context(), 48*time.Hour); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("v3", digest("e"))) // says what time it is
			if err := j.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantDecisions(t, j, map[int64]bool{overtaken: false, newest: true, golden: true})
		})
	}
}

// wantDecisions compares which decisions there are, with their evidence.
func wantDecisions(t *testing.T, j *journal.Journal, there map[int64]bool) {
	t.Helper()
	for id, want := range there {
		d, err := j.Decision(t.Context(), id)
		if got := err == nil && d.Evidence != nil; got != want || err != nil && !errors.Is(err, gatekeeper.ErrNotFound) {
			t.Errorf("decision %d: there %v, want %v (%v)", id, got, want, err)
		}
	}
}

// Periodic work is done from the start on, whatever becomes of it.
func TestTasksAreDone(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails, crashes := make(chan struct{}), make(chan struct{})
			told := func(signal chan struct{}) { // or nobody listens any more
				select {
				case signal <- struct{}{}:
				default:
				}
			}
			d := deps(t)
			d.Tasks = []journal.Task{
				{Name: "fails", Every: time.Millisecond, Run: func(context.Context) error { told(fails); return errors.New("outage") }},
				{Name: "crashes", Every: time.Millisecond, Run: func(context.Context) error { told(crashes); panic("as the test asked") }},
			}
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, newProcessor())
			for range 2 {
				awaitSignal(t, fails, "the task that fails is not done")
				awaitSignal(t, crashes, "the task that crashes is not done")
			}
		})
	}
}
