package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// walked stands in for the journal and the metrics of walks.
type walked struct {
	mu    sync.Mutex
	found []string
	whole []string
}

func (w *walked) Reconcile(_ context.Context, found []notifications.Push) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range found {
		w.found = append(w.found, p.Source+"/"+p.Repository+":"+p.Tag)
	}
	return len(found), nil
}

func (w *walked) Golden(context.Context, string, string, string) (gatekeeper.GoldenReference, bool, error) {
	return gatekeeper.GoldenReference{}, false, nil
}

func (w *walked) ReconcileMissed(string, int) {}

func (w *walked) Reconciled(source string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = append(w.whole, source)
}

// A registry that never notifies is looked at all the same, one that is told
// not to be is not, and golden is none of either.
func TestSourcesAreReconciled(t *testing.T) {
	t.Parallel()
	host, dir := registrytest.Distribution(t), t.TempDir()
	write(t, filepath.Join(dir, "secret"), "secret")
	write(t, filepath.Join(dir, "policies", "silent.yaml"), `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: silent}
spec:
  from: silent
  match: {repositories: ["**"]}
  rules: [{name: never, expression: "false", message: "never"}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`)
	c, err := config.Parse("gatekeeper.yaml", fmt.Appendf(nil, `apiVersion: gatekeeper/v1alpha1
kind: Configuration
storage: {url: "sqlite://%[1]s/gatekeeper.db"}
registries:
  - {name: silent, url: "http://%[2]s", auth: {anonymous: true}, reconcile: {interval: 30s, repositories: ["team-*/**"]}}
  - {name: off, url: "http://%[2]s", auth: {anonymous: true}, notifications: {format: distribution, secretFile: %[1]s/secret}, reconcile: {interval: 0s}}
  - {name: usual, url: "http://127.0.0.1:1", auth: {anonymous: true}, notifications: {format: distribution, secretFile: %[1]s/secret}}
  - {name: golden, url: "http://127.0.0.1:2", auth: {anonymous: true}}
policies: %[1]s/policies
`, dir, host))
	if err != nil {
		t.Fatal(err)
	}
	s, err := withPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	registries, err := s.registries(registry.Deps{Observer: unobserved{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"team-a/app:v1", "app:v1"} {
		ref, err := name.ParseReference(host + "/" + image)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, empty.Image, remote.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	w := &walked{}
	walkers := s.walkers(walkDeps{registries: registries, journal: w, golden: w, policies: s.policies.Compiled, observer: w, log: slog.New(slog.DiscardHandler)})
	tasks := s.reconcileTasks(func(ctx context.Context, source string) error { return walkers[source].Walk(ctx) })
	got := map[string]time.Duration{}
	for _, task := range tasks {
		got[task.Name] = task.Every
		if err := task.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(map[string]time.Duration{"reconcile-silent": 30 * time.Second, "reconcile-usual": 10 * time.Minute}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !slices.Equal(w.found, []string{"silent/team-a/app:v1"}) || len(w.whole) != 2 || !slices.Equal(s.reconciled(), []string{"silent", "usual"}) {
		t.Errorf("%v, %v, %v", w.found, w.whole, s.reconciled())
	}
	if all, err := sources(c); err != nil || len(all) != 2 {
		t.Errorf("%d webhooks, %v: one for each source that notifies", len(all), err)
	}
	if got := s.aliases("silent", registries); !slices.Equal(got, []string{"silent", "off"}) {
		t.Errorf("%v are one registry", got)
	}
}

func TestAWalkTakesTheSmallerShare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limits config.Limits
		rate   float64
		at     int
	}{
		{config.Limits{}, 0, 4},
		{config.Limits{RequestsPerSecond: 50, Concurrent: 16}, 12.5, 4},
		{config.Limits{RequestsPerSecond: 1, Concurrent: 8}, 0.25, 2},
		{config.Limits{Concurrent: 1}, 0, 1},
		{config.Limits{Concurrent: 256}, 0, 4},
	} {
		want := reconcile.Source{Name: "a", Repositories: policy.Globs{"**"}, RequestsPerSecond: tt.rate, Concurrent: tt.at}
		got := walkOf(config.Registry{Name: "a", Limits: tt.limits, Reconcile: &config.Reconcile{Repositories: []string{"**"}}}, nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got)\n%s", tt.limits, diff)
		}
	}
}
