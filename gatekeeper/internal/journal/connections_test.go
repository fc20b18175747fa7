package journal_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

// connect opens a connection beside the journal's.
func connect(t *testing.T, location string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// awaitTrue asks until the answer is yes.
func awaitTrue(t *testing.T, conn *pgx.Conn, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for yes := false; !yes; {
		if err := conn.QueryRow(ctx, query).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

func withParameter(location, parameter string) string {
	if strings.Contains(location, "?") {
		return location + "&" + parameter
	}
	return location + "?" + parameter
}

// Many reads that take long hold up no webhook.
func TestSlowReadsDoNotHoldUpIntake(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 50 {
		readers.Go(func() { j.ReadSlowly(ctx) })
	}
	defer readers.Wait()
	defer cancel()
	awaitTrue(t, connect(t, location), "SELECT count(*) >= 8 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
	accepting, late := context.WithTimeout(ctx, 5*time.Second)
	defer late()
	if _, err := j.Accept(accepting, []notifications.Push{pushOf("v1", digest("a"))}); err != nil {
		t.Error(err)
	}
	if err := j.Ready(accepting); err != nil {
		t.Error(err)
	}
}

// What the operator says about connections counts, and else what is good for
// processes that hang.
func TestConnectionsHaveTimeouts(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	for parameter, want := range map[string]string{"application_name=gatekeeper": "1min", "statement_timeout=7s": "7s"} {
		j := open(t, withParameter(location, parameter), deps(t))
		if got, err := j.Setting(t.Context(), "statement_timeout"); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %s", parameter, got, err, want)
		}
		if got, err := j.Setting(t.Context(), "jit"); err != nil || got != "off" {
			t.Errorf("the server compiles plans that it takes for expensive: %q, %v", got, err)
		}
		if got, err := j.Setting(t.Context(), "idle_in_transaction_session_timeout"); err != nil || got != "30s" {
			t.Errorf("%s: %q, %v", parameter, got, err)
		}
		closeJournal(t, j)
	}
}

// Changing large tables takes longer than a query may, and so does waiting for
// the process that does.
func TestMigrationsHaveNoTimeout(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	other := connect(t, location)
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_lock($1)", int64(journal.MigrationLock)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- journal.Migrate(t.Context(), withParameter(location, "statement_timeout=100"), nil, deps(t).Log)
	}()
	awaitTrue(t, other, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
		AND wait_event = 'advisory' AND clock_timestamp() - query_start > make_interval(secs => 0.5))`)
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", int64(journal.MigrationLock)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What is wrong with a URL is said, but no password that is in it.
func TestAURLThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for location, says := range map[string]string{
		"postgres://me:geheim@db/gatekeeper?sslmode=verify-full&sslrootcert=/nowhere/ca.pem":          "/nowhere/ca.pem",
		"postgres://me@db/gatekeeper?sslmode=verify-full&password=geheim&sslrootcert=/nowhere/ca.pem": "/nowhere/ca.pem",
		"postgres://me:geheim@db/gatekeeper?sslmode=sometimes":                                        "sslmode",
		"postgres://me:geheim@db:port/gatekeeper":                                                     "not understood",
		"postgres://me:ge%zzheim@db/gatekeeper":                                                       "not understood",
	} {
		_, err := journal.Open(t.Context(), location, deps(t))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "heim") {
			t.Errorf("%s: %v", location, err)
		}
	}
}

// Jobs of others in the same schema are theirs.
func TestOnlyOwnJobsAreTakenUp(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	j := open(t, location, deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	acceptQueued(t, j, pushOf("v1", digest("a")))
	conn := connect(t, location)
	for _, query := range []string{
		"UPDATE river_job SET state = 'running', attempted_by = ARRAY['dead']",
		"INSERT INTO river_job (kind, state, args, max_attempts, attempted_by) VALUES ('other', 'running', '{}', 1, ARRAY['elsewhere'])",
	} {
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if orphans, err := j.Orphans(t.Context()); err != nil || len(orphans) != 1 {
		t.Errorf("%v, %v; want the one of the push", orphans, err)
	}
}
