package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// What keeps a journal from being opened is one line that names the place and
// the remedy, and no secret.
func TestTroubleWithTheStorageIsSaidInPlainWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const secret = "correct-horse"
	for _, tt := range []struct {
		name, location string
		want           []string
	}{
		{"no database", "sqlite://" + write("junk.db", strings.Repeat("junk", 200)), []string{"junk.db", "no sound database", "backup"}},
		{"no server", "postgres://keeper:" + secret + "@127.0.0.1:1/gate", []string{"127.0.0.1:1", "database gate", "user keeper", "refused", "storage.url"}},
		{"several servers", "postgres://keeper:" + secret + "@127.0.0.1:1,127.0.0.1:2/gate", []string{"127.0.0.1:1", "refused"}},
		{"no such name", "postgres://keeper:" + secret + "@no-such-host.invalid/gate", []string{"no-such-host.invalid", "not found", "storage.url"}},
		{"no URL", "postgres://keeper:" + secret + "%@h/gate", []string{"not understood", "postgres://USER@HOST"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			wantWords(t, journal.Migrate(ctx, tt.location, nil, deps(t).Log), tt.want...)
		})
	}
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing in: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "correct-horse") {
		t.Errorf("several lines, or a secret: %v", err)
	}
}

func TestADatabaseThatIsNotThere(t *testing.T) {
	t.Parallel()
	location := strings.Replace(postgresLocation(t), "/test_", "/no_such_", 1)
	wantWords(t, journal.Migrate(t.Context(), location, nil, deps(t).Log), "does not exist", "create the database")
}

func TestAPasswordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	unreadable := errors.New("storage.passwordFile: no such file")
	err := journal.Migrate(t.Context(), postgresLocation(t), func() (string, error) { return "", unreadable }, deps(t).Log)
	if wantWords(t, err, "storage.passwordFile"); !errors.Is(err, unreadable) {
		t.Error(err)
	}
}

// withPassword has the server of a database ask a user for a password.
func withPassword(t *testing.T, database, user, password string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	var file string
	if err := conn.QueryRow(t.Context(), "SHOW hba_file").Scan(&file); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", user, password),
		fmt.Sprintf("COPY (SELECT unnest(ARRAY['local all %s scram-sha-256', 'local all all trust'])) TO '%s'", user, file),
		"SELECT pg_reload_conf()",
	} {
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
}

// A password that is wrong or that the user may not do anything with is named
// with the remedy, and never itself.
func TestWhatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	s := postgres.Start(t)
	location := s.NewDatabase(t)
	withPassword(t, location, "keeper", "correct-horse")
	location = strings.Replace(location, "postgres://postgres@", "postgres://keeper@", 1)
	password := func(p string) func() (string, error) { return func() (string, error) { return p, nil } }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for { // until the server has read its configuration
		err := journal.Migrate(ctx, location, password("wrong-correct-horse"), deps(t).Log)
		if err == nil || strings.Contains(err.Error(), "permission denied") {
			continue
		}
		wantWords(t, err, "user keeper", "password authentication failed", "storage.passwordFile")
		break
	}
	wantWords(t, journal.Migrate(ctx, location, password("correct-horse"), deps(t).Log), "permission denied", "grant the user")
}

func TestTablesOfANewerVersionAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			location := e.location(t)
			j := open(t, location, deps(t))
			if err := j.FromANewerVersion(t.Context()); err != nil {
				t.Fatal(err)
			}
			closeJournal(t, j)
			wantWords(t, journal.Migrate(t.Context(), location, nil, deps(t).Log), "newer version", "schema 99", "start that version again")
		})
	}
}

// A folder that cannot be written is named at the start.
func TestStorageThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	location := sqliteLocation(t)
	closeJournal(t, open(t, location, deps(t)))
	path := strings.TrimPrefix(location, "sqlite://")
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere; the end-to-end tests mount a file system read-only")
	}
	for _, p := range []string{path, path + ".lock", filepath.Dir(path)} {
		if err := os.Chmod(p, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) })
	_, err := journal.Open(t.Context(), location, deps(t))
	wantWords(t, err, path, "cannot be written")
}
