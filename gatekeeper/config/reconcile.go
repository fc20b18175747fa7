package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Reconcile says how pushes are found that no notification reported. It makes
// a registry a source that works without notifications.
type Reconcile struct {
	Interval     *policy.Duration `yaml:"interval" json:"interval,omitempty" jsonschema:"type=string,description=how often the registry is compared with what was reported; 10m when left out\\, 0s never\\, else at least 10s"`
	Repositories []string         `yaml:"repositories" json:"repositories,omitempty" jsonschema:"description=globs as in a policy's match; every repository of the registry's list when left out. Names without wildcards need no list"`
}

const (
	defaultInterval = 10 * time.Minute
	minInterval     = 10 * time.Second
	// maxPatterns bounds the patterns of one registry.
	maxPatterns = 1000
)

// repositoryName is the grammar of names (OCI distribution-spec v1.1, "Pulling
// manifests").
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// ReconcileEvery is the time between two comparisons; zero: there are none.
func (r Registry) ReconcileEvery() time.Duration {
	if r.Reconcile == nil || r.Reconcile.Interval == nil {
		return 0
	}
	return time.Duration(*r.Reconcile.Interval)
}

// reconcileDefaults makes every source reconcile unless it says otherwise.
func (r *Registry) reconcileDefaults() {
	if r.Reconcile == nil && r.Notifications != nil {
		r.Reconcile = &Reconcile{}
	}
	if r.Reconcile == nil {
		return
	}
	if r.Reconcile.Interval == nil {
		interval := policy.Duration(defaultInterval)
		r.Reconcile.Interval = &interval
	}
	if r.Reconcile.Repositories == nil {
		r.Reconcile.Repositories = []string{"**"}
	}
}

func (v *validator) reconcile(at string, r Registry) {
	if r.Reconcile == nil {
		return
	}
	switch every := r.ReconcileEvery(); {
	case every == 0 && r.Notifications == nil:
		v.failf(at+".interval", "is zero, and without notifications nothing else finds pushes; write 10m, or remove the reconcile section")
	case every != 0 && every < minInterval:
		v.failf(at+".interval", "%s is too often; write at least 10s, or 0s to switch it off", policy.Duration(every))
	}
	at += ".repositories"
	patterns := r.Reconcile.Repositories
	if len(patterns) > maxPatterns {
		v.failf(at, "has %d entries; write at most %d", len(patterns), maxPatterns)
		return
	}
	chooses := false
	for i, p := range patterns {
		v.pattern(fmt.Sprintf("%s[%d]", at, i), p)
		chooses = chooses || !strings.HasPrefix(p, "!")
	}
	if !chooses {
		v.failf(at, `chooses nothing; write names or globs, for example "**", or remove it`)
	}
}

func (v *validator) pattern(at, p string) {
	if !policy.ValidGlob(p) {
		v.failf(at, `%q is no glob; write for example "team-*/**"`, p)
		return
	}
	names, _ := policy.Globs{p}.Literals()
	for _, name := range names {
		if len(name) > 255 || !repositoryName.MatchString(name) {
			v.failf(at, `%q is no repository's name; write it as in team-a/app, without the registry's host and without a tag`, name)
		}
	}
}
