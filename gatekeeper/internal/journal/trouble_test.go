package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
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
