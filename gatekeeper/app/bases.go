package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// onceRead knows what is golden from the journal of a service, for a process
// that asks once or twice, and keeps no books of its own.
type onceRead struct{ storage config.Storage }

// Lineage implements lineage.Records.
func (o onceRead) Lineage(ctx context.Context, q gatekeeper.BaseQuery) (_ policy.Lineage, err error) {
	r, err := journal.OpenReader(ctx, o.storage.URL, passwordOf(o.storage))
	if err != nil {
		return policy.Lineage{}, fmt.Errorf("which images are golden is in the journal of the service: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Lineage(ctx, q)
}

// baseRegistries lists the registries that the globs of a base write out, by the
// keys that do.
func baseRegistries(base *policy.BaseRule) map[string]string {
	named := map[string]string{}
	if base == nil {
		return named
	}
	for i, pattern := range base.Repositories {
		name, _, _ := strings.Cut(strings.TrimPrefix(pattern, "!"), "/")
		if !strings.ContainsAny(name, `*?[]{}\`) {
			named[fmt.Sprintf("spec.patchLevel.base.repositories[%d]", i)] = name
		}
	}
	return named
}
