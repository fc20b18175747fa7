package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const good = `apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: ":8080", admin: "127.0.0.1:9090"}
storage: {url: "sqlite:///data/gatekeeper.db"}
registries:
  - name: staging
    url: https://registry.example.com
    auth: {username: gatekeeper, passwordEnv: STAGING_PASSWORD}
    notifications: {format: distribution, secretFile: /run/secrets/staging}
    limits: {requestsPerSecond: 50, concurrent: 16}
  - name: golden
    url: https://golden.example.com
    auth: {dockerConfig: /run/secrets/config.json}
scanner: {database: {url: "https://mirror.example.com/v6/latest.json", maxAge: 24h}}
policies: /etc/gatekeeper/policies
`

// Lines of it that others take the place of.
const (
	limits        = "limits: {requestsPerSecond: 50, concurrent: 16}"
	notifications = "notifications: {format: distribution, secretFile: /run/secrets/staging}"
)

func TestAConfigurationIsReadWithItsDefaults(t *testing.T) {
	got, err := config.Parse("gatekeeper.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		APIVersion: "gatekeeper/v1alpha1", Kind: "Configuration",
		Listen:  config.Listen{Webhooks: ":8080", Admin: "127.0.0.1:9090"},
		Storage: config.Storage{URL: "sqlite:///data/gatekeeper.db", Dir: "/data"},
		Registries: []config.Registry{
			{
				Name: "staging", URL: "https://registry.example.com",
				Auth:          config.Auth{Username: "gatekeeper", PasswordEnv: "STAGING_PASSWORD"},
				Notifications: &config.Notifications{Format: "distribution", SecretFile: "/run/secrets/staging"},
				Reconcile:     &config.Reconcile{Interval: every(10 * time.Minute), Repositories: []string{"**"}},
				Limits:        config.Limits{RequestsPerSecond: 50, Concurrent: 16},
			},
			{Name: "golden", URL: "https://golden.example.com", Auth: config.Auth{DockerConfig: "/run/secrets/config.json"}},
		},
		Evidence: config.Evidence{MaxSize: "16MiB"},
		Scanner: config.Scanner{
			Database: config.Database{
				Dir: "/data/vulnerability-database", URL: "https://mirror.example.com/v6/latest.json",
				MaxAge: policy.Duration(24 * time.Hour),
			},
			Timeout: policy.Duration(10 * time.Minute), Memory: "4GiB", MaxSize: "8GiB",
		},
		Policies: "/etc/gatekeeper/policies",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"staging"}, got.SourceNames()); diff != "" {
		t.Error(diff)
	}
}

func TestTokenServersAreHosts(t *testing.T) {
	want := []string{"auth.example.com", "AUTH.example.com:5001", "10.0.0.7", "10.0.0.7:5001", "[fd00::1]:443", "tokens"}
	list, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(good, "dockerConfig: /run", "tokenServers: "+string(list)+", dockerConfig: /run", 1)
	got, err := config.Parse("gatekeeper.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Registries[1].Auth.TokenServers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	schema, err := config.Schema()
	if err != nil || !strings.Contains(string(schema), `"tokenServers"`) {
		t.Errorf("%v: not in the schema", err)
	}
}

func TestMistakesAreNamedWithPlaceAndRemedy(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"an unknown key", "policies:", "policy:", "gatekeeper.yaml:15:1: policy: unknown key"},
		{"an unknown nested key", "secretFile:", "secretfile:", "secretFile"},
		{"an unknown version", "v1alpha1", "v1", "1:13: apiVersion: \"gatekeeper/v1\" is not known; write gatekeeper/v1alpha1"},
		{"another kind", "kind: Configuration", "kind: PromotionPolicy", "2:7: kind: "},
		{"an address without port", `":8080"`, `"8080"`, "3:20: listen.webhooks: \"8080\" is no address; write host:port"},
		{"an API for everybody", `"127.0.0.1:9090"`, `":9090"`, "set admin.tokenFile, or listen on 127.0.0.1"},
		{"a password in a URL", "sqlite:///data/gatekeeper.db", "postgres://gatekeeper:hunter2@db/gatekeeper", "4:16: storage.url: holds a password; write it into a file"},
		{"a password in a query", "sqlite:///data/gatekeeper.db", "postgres://db/gatekeeper?password=hunter2", "4:16: storage.url: holds a password; write it into a file"},
		{"a URL that is none", "sqlite:///data/gatekeeper.db", "postgres://%zz", "4:16: storage.url: is no URL"},
		{"a password for SQLite", `{url: "sqlite:///data/gatekeeper.db"}`, `{url: "sqlite:///data/gatekeeper.db", passwordEnv: X}`, "4:11: storage: has a password, which SQLite does not ask for"},
		{"records that are kept for minutes", `{url: "sqlite:///data/gatekeeper.db"}`, `{url: "sqlite:///data/gatekeeper.db", keep: 10m}`, "storage.keep: is less than a day"},
		{"a path as storage", "sqlite:///data/gatekeeper.db", "/data/gatekeeper.db", "write sqlite:///path/to/gatekeeper.db"},
		{"two registries of a name", "name: golden", "name: staging", "11:11: registries[1].name: \"staging\" is there twice"},
		{"a name that is none", "name: golden", "name: Golden!", "registries[1].name: \"Golden!\" is no name"},
		{"a URL without scheme", "https://golden.example.com", "golden.example.com", "registries[1].url: is no registry's URL"},
		{"credentials in a URL", "https://golden", "https://me:secret@golden", "registries[1].url: holds credentials"},
		{"a path in a URL", "golden.example.com", "golden.example.com/v2/", "registries[1].url: has more than a host"},
		{"an unknown format", "format: distribution", "format: harbor", "\"harbor\" is not supported; write distribution"},
		{"a source without secret", ", secretFile: /run/secrets/staging", "", "has no secret; write secretFile"},
		{"two secrets", "secretFile: /run/secrets/staging", "secretFile: /s, secretEnv: S", "has both secretFile and secretEnv"},
		{"a user without password", ", passwordEnv: STAGING_PASSWORD", "", "has no password"},
		{"two ways to authenticate", "{dockerConfig: /run/secrets/config.json}", "{dockerConfig: /c, anonymous: true}", "is contradictory"},
		{"a token server with a scheme", "dockerConfig: /run", "tokenServers: [\"https://auth.example.com\"], dockerConfig: /run", "registries[1].auth.tokenServers[0]: \"https://auth.example.com\" is no host; write host or host:port"},
		{"a token server with a path", "dockerConfig: /run", "tokenServers: [auth.example.com/token], dockerConfig: /run", "is no host"},
		{"a token server with a wildcard", "dockerConfig: /run", "tokenServers: [\"*.example.com\"], dockerConfig: /run", "is no host"},
		{"a token server with a user", "dockerConfig: /run", "tokenServers: [\"me@example.com\"], dockerConfig: /run", "is no host"},
		{"a token server with a port that is none", "dockerConfig: /run", "tokenServers: [\"example.com:99999\"], dockerConfig: /run", "is no host"},
		{"an empty token server", "dockerConfig: /run", "tokenServers: [\"\"], dockerConfig: /run", "is no host"},
		{"an unknown key of reconcile", limits, "reconcile: {every: 10m}", "gatekeeper.yaml:10:17: every: unknown key; known here: interval, repositories"},
		{"reconcile too often", limits, "reconcile: {interval: 5s}", "10:27: registries[0].reconcile.interval: 5s is too often; write at least 10s, or 0s"},
		{"an interval that is none", limits, "reconcile: {interval: often}", "10:"},
		{"a source that nothing looks at", notifications, "reconcile: {interval: 0s}", "9:27: registries[0].reconcile.interval: is zero, and without notifications nothing else finds pushes; write 10m"},
		{"a glob that is none", limits, "reconcile: {repositories: [\"team-a/**\", \"[\"]}", "10:45: registries[0].reconcile.repositories[1]: \"[\" is no glob"},
		{"a repository with a host", limits, "reconcile: {repositories: [\"registry.example.com:5000/app\"]}", "registries[0].reconcile.repositories[0]: \"registry.example.com:5000/app\" is no repository's name"},
		{"a repository in capitals", limits, "reconcile: {repositories: [App]}", "is no repository's name"},
		{"no repositories", limits, "reconcile: {repositories: []}", "registries[0].reconcile.repositories: chooses nothing"},
		{"only repositories to leave out", limits, "reconcile: {repositories: [\"!a\"]}", "registries[0].reconcile.repositories: chooses nothing"},
		{"a trust root without a source", "policies:", "trustRoots: [{name: acme}]\npolicies:", "trustRoots[0]: has to have one of file and tuf"},
		{"a trust root with two", "policies:", "trustRoots: [{name: acme, file: /f, tuf: {url: https://t.example.com, rootFile: /r}}]\npolicies:", "trustRoots[0]: has to have one of file and tuf"},
		{"two trust roots of a name", "policies:", "trustRoots: [{name: acme, file: /f}, {name: acme, file: /g}]\npolicies:", "trustRoots[1].name: \"acme\" is there twice"},
		{"a TUF repository without root", "policies:", "trustRoots: [{name: acme, tuf: {url: https://t.example.com}}]\npolicies:", "trustRoots[0].tuf: has no rootFile"},
		{"a TUF repository that is none", "policies:", "trustRoots: [{name: acme, tuf: {url: here, rootFile: /r}}]\npolicies:", "trustRoots[0].tuf.url: is no repository's URL"},
		{"no timestamps", "policies:", "trustRoots: [{name: acme, file: /f, require: {timestamps: 0}}]\npolicies:", "trustRoots[0].require.timestamps: 0 would let certificates count"},
		{"too many log entries", "policies:", "trustRoots: [{name: acme, file: /f, require: {logEntries: 17}}]\npolicies:", "trustRoots[0].require.logEntries: 17 is out of range"},
		{"too much evidence", "policies:", "evidence: {maxSize: 1GiB}\npolicies:", "evidence.maxSize: \"1GiB\" is no size up to 32MiB"},
		{"too many entries", "policies:", "evidence: {maxEntries: 5000}\npolicies:", "evidence.maxEntries: 5000 is out of range"},
		{"a duration that is none", "maxAge: 24h", "maxAge: tomorrow", "14:"},
		{"a disk that is no size", "scanner: {", "scanner: {disk: much, ", `scanner.disk: "much" is no size`},
		{"a database URL that is none", "https://mirror.example.com/v6/latest.json", "mirror", "scanner.database.url: is no URL"},
		{"no policies", "policies: /etc/gatekeeper/policies\n", "", "policies: is missing"},
		{"no source", "    notifications: {format: distribution, secretFile: /run/secrets/staging}\n", "", "none is a source; give the source registry a notifications section, or a reconcile section"},
		{"too many workers", "policies:", "workers: 1000\npolicies:", "workers: 1000 is out of range"},
		{"broken YAML", "registries:\n", "registries: [\n", "gatekeeper.yaml:"},
		{"two documents", "policies:", "---\npolicies:", "2 documents, want exactly one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			_, err := config.Parse("gatekeeper.yaml", []byte(text))
			if err == nil {
				t.Fatal("is accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("says\n%v\nwant\n%s", err, tt.want)
			}
			if strings.Contains(err.Error(), "me:secret") {
				t.Error("tells the password")
			}
		})
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	text := strings.NewReplacer("v1alpha1", "v9", "format: distribution", "format: harbor").Replace(good)
	_, err := config.Parse("gatekeeper.yaml", []byte(text))
	if err == nil || strings.Count(err.Error(), "gatekeeper.yaml:") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestSecretsComeFromFilesAndTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("GATEKEEPER_TEST_SECRET", "from the environment")
	for _, tt := range []struct {
		name    string
		n       config.Notifications
		want    string
		problem string
	}{
		{name: "a file", n: config.Notifications{SecretFile: file("a", "s3cret\n")}, want: "s3cret"},
		{name: "a file with spaces", n: config.Notifications{SecretFile: file("b", " s3 cret ")}, want: " s3 cret "},
		{name: "the environment", n: config.Notifications{SecretEnv: "GATEKEEPER_TEST_SECRET"}, want: "from the environment"},
		{name: "an empty file", n: config.Notifications{SecretFile: file("c", "\n")}, problem: "is empty"},
		{name: "a huge file", n: config.Notifications{SecretFile: file("d", strings.Repeat("x", 70<<10))}, problem: "has more than"},
		{name: "no file", n: config.Notifications{SecretFile: filepath.Join(dir, "none")}, problem: "none"},
		{name: "an unset variable", n: config.Notifications{SecretEnv: "GATEKEEPER_TEST_UNSET"}, problem: "GATEKEEPER_TEST_UNSET is empty or not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.n.Secret()
			if got != tt.want || (err != nil) != (tt.problem != "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("says %v, want %s", err, tt.problem)
			}
		})
	}
}

// The schema and the decoder know the same keys.
func TestTheSchemaKnowsEveryKey(t *testing.T) {
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Schema               string `json:"$schema"`
		AdditionalProperties any
		Properties           map[string]any
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Schema == "" || schema.AdditionalProperties != false {
		t.Errorf("the schema is not strict: %s", text)
	}
	for _, key := range []string{"apiVersion", "kind", "listen", "admin", "storage", "registries", "signing", "trustRoots", "evidence", "scanner", "policies", "workers"} {
		if schema.Properties[key] == nil {
			t.Errorf("the schema lacks %s", key)
		}
	}
	if !strings.Contains(string(text), `"secretFile"`) || !strings.Contains(string(text), `"form": {`) || !strings.Contains(string(text), `"reconcile"`) {
		t.Error("nested keys are not those that are supported")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("registries: [{name: a, url: 'http://['}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := config.Parse("f.yaml", data); err == nil && len(c.SourceNames()) == 0 {
			t.Error("a configuration without source is accepted")
		}
	})
}
