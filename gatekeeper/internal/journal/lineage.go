package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of a lineage.
const (
	maxSameLayers   = 5000 // golden images whose layers an image begins with, the newest of each kind
	maxBasePlaces   = 100  // repositories that they are in
	maxSameReleases = 20   // of one repository with the same layers, the newest
	maxBaseTags     = 20   // that are listed of one
)

// Lineage tells which golden images the layers of an image begin with.
func (j *Journal) Lineage(ctx context.Context, q gatekeeper.BaseQuery) (policy.Lineage, error) {
	if err := j.fillLineage(ctx); err != nil {
		return policy.Lineage{}, fmt.Errorf("fill in what golden images are made of: %w", err)
	}
	return lineage(ctx, j.engine, q)
}

// Lineage tells which golden images the layers of an image begin with.
func (r *Reader) Lineage(ctx context.Context, q gatekeeper.BaseQuery) (policy.Lineage, error) {
	missing, err := notFilledIn(ctx, r.db, 1)
	switch {
	case err != nil:
		return policy.Lineage{}, explainServer(err)
	case len(missing) > 0:
		return policy.Lineage{}, errors.New("what older golden images are made of is not filled in yet, which the service does when it judges")
	}
	l, err := lineage(ctx, r.db, q)
	if err != nil {
		return l, explainServer(err)
	}
	return l, nil
}

func lineage(ctx context.Context, on db, q gatekeeper.BaseQuery) (policy.Lineage, error) {
	l := policy.Lineage{Bases: []policy.Base{}}
	found, err := beginnings(ctx, on, q)
	if err != nil {
		return l, fmt.Errorf("look for golden images with the same layers: %w", err)
	}
	places := byPlace(found)
	if len(places) > maxBasePlaces {
		return l, fmt.Errorf("the layers begin with those of golden images in %d repositories; at most %d are told apart", len(places), maxBasePlaces)
	}
	for _, releases := range places {
		bases, err := basesOf(ctx, on, releases, q.Claimed)
		if err != nil {
			return l, fmt.Errorf("look for releases of %s/%s: %w", releases[0].Registry, releases[0].Repository, err)
		}
		l.Bases = append(l.Bases, bases...)
	}
	l.Golden, err = goldenAmong(ctx, on, q.Claimed)
	return l, err
}

// beginnings finds the golden images whose layers an image begins with: of those
// in one repository with the same layers the newest, and those that are claimed.
func beginnings(ctx context.Context, on db, q gatekeeper.BaseQuery) ([]policy.Base, error) {
	var found []policy.Base
	known := map[[4]string]bool{}
	for _, by := range []struct {
		proof  policy.Proof
		column string
		chains []string
	}{{policy.ProofDigests, "digest_chain", q.Layers.Digests}, {policy.ProofDiffIDs, "diff_chain", q.Layers.DiffIDs}} {
		if len(by.chains) == 0 {
			continue
		}
		same, err := sameLayers(ctx, on, "l."+by.column+" IN ("+valuesOf("?", len(by.chains))+")", texts(by.chains), q.Claimed...)
		if err != nil {
			return nil, err
		}
		for _, s := range same {
			chain := s.digestChain
			if by.proof == policy.ProofDiffIDs {
				chain = s.diffChain
			}
			key := [4]string{s.base.Registry, s.base.Repository, s.base.Digest, s.base.Manifest}
			// A chain is only what it says together with the number of layers.
			if n := s.base.Layers; n < 1 || n > len(by.chains) || by.chains[n-1] != chain || known[key] {
				continue
			}
			known[key] = true
			s.base.Proof = by.proof
			found = append(found, s.base)
		}
	}
	return found, nil
}

// texts is a list of texts as arguments.
func texts(values []string) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// layered is a platform of a golden image.
type layered struct {
	base                   policy.Base
	digestChain, diffChain string
}

// sameLayers reads platforms of golden images l for which a condition holds: of
// those in one repository with as many layers the newest, since an image may
// become golden under another digest with each commit, the newest of each channel,
// and the claimed ones. One can be there several times.
func sameLayers(ctx context.Context, on db, where string, args []any, claimed ...string) ([]layered, error) {
	also := ""
	args = append(slices.Clip(args), maxSameReleases)
	if len(claimed) > 0 {
		these := " IN (" + valuesOf("?", len(claimed)) + ")"
		also, args = " OR digest"+these+" OR manifest"+these, append(args, append(texts(claimed), texts(claimed)...)...)
	}
	var same []layered
	err := on.each(ctx, `
		SELECT registry, repository, digest, manifest, layers, digest_chain, diff_chain, source, claims, at FROM (
		  SELECT l.registry, l.repository, l.digest, l.manifest, l.layers, l.digest_chain, l.diff_chain, l.source, l.claims, r.channel,
		    max(CASE r.channel WHEN '' THEN r.at END) OVER (PARTITION BY l.registry, l.repository, l.digest, l.manifest) AS at,
		    row_number() OVER (PARTITION BY l.registry, l.repository, l.layers, r.channel ORDER BY r.place DESC, l.manifest) AS place
		  FROM golden_layers l JOIN golden_releases r ON r.registry = l.registry AND r.repository = l.repository AND r.digest = l.digest
		  WHERE `+where+") AS same WHERE place <= CASE channel WHEN '' THEN CAST(? AS integer) ELSE 1 END"+also+" LIMIT ?", append(args, maxSameLayers+1), func(r row) error {
		var s layered
		var claims string
		var at int64
		b := &s.base
		if err := r.Scan(&b.Registry, &b.Repository, &b.Digest, &b.Manifest, &b.Layers, &s.digestChain, &s.diffChain, &b.Source, &claims, &at); err != nil {
			return err
		}
		b.PromotedAt = time.Unix(0, at).UTC()
		same = append(same, s)
		return json.Unmarshal([]byte(claims), &same[len(same)-1].base.Claims)
	})
	if err == nil && len(same) > maxSameLayers {
		err = fmt.Errorf("more than %d golden images have the same layers", maxSameLayers)
	}
	return same, err
}

// byPlace puts bases together that are in one repository, those with the most
// layers first, of these the newest.
func byPlace(found []policy.Base) [][]policy.Base {
	slices.SortFunc(found, func(a, b policy.Base) int {
		return cmp.Or(
			cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Repository, b.Repository), cmp.Compare(b.Layers, a.Layers), b.PromotedAt.Compare(a.PromotedAt),
			cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Manifest, b.Manifest),
		)
	})
	var places [][]policy.Base
	for i, b := range found {
		if i == 0 || b.Registry != found[i-1].Registry || b.Repository != found[i-1].Repository {
			places = append(places, nil)
		}
		places[len(places)-1] = append(places[len(places)-1], b)
	}
	return places
}

// basesOf picks the release of one repository that an image is built on, and
// those beside it that it claims to be built on.
func basesOf(ctx context.Context, on db, releases []policy.Base, claimed []string) ([]policy.Base, error) {
	best, err := leastBehind(ctx, on, releases)
	if err != nil {
		return nil, err
	}
	bases := []policy.Base{best}
	for _, b := range releases {
		if b.Digest == best.Digest && b.Manifest == best.Manifest || !slices.Contains(claimed, b.Digest) && !slices.Contains(claimed, b.Manifest) {
			continue
		}
		if b, err = placed(ctx, on, b); err != nil {
			return nil, err
		}
		bases = append(bases, b)
	}
	for i := range bases {
		if bases[i].Tags, err = tagsOf(ctx, on, bases[i]); err != nil {
			return nil, err
		}
	}
	return bases, nil
}

// leastBehind picks, of releases as byPlace puts them, the one that an image
// with these layers is the closest to the newest by.
func leastBehind(ctx context.Context, on db, releases []policy.Base) (best policy.Base, err error) {
	for i, b := range releases {
		if b.Layers < releases[0].Layers {
			break
		}
		if b, err = placed(ctx, on, b); err != nil {
			return best, err
		}
		if i == 0 || b.Behind < best.Behind {
			best = b
		}
	}
	return best, nil
}

// placed counts the releases after a base: in the channels that it was promoted
// to, the largest number; where there is none, in its repository.
func placed(ctx context.Context, on db, b policy.Base) (policy.Base, error) {
	counted := false
	err := on.each(ctx, `
		SELECT r.channel, (SELECT count(*) FROM golden_releases n WHERE n.registry = r.registry AND n.repository = r.repository AND n.channel = r.channel AND n.place > r.place)
		FROM golden_releases r WHERE r.registry = ? AND r.repository = ? AND r.digest = ? ORDER BY r.channel`, []any{b.Registry, b.Repository, b.Digest}, func(r row) error {
		var channel string
		var behind int
		err := r.Scan(&channel, &behind)
		if !counted || b.Channel == "" || behind > b.Behind { // the repository comes first
			b.Channel, b.Behind = channel, behind
		}
		counted = true
		return err
	})
	if err != nil || b.Behind == 0 {
		return b, err
	}
	err = on.row(ctx, "SELECT digest FROM golden_releases WHERE registry = ? AND repository = ? AND channel = ? ORDER BY place DESC LIMIT 1",
		b.Registry, b.Repository, b.Channel).Scan(&b.Newest)
	if err != nil || b.Channel != "" {
		b.NewestTag = b.Channel
		return b, err
	}
	err = on.row(ctx, "SELECT tag FROM golden WHERE registry = ? AND repository = ? AND digest = ? ORDER BY id DESC LIMIT 1",
		b.Registry, b.Repository, b.Newest).Scan(&b.NewestTag)
	return b, err
}

func tagsOf(ctx context.Context, on db, b policy.Base) (tags []string, err error) {
	err = on.each(ctx, "SELECT DISTINCT tag FROM golden WHERE registry = ? AND repository = ? AND digest = ? ORDER BY tag LIMIT ?",
		[]any{b.Registry, b.Repository, b.Digest, maxBaseTags}, collectTexts(&tags))
	slices.Sort(tags) // databases have orders of their own
	return tags, err
}

// goldenAmong picks the digests that golden images or their platforms have.
func goldenAmong(ctx context.Context, on db, digests []string) (golden []string, err error) {
	if len(digests) == 0 {
		return nil, nil
	}
	these := " IN (" + valuesOf("?", len(digests)) + ")"
	err = on.each(ctx, "SELECT digest FROM golden_layers WHERE digest"+these+" UNION SELECT manifest FROM golden_layers WHERE manifest"+these+" ORDER BY 1",
		append(texts(digests), texts(digests)...), collectTexts(&golden))
	if err != nil {
		return nil, fmt.Errorf("look for golden images by digest: %w", err)
	}
	return golden, nil
}

// collectTexts gathers the texts of an answer.
func collectTexts(texts *[]string) func(row) error {
	return func(r row) error {
		var text string
		err := r.Scan(&text)
		*texts = append(*texts, text)
		return err
	}
}
