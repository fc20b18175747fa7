package journal_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// What is recorded can be read while the journal is in use: of each push the
// last decision by evidence.
func TestTheJournalIsReadBesideItsOwner(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			location := e.location(t)
			j := open(t, location, deps(t))
			t.Cleanup(func() { closeJournal(t, j) })
			first := pushed(t, j, "v1", digest("a"))
			decide(t, j, first, policy.VerdictPending, "services")
			wanted := decide(t, j, first, policy.VerdictPromoted, "services")
			second := decide(t, j, pushed(t, j, "v2", digest("b")), policy.VerdictRejected, "services")
			bare := gatekeeper.Decision{Push: first, Verdict: policy.VerdictSuperseded, DecidedAt: first.ReceivedAt.Add(time.Minute), Results: []policy.Result{}}
			if _, err := j.RecordDecision(t.Context(), bare); err != nil {
				t.Fatal(err)
			}
			r, err := journal.OpenReader(t.Context(), location, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			read := func(since time.Time, limit int) (found []gatekeeper.Decision) {
				t.Helper()
				err := r.Last(t.Context(), since, limit, func(recorded journal.Recorded) error {
					d, err := recorded.Decode()
					found = append(found, d)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			all := read(first.ReceivedAt, 10)
			if len(all) != 2 || all[0].ID != second.ID || all[1].ID != wanted.ID || all[1].Evidence == nil || all[1].Evidence.Subject.Digest != digest("a") {
				t.Errorf("%+v", all)
			}
			if some := read(first.ReceivedAt, 1); len(some) != 1 || some[0].ID != second.ID {
				t.Errorf("at most one: %+v", some)
			}
			if none := read(first.ReceivedAt.Add(time.Hour), 10); len(none) != 0 {
				t.Errorf("since later: %+v", none)
			}
			decide(t, j, pushed(t, j, "v3", digest("c")), policy.VerdictRejected, "services") // goes on
			if all := read(first.ReceivedAt, 10); len(all) != 3 {
				t.Errorf("%d after another decision", len(all))
			}
			if err := j.FromANewerVersion(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := journal.OpenReader(t.Context(), location, nil); err == nil || !strings.Contains(err.Error(), "newer version") {
				t.Errorf("tables of a newer version: %v", err)
			}
		})
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"sqlite://" + filepath.Join(t.TempDir(), "none.db"): "nothing is kept there yet",
		"mysql://db/gatekeeper":                             "not understood",
		"postgres://me@127.0.0.1:1/gatekeeper":              "PostgreSQL",
	} {
		if _, err := journal.OpenReader(t.Context(), location, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", location, err, want)
		}
	}
}
