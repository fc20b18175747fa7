package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The folder itself stays: in a container it is a mount, which cannot be
// removed.
func TestEmptyDirKeepsTheFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "scans")
	if _, err := emptyDir(dir); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(dir) // held, so that a new one cannot look the same
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	before, err := held.Stat()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "gatekeeper-scan-1", "layout", "left-over"), "x")
	if _, err := emptyDir(dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(dir)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the folder was replaced (%v)", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestCredentialsComeFromWhereTheConfigurationSays(t *testing.T) {
	t.Parallel()
	login := base64.StdEncoding.EncodeToString([]byte("robot:from-config"))
	file := write(t, filepath.Join(t.TempDir(), "config.json"), `{"auths":{"registry.example.com":{"auth":"`+login+`"}}}`)
	password := write(t, filepath.Join(t.TempDir(), "password"), "from-file\n")
	for _, tt := range []struct {
		name, host string
		auth       config.Auth
		want       authn.AuthConfig
	}{
		{"docker config", "registry.example.com", config.Auth{DockerConfig: file}, authn.AuthConfig{Username: "robot", Password: "from-config"}},
		{"docker config, another host", "registry.example.com.evil.example", config.Auth{DockerConfig: file}, authn.AuthConfig{}},
		{"password file", "registry.example.com", config.Auth{Username: "robot", PasswordFile: password}, authn.AuthConfig{Username: "robot", Password: "from-file"}},
		{"anonymous", "registry.example.com", config.Auth{Anonymous: true}, authn.AuthConfig{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := keychain(tt.auth)
			if err != nil {
				t.Fatal(err)
			}
			repository, err := name.NewRepository(tt.host + "/team-a/app")
			if err != nil {
				t.Fatal(err)
			}
			auth, err := k.Resolve(repository)
			if err != nil {
				t.Fatal(err)
			}
			got, err := auth.Authorization()
			if err != nil || got.Username != tt.want.Username || got.Password != tt.want.Password {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for _, bad := range []config.Auth{{DockerConfig: file + ".absent"}, {DockerConfig: write(t, filepath.Join(t.TempDir(), "x"), "{")}, {Username: "x", PasswordFile: "/absent"}} {
		if _, err := keychain(bad); err == nil || strings.Contains(err.Error(), "from-config") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestVerdictsHaveTheirExitStatus(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[policy.Verdict]int{
		policy.VerdictPromoted: 0, policy.VerdictRejected: 1, policy.VerdictError: 3, policy.VerdictPending: 4,
	} {
		if got := verdictStatus(verdict); got != want {
			t.Errorf("%s exits with %d, want %d", verdict, got, want)
		}
	}
}

func TestPoliciesNameRegistriesThatExist(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := prepareData(dir); err != nil {
		t.Fatal(err)
	}
	c, err := oneMachineConfig(dir, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := withPolicies(t.Context(), c); err != nil {
		t.Errorf("the starter policy: %v", err)
	}
	starter := filepath.Join(dir, policiesDir, starterFile)
	text, err := os.ReadFile(starter)
	if err != nil {
		t.Fatal(err)
	}
	write(t, starter, strings.Replace(string(text), "to: golden", "to: gold", 1))
	if _, err := withPolicies(t.Context(), c); err == nil || !strings.Contains(err.Error(), `no registry "gold"`) {
		t.Errorf("%v", err)
	}
	for base, want := range map[string]string{"golden/base/**": "", "**/base": "", "!golden/base/old/**": "", "base/**": `repositories[1]: the configuration has no registry "base"`} {
		write(t, starter, strings.Replace(string(text), "  patchLevel:\n", "  patchLevel:\n    base: {repositories: [\"golden/**\", \""+base+"\"]}\n", 1))
		if _, err := withPolicies(t.Context(), c); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// What is in a data folder already stays as it is.
func TestPreparedDataIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before map[string]string
	for range 2 {
		if err := prepareData(dir); err != nil {
			t.Fatal(err)
		}
		now := map[string]string{}
		for _, f := range []string{privateKeyFile, publicKeyFile, ownKeyFile, ownPublicFile, secretFile, filepath.Join(policiesDir, starterFile)} {
			text, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil {
				t.Fatal(err)
			}
			now[f] = string(text)
			if before != nil && before[f] != now[f] {
				t.Errorf("%s was written again", f)
			}
		}
		before = now
	}
	if err := os.WriteFile(filepath.Join(dir, secretFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(dir); err == nil || !strings.Contains(err.Error(), secretFile+" is empty: remove the file") {
		t.Errorf("a secret that was not written: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, secretFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ownKeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(dir); err == nil || !strings.Contains(err.Error(), ownKeyFile+" is missing") {
		t.Errorf("a lost key for summaries: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, publicKeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(dir); err == nil || !strings.Contains(err.Error(), "cosign public-key") {
		t.Errorf("a private key without its public one: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// A crash between the two files of a pair leaves the private key alone.
func TestALostPublicKeyIsDerived(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public := filepath.Join(dir, ownPublicFile)
	if err := prepareOwnKeys(dir); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(public); err != nil {
		t.Fatal(err)
	}
	if err := prepareOwnKeys(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(public); err != nil || string(got) != string(want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
