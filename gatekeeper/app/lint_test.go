package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const kmsPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  signatures: [{name: ci, anyOf: [{kms: "hashivault://ci"}, {kms: "hashivault://release"}]}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], immutable: true}
`

// vaultDown is a Vault that counts its requests and fails them.
func vaultDown(t *testing.T) *atomic.Int32 {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "token")
	return &asked
}

func configuration(t *testing.T, signing string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policies", "services.yaml"), kmsPolicy)
	secret := write(t, filepath.Join(dir, "secret"), "secret")
	return write(t, filepath.Join(dir, "gatekeeper.yaml"), `apiVersion: gatekeeper/v1alpha1
kind: Configuration
registries:
  - {name: staging, url: "http://127.0.0.1:1", auth: {anonymous: true}, notifications: {format: distribution, secretFile: `+secret+`}}
  - {name: golden, url: "http://127.0.0.1:2", auth: {anonymous: true}}
signing: `+signing+`
policies: `+filepath.Join(dir, "policies")+"\n")
}

// Lint works where no service can be reached, and says what it left out.
func TestLintAsksNoService(t *testing.T) {
	asked := vaultDown(t)
	file := configuration(t, `{key: "hashivault://golden"}`)
	for name, lint := range map[string]func(Streams) error{
		"config": func(s Streams) error { return LintConfig(t.Context(), file, "text", s) },
		"policies": func(s Streams) error {
			return LintPolicies(t.Context(), []string{filepath.Join(filepath.Dir(file), "policies")}, "text", s)
		},
	} {
		var out bytes.Buffer
		if err := lint(Streams{Out: &out, Err: &out}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range []string{"note: the key hashivault://ci was not looked up", "hashivault://release", "policy services is sound (its fingerprint depends"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, out.String())
			}
		}
		if name == "config" && !strings.Contains(out.String(), "hashivault://golden was not looked up") {
			t.Errorf("nothing of the signing key in\n%s", out.String())
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the service was asked %d times", n)
	}
}

func TestLintReadsPublicKeys(t *testing.T) {
	vaultDown(t)
	absent := filepath.Join(t.TempDir(), "old.pub")
	for _, signing := range []string{`{publicKeys: [` + absent + `]}`, `{key: "hashivault://golden", publicKeys: [` + absent + `]}`} {
		var out bytes.Buffer
		err := LintConfig(t.Context(), configuration(t, signing), "text", Streams{Out: &out, Err: &out})
		if err == nil || !strings.Contains(err.Error(), "signing.publicKeys") {
			t.Errorf("%s: %v", signing, err)
		}
	}
}

// An audit takes no decision: what only decisions need may be missing, or
// kept in a service that is down. Its own key there leaves it undecided.
func TestAnAuditReadsWhatItNeeds(t *testing.T) {
	asked := vaultDown(t)
	dir := t.TempDir()
	if err := prepareData(dir); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, ownPublicFile)
	only := write(t, filepath.Join(t.TempDir(), "gatekeeper.yaml"), `apiVersion: gatekeeper/v1alpha1
kind: Configuration
registries: [{name: golden, url: "http://127.0.0.1:2", auth: {anonymous: true}}]
signing: {publicKeys: [`+public+`]}
`)
	for _, file := range []string{only, configuration(t, "{publicKeys: ["+public+"]}")} {
		s, err := loadForAudit(t.Context(), file, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.trust(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the service was asked %d times", n)
	}
	var out bytes.Buffer
	err := Audit(t.Context(), AuditOptions{
		Config: configuration(t, `{key: "hashivault://golden"}`), Repositories: []string{"127.0.0.1:2/app"}, Output: "text",
	}, Streams{Out: &out, Err: &out})
	if s, ok := errors.AsType[*StatusError](err); !ok || s.Code != StatusUndecided {
		t.Errorf("%v, want status %d", err, StatusUndecided)
	}
}

// Exceptions that ended, or end within two weeks, are warned of.
func TestLintWarnsOfExceptionsThatEnd(t *testing.T) {
	t.Parallel()
	in := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.DateOnly) }
	file := write(t, filepath.Join(t.TempDir(), "services.yaml"), `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  vulnerabilities:
    deny: [{severity: high}]
    exceptions:
      - {id: CVE-2026-1, expires: `+in(-2)+`, owner: ann@example.com, reason: x}
      - {id: CVE-2026-2, expires: `+in(5)+`, owner: ann@example.com, reason: x}
      - {id: CVE-2026-3, expires: `+in(60)+`, owner: ann@example.com, reason: x}
  licenses:
    deny: [MIT]
    exceptions: [{licenses: [MIT], expires: `+in(-2)+`, owner: joe@example.com, reason: x}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`)
	var out bytes.Buffer
	if err := LintPolicies(t.Context(), []string{file}, outputText, Streams{Out: &out, Err: &out}); err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]bool{
		"exceptions[0], of CVE-2026-1 by ann@example.com, ended on ": true, "exceptions[1], of CVE-2026-2 by ann@example.com, ends on ": true, "CVE-2026-3": false,
		"licenses.exceptions[0], by joe@example.com, ended on ": true,
	} {
		if strings.Contains(out.String(), part) != want {
			t.Errorf("%q: want %t in\n%s", part, want, out.String())
		}
	}
}

// What is sound and hardly meant is a warning with its place, and no mistake.
func TestLintWarns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const one = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  vulnerabilities:
    deny:
      - {severity: high}
      - {severity: critical}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], immutable: true}
`
	write(t, filepath.Join(dir, "a.yaml"), one)
	write(t, filepath.Join(dir, "b.yaml"), strings.NewReplacer("services", "more", ", immutable: true", "", "      - {severity: critical}\n", "").Replace(one))
	var out bytes.Buffer
	if err := LintPolicies(t.Context(), []string{dir}, "text", Streams{Out: &out, Err: &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"warning: " + filepath.Join(dir, "a.yaml") + ":10:10: spec.vulnerabilities.deny[1]: it makes no difference: deny[0] refuses all of it",
		"b.yaml: policy more: it has to agree with policy services, and cannot: one writes its tags as immutable",
		"policy services is sound",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// Policies are explained where no key service can be reached.
func TestExplainAsksNoService(t *testing.T) {
	asked := vaultDown(t)
	file := write(t, filepath.Join(t.TempDir(), "services.yaml"), kmsPolicy)
	for output, want := range map[string]string{
		"text": "Policy services (enforce)\n\nIt is about\n  - pushes to the registry staging\n",
		"json": `"policy": "services"`,
	} {
		var out bytes.Buffer
		if err := ExplainPolicies(t.Context(), []string{file}, output, Streams{Out: &out, Err: &out}); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, want) || !strings.Contains(got, "the key hashivault://ci, the key hashivault://release") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the service was asked %d times", n)
	}
	var failed *StatusError
	if err := ExplainPolicies(t.Context(), []string{file + "x"}, "text", Streams{Out: &bytes.Buffer{}}); !errors.As(err, &failed) || failed.Code != StatusUsage {
		t.Errorf("%v", err)
	}
}
