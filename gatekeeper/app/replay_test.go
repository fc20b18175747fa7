package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	anybody = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  rules: [{name: non-root, expression: 'image.config.user != "root"', message: "run as another user"}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`
	young = "  patchLevel: {maxAge: 10d}\n"
)

// recorded makes a service's past: a configuration, and n pushes that the
// policy judged, of ten repositories; every fifth image runs as root, every
// second is a month old.
func recorded(tb testing.TB, n int) (config string) {
	tb.Helper()
	dir := tb.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	location := "sqlite://" + filepath.Join(dir, "gatekeeper.db")
	config = file("gatekeeper.yaml", fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: Configuration
storage: {url: %q}
registries:
  - {name: staging, url: "http://127.0.0.1:1", reconcile: {interval: 10m}}
  - {name: golden, url: "http://127.0.0.1:2"}
policies: %q
`, location, filepath.Join(dir, "policies")))
	file("policies/services.yaml", anybody)
	policies, err := policyfile.Parse("services.yaml", []byte(anybody), nil)
	if err != nil {
		tb.Fatal(err)
	}
	j, err := journal.Open(tb.Context(), location, journal.Deps{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	var pushes []notifications.Push
	for i := range n {
		pushes = append(pushes, notifications.Push{Source: "staging", Repository: fmt.Sprintf("team/app-%d", i%10), Tag: fmt.Sprintf("v%d", i), Digest: fmt.Sprintf("sha256:%064x", i)})
	}
	for at := 0; at < n; at += 1000 {
		if _, err := j.Accept(tb.Context(), pushes[at:min(at+1000, n)]); err != nil {
			tb.Fatal(err)
		}
	}
	for i, p := range pushes {
		now := time.Now()
		created, user := now.Add(-24*time.Hour), "app"
		if i%2 == 1 {
			created = now.Add(-30 * 24 * time.Hour)
		}
		if i%5 == 4 {
			user = "root"
		}
		ev := &policy.Evidence{
			Subject: policy.Subject{Registry: p.Source, Repository: p.Repository, Digest: p.Digest}, Push: policy.Push{Tag: p.Tag, ReceivedAt: now},
			Image: policy.Image{MediaType: "application/vnd.oci.image.manifest.v1+json", Platforms: []policy.Platform{{
				Name: "linux/amd64", Digest: p.Digest, OS: "linux", Architecture: "amd64", Created: &created, Config: policy.Config{User: user}, Scan: packages(),
			}}},
		}
		d := gatekeeper.Decision{
			Push:     gatekeeper.Push{ID: int64(i + 1), Source: p.Source, Repository: p.Repository, Tag: p.Tag, Digest: p.Digest, ReceivedAt: now},
			Evidence: ev, DecidedAt: now, Results: []policy.Result{policy.Evaluate(policies[0].Compiled, ev, now)},
		}
		d = gatekeeper.Judged(d)
		if _, err := j.RecordDecision(tb.Context(), d); err != nil {
			tb.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
	return config
}

// packages are those of a small image, as a scan lists them.
func packages() *policy.Scan {
	scan := &policy.Scan{Scanner: "test", OS: &policy.OperatingSystem{ID: "debian", Version: "12"}}
	for i := range 100 {
		scan.Packages = append(scan.Packages, policy.Package{Type: "deb", Name: fmt.Sprintf("package-%d", i), Version: "1.2.3-1", PURL: fmt.Sprintf("pkg:deb/debian/package-%d@1.2.3-1", i)})
	}
	return scan
}

func replayed(tb testing.TB, o app.ReplayOptions) (string, int) {
	tb.Helper()
	if o.Since == 0 {
		o.Since, o.Limit, o.Examples = time.Hour, 100_000, 2
	}
	if o.Output == "" {
		o.Output = "text"
	}
	var out bytes.Buffer
	err := app.ReplayPolicies(tb.Context(), o, app.Streams{Out: &out, Err: io.Discard})
	if failed, ok := errors.AsType[*app.StatusError](err); ok {
		if failed.Err != nil {
			out.WriteString(failed.Err.Error())
		}
		return out.String(), failed.Code
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out.String(), app.StatusOK
}

func TestReplayShowsWhatWouldChange(t *testing.T) {
	t.Parallel()
	config := recorded(t, 100)
	candidate := func(t *testing.T, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "candidate.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stricter := strings.Replace(anybody, "  promote:", young+"  promote:", 1)
	base := app.MigrateOptions{Config: config}
	for name, tt := range map[string]struct {
		options app.ReplayOptions
		code    int
		want    []string
	}{
		"the same": {app.ReplayOptions{MigrateOptions: base}, app.StatusOK, []string{"100 decisions replayed with policy services: 0 would be different\n"}},
		// 50 are too old, of which 10 run as root and are refused already.
		"stricter": {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, stricter)}}, app.StatusRejected, []string{
			"100 decisions replayed with policy services: 40 would be different", "promoted → rejected  40",
			"what would stand in the way\n  services  patchLevel.maxAge", "too_old", "40 in 4 repositories", "(decision 98), team/app-5:v95 (decision 96)", "team/app-1  10\n",
		}},
		"laxer": {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, strings.Replace(anybody, `image.config.user != "root"`, "true", 1))}}, app.StatusRejected, []string{
			"20 would be different", "rejected → promoted  20", "what would stand in the way no more\n  services  rules non-root",
		}},
		"one more": {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, strings.NewReplacer("services", "more", `"{{ .Repository }}"`, `"more/{{ .Repository }}"`).Replace(stricter))}}, app.StatusRejected, []string{
			"policies more, services: 40 would be different",
		}},
		"only that": {app.ReplayOptions{MigrateOptions: base, Only: true, Locations: []string{candidate(t, strings.NewReplacer("services", "more", `"**"`, `"team/app-1"`).Replace(anybody))}}, app.StatusRejected, []string{
			"policy more: 70 would be different", "-  ", "no_match",
		}},
		"a scan that nobody made": {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, strings.Replace(anybody, "  promote:", "  vulnerabilities: {deny: [{severity: high}]}\n  promote:", 1))}}, app.StatusRejected, []string{
			"promoted → error", "unavailable",
		}},
		"a candidate in audit mode has no say": {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, strings.NewReplacer("services", "next", "spec:", "spec:\n  mode: audit").Replace(stricter))}}, app.StatusOK, []string{
			"policies next, services: 0 would be different",
		}},
		"unless it is asked for": {app.ReplayOptions{MigrateOptions: base, Enforced: true, Locations: []string{candidate(t, strings.NewReplacer("services", "next", "spec:", "spec:\n  mode: audit").Replace(stricter))}}, app.StatusRejected, []string{
			"policies next, services: 40 would be different", "  next  ",
		}},
		"one name twice":   {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, anybody), candidate(t, stricter)}}, app.StatusUsage, []string{"the policy services is in"}},
		"no configuration": {app.ReplayOptions{MigrateOptions: app.MigrateOptions{Config: config + "x"}}, app.StatusUsage, []string{"no such file"}},
		"a mistake":        {app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, anybody+"luck: 1\n")}}, app.StatusUsage, []string{"luck"}},
		"an odd limit":     {app.ReplayOptions{MigrateOptions: base, Since: time.Hour}, app.StatusUsage, []string{"--limit"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, code := replayed(t, tt.options)
			if code != tt.code {
				t.Errorf("status %d, want %d", code, tt.code)
			}
			for _, part := range tt.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q is missing in\n%s", part, got)
				}
			}
		})
	}
	got, _ := replayed(t, app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, stricter)}, Output: "json"})
	again, _ := replayed(t, app.ReplayOptions{MigrateOptions: base, Locations: []string{candidate(t, stricter)}, Output: "json"})
	var report struct{ Decisions, Changed int }
	if err := json.Unmarshal([]byte(got), &report); err != nil || report.Decisions != 100 || report.Changed != 40 || got != again {
		t.Errorf("%+v, %v, the same again: %t", report, err, got == again)
	}
}

// BenchmarkReplay replays 10,000 recorded decisions.
func BenchmarkReplay(b *testing.B) {
	config := recorded(b, 10_000)
	candidate := filepath.Join(b.TempDir(), "candidate.yaml")
	if err := os.WriteFile(candidate, []byte(strings.Replace(anybody, "  promote:", young+"  promote:", 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, _ := replayed(b, app.ReplayOptions{MigrateOptions: app.MigrateOptions{Config: config}, Locations: []string{candidate}})
		if !strings.Contains(got, "10000 decisions replayed with policy services: 4000 would be different") {
			b.Fatal(got)
		}
	}
}
