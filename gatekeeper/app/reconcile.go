package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/telemetry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// walkDeps is what reconciling needs of the running service.
type walkDeps struct {
	registries *registry.Registries
	journal    reconcile.Journal
	golden     reconcile.Golden
	policies   func() []*policy.Compiled
	observer   reconcile.Observer
	log        *slog.Logger
}

var _ reconcile.Observer = (*telemetry.Metrics)(nil)

// reconcileTasks have the sources walked that are reconciled. Each is looked
// up when its time has come: the journal, which keeps the time, is there before
// the walkers are.
func (s *setup) reconcileTasks(walk func(ctx context.Context, source string) error) []journal.Task {
	var tasks []journal.Task
	for _, r := range s.config.Registries {
		if every := r.ReconcileEvery(); every > 0 {
			tasks = append(tasks, journal.Task{
				Name: "reconcile-" + r.Name, Every: every, Run: func(ctx context.Context) error { return walk(ctx, r.Name) },
			})
		}
	}
	return tasks
}

// walkers walk the sources that are reconciled.
func (s *setup) walkers(d walkDeps) map[string]*reconcile.Reconciler {
	walkers := map[string]*reconcile.Reconciler{}
	for _, r := range s.config.Registries {
		if r.ReconcileEvery() > 0 {
			walkers[r.Name] = reconcile.New(walkOf(r, s.aliases(r.Name, d.registries)), reconcile.Deps{
				Registry: d.registries, Journal: d.journal, Golden: d.golden, Policies: d.policies, Observer: d.observer, Now: time.Now, Log: d.log,
			})
		}
	}
	return walkers
}

// walk compares a source with the journal. What waits for evidence looks again:
// a referrer without a tag, whose notification was lost, is not seen otherwise.
func (svc *service) walk(ctx context.Context, source string) error {
	err := svc.walkers[source].Walk(ctx)
	_, looked := svc.journal.LookAgain(ctx, source)
	return errors.Join(err, looked)
}

// The most that a walk takes of what a registry's limits allow: pushes that
// were just reported go first.
const (
	walkShare      = 4 // one part of so many
	walkConcurrent = 4 // requests under way
)

func walkOf(r config.Registry, aliases []string) reconcile.Source {
	source := reconcile.Source{
		Name: r.Name, Repositories: r.Reconcile.Repositories, Aliases: aliases,
		RequestsPerSecond: r.Limits.RequestsPerSecond / walkShare, Concurrent: walkConcurrent,
	}
	if r.Limits.Concurrent > 0 {
		source.Concurrent = min(walkConcurrent, max(1, r.Limits.Concurrent/walkShare))
	}
	return source
}

// aliases are the registries of the configuration that are the same as one.
func (s *setup) aliases(name string, registries *registry.Registries) []string {
	var all []string
	for _, r := range s.config.Registries {
		if registries.SameRegistry(name, r.Name) {
			all = append(all, r.Name)
		}
	}
	return all
}

// reconciled lists the sources that are reconciled.
func (s *setup) reconciled() []string {
	var names []string
	for _, r := range s.config.Registries {
		if r.ReconcileEvery() > 0 {
			names = append(names, r.Name)
		}
	}
	return names
}
