package app

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// checkPolicies makes sure that policies name registries and trust roots that
// the configuration has.
func (s *setup) checkPolicies(policies []policyfile.Policy) error {
	registries := map[string]bool{}
	for _, r := range s.config.Registries {
		registries[r.Name] = true
	}
	return errors.Join(checkDestinations(policies, registries), s.checkTrustRoots(policies))
}

// checkDestinations makes sure that policies name registries that exist.
func checkDestinations(policies []policyfile.Policy, registries map[string]bool) error {
	var errs []error
	for _, p := range policies {
		named := map[string]string{"spec.from": p.Spec().From, "spec.promote.to": p.Spec().Promote.To}
		maps.Copy(named, baseRegistries(p.Spec().PatchLevel.Base))
		for _, key := range slices.Sorted(maps.Keys(named)) {
			if name := named[key]; !registries[name] {
				errs = append(errs, fmt.Errorf("%s: policy %s: %s: the configuration has no registry %q", p.File, p.Name(), key, name))
			}
		}
	}
	return errors.Join(errs...)
}

// checkTrustRoots makes sure that policies name trust roots that exist.
func (s *setup) checkTrustRoots(policies []policyfile.Policy) error {
	store := s.trustRoots(slog.New(slog.DiscardHandler))
	var errs []error
	for _, p := range policies {
		for _, name := range p.TrustRoots() {
			if !store.Has(name) {
				errs = append(errs, fmt.Errorf("%s: policy %s: the configuration has no trust root %q under trustRoots", p.File, p.Name(), name))
			}
		}
	}
	return errors.Join(errs...)
}
