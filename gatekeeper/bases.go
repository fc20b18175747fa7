package gatekeeper

import (
	"context"
	"errors"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// BaseFinder finds the golden images that a platform of an image is built on.
type BaseFinder interface {
	// FindBases asks what is golden now. Whether diff_ids are those of the
	// layers is left open.
	FindBases(ctx context.Context, image policy.Image, p policy.Platform) (policy.Lineage, error)
}

// BaseQuery asks which golden images some layers begin with.
type BaseQuery struct {
	Layers  LayerChains
	Claimed []string // digests that the image claims to be built on
}

// RebuildNeeded is a golden image that is built on a golden base of which there
// is a newer release.
type RebuildNeeded struct {
	Registry   string         `json:"registry"`
	Repository string         `json:"repository"`
	Digest     string         `json:"digest"`
	Tags       []string       `json:"tags"` // golden tags that point to it
	Policies   []string       `json:"policies"`
	Bases      []OutdatedBase `json:"bases"` // each once, though several platforms are built on it
}

// OutdatedBase is a release of a golden base that is not the newest.
type OutdatedBase struct {
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Behind     int    `json:"behind"` // how many newer releases there are
	Newest     string `json:"newest"` // digest of the newest
	NewestTag  string `json:"newestTag,omitempty"`
}

// errNoRecord says that nobody knows what is golden.
var errNoRecord = errors.New("which images are golden is not on record here")

// findBases finds out what each platform is built on.
func (g *Gate) findBases(ctx context.Context, image *policy.Image) []policy.Problem {
	var problems []policy.Problem
	for i := range image.Platforms {
		p := &image.Platforms[i]
		lineage, err := g.findBase(ctx, *image, *p)
		if err != nil {
			problems = append(problems, policy.Problem{Part: policy.PartLineage, Platform: p.Name, Reason: "look for the golden base: " + err.Error()})
			continue
		}
		p.Lineage = &lineage
	}
	return problems
}

func (g *Gate) findBase(ctx context.Context, image policy.Image, p policy.Platform) (policy.Lineage, error) {
	if g.Bases == nil {
		return policy.Lineage{}, errNoRecord
	}
	return g.Bases.FindBases(ctx, image, p)
}
