package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Of a push that stays, what was decided long ago goes, but for the last word
// and for what made something golden.
func TestOldDecisionsOfAPushThatStaysGo(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := pushed(t, j, "v1", digest("a"))
			want := map[int64]bool{}
			decided := func(v policy.Verdict, stays bool) gatekeeper.Decision {
				t.Helper()
				d := decide(t, j, p, v)
				want[d.ID] = stays
				return d
			}
			decided(policy.VerdictPending, false)
			golden := decided(policy.VerdictPromoted, true)
			ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: "v1", Digest: p.Digest, PushID: p.ID}
			if err := j.RecordGolden(t.Context(), golden.ID, []gatekeeper.GoldenReference{ref}); err != nil {
				t.Fatal(err)
			}
			decided(policy.VerdictPromoted, false)
			decided(policy.VerdictRejected, true)
			decided(policy.VerdictError, false)
			decided(policy.VerdictError, true)
			if err := j.Age(t.Context(), 2*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("now", digest("b")))
			wantLeft(t, j, 2)
			wantDecisions(t, j, want)
		})
	}
}

// A push that was judged more often than a statement has arguments goes too.
func TestAPushThatWasJudgedVeryOftenGoes(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			p := pushed(t, j, "v1", digest("a"))
			if err := j.JudgedOften(t.Context(), p.ID, 70000); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("v1", digest("b")))
			if _, err := j.Judged(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if err := j.Age(t.Context(), 2*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("now", digest("c")))
			wantLeft(t, j, 2)
		})
	}
}

// Evidence that a decision is just about to refer to stays, and what is old
// goes all the same.
func TestEvidenceThatIsReferredToMeanwhileStays(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	d := deps(t)
	d.Keep = day
	j := open(t, location, d)
	t.Cleanup(func() { closeJournal(t, j) })
	old := pushed(t, j, "v1", digest("a"))
	decide(t, j, old, policy.VerdictRejected)
	if _, err := j.Judged(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := j.Age(t.Context(), 2*day); err != nil {
		t.Fatal(err)
	}
	newer := pushed(t, j, "v1", digest("b"))
	conn := connect(t, location)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), `INSERT INTO decisions (push_id, source, repository, tag, digest, verdict, policies, decided_at, body, evidence)
		SELECT $1, source, repository, tag, digest, verdict, policies, $2, body, evidence FROM decisions`, newer.ID, time.Now().UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- j.Forget(t.Context()) }()
	awaitTrue(t, connect(t, location), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	last, err := j.LastDecision(t.Context(), newer.ID)
	if err != nil {
		t.Fatal(err)
	}
	if full, err := j.Decision(t.Context(), last.ID); err != nil || full.Evidence == nil {
		t.Errorf("the evidence is gone: %+v, %v", full, err)
	}
	wantLeft(t, j, 1)
}

// What is old is found behind any number of pushes that stay, and what came
// later than that is not looked at.
func TestWhatIsOldIsFoundBehindWhatStays(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			const stay = 2500 // more than one query looks at
			for i := range stay / 500 {
				var some []notifications.Push
				for n := range 500 {
					some = append(some, pushOf(fmt.Sprintf("v%d", i*500+n), digest("e")))
				}
				accept(t, j, some...)
			}
			accept(t, j, pushOf("v", digest("a")), pushOf("v", digest("b")))
			if _, err := j.Judged(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if err := j.Age(t.Context(), 2*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, pushOf("now", digest("c")))
			wantLeft(t, j, stay+2)
			for before, looksAt := range map[time.Duration]bool{day: true, 3 * day: false} {
				if until, err := j.OldUntil(t.Context(), time.Now().Add(-before), 0); err != nil || (until > 0) != looksAt {
					t.Errorf("what is older than %s is looked for until push %d, %v", before, until, err)
				}
			}
		})
	}
}
