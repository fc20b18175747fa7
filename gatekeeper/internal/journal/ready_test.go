package journal_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
)

// Many questions whether the service is ready write to the disk once, and wait
// for no intake that waits itself.
func TestReadinessCostsLittleAndWaitsForNoIntake(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	conn := connect(t, location)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lockIntake(t, tx)
	version := func() (v string) {
		if err := conn.QueryRow(t.Context(), "SELECT xmin::text FROM probe").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	seen := map[string]bool{version(): true}
	for range 50 {
		if err := j.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen[version()] = true
	}
	if len(seen) < 2 || len(seen) > 5 { // one a second
		t.Errorf("50 questions were %d writes", len(seen)-1)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}

func lockIntake(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(journal.IntakeLock)); err != nil {
		t.Fatal(err)
	}
}
