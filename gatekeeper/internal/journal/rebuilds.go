package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// builtOnBase is a golden tag whose image is built on a golden base.
type builtOnBase struct {
	registry, repository, tag, digest, policies string

	base baseKey
}

// baseKey names a platform of a golden base.
type baseKey struct{ registry, repository, digest, manifest string }

// onBases are the golden bases b that what golden tags g point to is built on.
const onBases = `
	FROM (SELECT max(id) AS id FROM golden GROUP BY registry, repository, tag) AS latest
	JOIN golden g ON g.id = latest.id
	JOIN golden_bases b ON b.registry = g.registry AND b.repository = g.repository AND b.digest = g.digest `

// Rebuilds lists the images that golden tags point to, and that are built on a
// golden base of which there is a newer release. Images that were promoted
// without a policy that asks for a base are not among them.
func (j *Journal) Rebuilds(ctx context.Context, limit int) ([]gatekeeper.RebuildNeeded, error) {
	list := []gatekeeper.RebuildNeeded{}
	err := j.eachRebuild(ctx, func(r gatekeeper.RebuildNeeded) {
		if len(list) < limit {
			list = append(list, r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list golden images on outdated bases: %w", err)
	}
	return list, nil
}

// countRebuilds counts them by policy.
func (j *Journal) countRebuilds(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := j.eachRebuild(ctx, func(r gatekeeper.RebuildNeeded) {
		for _, p := range r.Policies {
			counts[p]++
		}
	})
	if err != nil {
		return nil, fmt.Errorf("count golden images on outdated bases: %w", err)
	}
	return counts, nil
}

// eachRebuild calls f for each image that needs a rebuild.
func (j *Journal) eachRebuild(ctx context.Context, f func(gatekeeper.RebuildNeeded)) error {
	if err := j.fillLineage(ctx); err != nil {
		return err
	}
	outdated, err := j.outdatedBases(ctx)
	if err != nil || len(outdated) == 0 {
		return err
	}
	var image gatekeeper.RebuildNeeded
	tell := func() {
		if len(image.Bases) > 0 {
			f(image)
		}
	}
	defer tell()
	return j.engine.each(ctx, `SELECT g.registry, g.repository, g.tag, g.digest, d.policies, b.base_registry, b.base_repository, b.base_digest, b.base_manifest`+
		onBases+"JOIN decisions d ON d.id = g.decision_id ORDER BY g.registry, g.repository, g.digest, g.tag, b.manifest", nil, func(r row) error {
		var b builtOnBase
		if err := r.Scan(&b.registry, &b.repository, &b.tag, &b.digest, &b.policies, &b.base.registry, &b.base.repository, &b.base.digest, &b.base.manifest); err != nil {
			return err
		}
		if image.Registry != b.registry || image.Repository != b.repository || image.Digest != b.digest {
			tell()
			image = gatekeeper.RebuildNeeded{Registry: b.registry, Repository: b.repository, Digest: b.digest}
		}
		if now, old := outdated[b.base]; old {
			b.addTo(&image, now)
		}
		return nil
	})
}

// outdatedBases are those that images are built on, and that are not the newest
// releases.
func (j *Journal) outdatedBases(ctx context.Context) (map[baseKey]policy.Base, error) {
	var bases []baseKey
	err := j.engine.each(ctx, "SELECT DISTINCT b.base_registry, b.base_repository, b.base_digest, b.base_manifest"+onBases, nil, func(r row) error {
		var b baseKey
		err := r.Scan(&b.registry, &b.repository, &b.digest, &b.manifest)
		bases = append(bases, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	outdated := map[baseKey]policy.Base{}
	for _, b := range bases {
		now, err := j.standing(ctx, b)
		if err != nil {
			return nil, err
		}
		if now.Behind > 0 {
			outdated[b] = now
		}
	}
	return outdated, nil
}

// addTo adds a tag, and what it is built on, to an image.
func (b builtOnBase) addTo(image *gatekeeper.RebuildNeeded, now policy.Base) {
	image.Tags = appendNew(image.Tags, b.tag)
	for name := range strings.SplitSeq(strings.Trim(b.policies, ","), ",") {
		image.Policies = appendNew(image.Policies, name)
	}
	image.Bases = appendNew(image.Bases, gatekeeper.OutdatedBase{
		Registry: b.base.registry, Repository: b.base.repository, Digest: b.base.digest, Behind: now.Behind, Newest: now.Newest, NewestTag: now.NewestTag,
	})
}

func appendNew[T comparable](list []T, one T) []T {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// standing is how far behind the newest release a base is. A newer release with
// the same layers makes no difference.
func (j *Journal) standing(ctx context.Context, b baseKey) (policy.Base, error) {
	same, err := sameLayers(ctx, j.engine, `l.registry = ? AND l.repository = ? AND EXISTS (
		SELECT 1 FROM golden_layers b WHERE b.registry = l.registry AND b.repository = l.repository AND b.digest = ? AND b.manifest = ?
		AND (b.digest_chain = l.digest_chain OR b.diff_chain <> '' AND b.diff_chain = l.diff_chain) AND b.layers = l.layers)`,
		[]any{b.registry, b.repository, b.digest, b.manifest})
	if err != nil || len(same) == 0 {
		return policy.Base{}, err
	}
	releases := make([]policy.Base, 0, len(same))
	for _, s := range same {
		releases = append(releases, s.base)
	}
	return leastBehind(ctx, j.engine, byPlace(releases)[0])
}
