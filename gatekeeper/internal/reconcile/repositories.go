package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// choosePolicies keeps those about the source.
func (w *walk) choosePolicies(inForce []*policy.Compiled) {
	for _, p := range inForce {
		if p.Spec().From != w.source.Name {
			continue
		}
		w.policies = append(w.policies, p)
		if to := p.Spec().Promote.To; slices.Contains(w.source.Aliases, to) && !slices.Contains(w.golden, to) {
			w.golden = append(w.golden, to)
		}
	}
}

// repositories lists those that both the configuration and a policy are about.
// The registry is asked for its list only when neither writes all names out.
// What could be listed comes with the error.
func (w *walk) repositories(ctx context.Context) ([]string, error) {
	names, open := w.source.Repositories.Literals()
	policiesOpen := false
	for _, p := range w.policies {
		match := p.Spec().Match
		more, patterns := policy.Globs(match.Repositories).Literals()
		patterns = patterns || len(match.Repositories) == 0 // it has regular expressions
		names, policiesOpen = append(names, more...), policiesOpen || patterns
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if validRepository(name) && w.wants(name) {
			wanted[name] = true
		}
	}
	var err error
	if open && policiesOpen {
		err = w.listed(ctx, func(name string) {
			if w.wants(name) {
				wanted[name] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(wanted)), err
}

func (w *walk) listed(ctx context.Context, each func(name string)) error {
	done, err := w.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = w.deps.Registry.Repositories(ctx, w.source.Name, func(name string) error {
		each(name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the repositories: %w", err)
	}
	return nil
}

func (w *walk) wants(repository string) bool {
	return w.source.Repositories.Match(repository) && slices.ContainsFunc(w.policies, func(p *policy.Compiled) bool {
		return p.MatchesRepository(w.source.Name, repository)
	})
}

// validRepository leaves out what a policy names and no registry can have.
func validRepository(name string) bool {
	p := notifications.Push{Repository: name, Tag: "latest"}
	return p.Validate() == nil
}
