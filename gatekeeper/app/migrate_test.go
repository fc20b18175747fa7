package app_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// configured writes a configuration with that storage, and returns its path.
func configured(t *testing.T, storage string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatekeeper.yaml")
	text := fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: Configuration
storage: %s
registries:
  - {name: staging, url: "http://127.0.0.1:1", reconcile: {interval: 10m}}
  - {name: golden, url: "http://127.0.0.1:2"}
policies: policies
`, storage)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func migrate(t *testing.T, config, output string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := app.MigrateJournal(t.Context(), app.MigrateOptions{Config: config, Output: output}, app.Streams{Out: &out, Err: &errs})
	return out.String() + errs.String(), err
}

func TestMigrateBringsTablesUpToDate(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]func(*testing.T) string{
		"SQLite": func(t *testing.T) string {
			t.Helper()
			return "sqlite://" + filepath.Join(t.TempDir(), "new", "gatekeeper.db")
		},
		"PostgreSQL": func(t *testing.T) string { t.Helper(); return postgres.Start(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := configured(t, fmt.Sprintf("{url: %q}", location(t)))
			for output, says := range map[string]string{"text": "up to date", "json": `"upToDate": true`} { // the second time there is nothing to do
				if out, err := migrate(t, config, output); err != nil || !strings.Contains(out, says) {
					t.Errorf("%v %s", err, out)
				}
			}
			if _, err := migrate(t, config, "xml"); err == nil || !strings.Contains(err.Error(), "use text or json") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestMigrateNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, storage, want string }{
		{"no server", fmt.Sprintf(`{url: "postgres://keeper@127.0.0.1:1/gate", passwordFile: %q}`, password), "PostgreSQL at 127.0.0.1:1 (database gate, user keeper) cannot be reached"},
		{"no password", `{url: "postgres://keeper@127.0.0.1:1/gate", passwordFile: /nowhere/password}`, "/nowhere/password"},
		{"a folder that is none", `{url: "sqlite:///dev/null/gatekeeper.db"}`, "/dev/null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := migrate(t, configured(t, tt.storage), "text")
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error()+out, "correct-horse") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}
