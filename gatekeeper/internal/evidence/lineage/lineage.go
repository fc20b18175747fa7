// Package lineage finds the golden images whose layers an image begins with.
package lineage

import (
	"context"
	"regexp"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Records knows what golden images are made of.
type Records interface {
	// Lineage answers from what is golden now. It has to know all of it: what
	// it does not name is not golden.
	Lineage(ctx context.Context, q gatekeeper.BaseQuery) (policy.Lineage, error)
}

// Finder implements gatekeeper.BaseFinder.
type Finder struct{ records Records }

// New returns a finder.
func New(records Records) *Finder { return &Finder{records: records} }

// FindBases asks for every beginning of the platform's layers, and for what the
// image says that it is built on.
func (f *Finder) FindBases(ctx context.Context, image policy.Image, p policy.Platform) (policy.Lineage, error) {
	q := gatekeeper.BaseQuery{Layers: gatekeeper.NewLayerChains(p.Layers), Claimed: claimed(image, p)}
	if len(q.Layers.Digests) == 0 && len(q.Claimed) == 0 {
		return policy.Lineage{Bases: []policy.Base{}}, nil
	}
	return f.records.Lineage(ctx, q)
}

// claimed lists the digests that an image says it is built on, each once.
func claimed(image policy.Image, p policy.Platform) []string {
	wellFormed := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	var digests []string
	for _, c := range policy.BaseClaims(image, p) {
		if wellFormed.MatchString(c.Digest) {
			digests = append(digests, c.Digest)
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}
