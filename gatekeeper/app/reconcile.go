package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/telemetry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// task is something that is done at the start and then again and again, by one
// replica at a time.
type task struct {
	Name  string // at most maxTaskName characters
	Every time.Duration
	Run   func(ctx context.Context) error
}

const maxTaskName = 63

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

// reconcileTasks are the walks of the sources that are reconciled.
func (s *setup) reconcileTasks(d walkDeps) []task {
	var tasks []task
	for _, r := range s.config.Registries {
		every := r.ReconcileEvery()
		if every == 0 {
			continue
		}
		walker := reconcile.New(walkOf(r, s.aliases(r.Name, d.registries)), reconcile.Deps{
			Registry: d.registries, Journal: d.journal, Golden: d.golden, Policies: d.policies, Observer: d.observer, Now: time.Now, Log: d.log,
		})
		tasks = append(tasks, task{Name: taskName("reconcile-" + r.Name), Every: every, Run: walker.Walk})
	}
	return tasks
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

// taskName keeps a name that is too long apart from others by its hash.
func taskName(name string) string {
	if len(name) <= maxTaskName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "-" + hex.EncodeToString(sum[:4])
	return name[:maxTaskName-len(tail)] + tail
}
