package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What was committed is there after a restart and after a kill, at the same
// URL.
func TestDataSurvives(t *testing.T) {
	s := postgres.Start(t)
	database := s.NewDatabase(t)
	exec := func(query string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Error(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	exec("CREATE TABLE t (n int)")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO t VALUES (1)")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec("SELECT 1/n FROM t")
}
