package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// goldenRow is a golden tag with its number.
type goldenRow struct {
	gatekeeper.GoldenReference

	id, decision int64
}

// madeOf is what has to be known of a promotion to recognise images that are
// built on it. Of nil nothing is recorded.
type madeOf struct{ decision gatekeeper.Decision }

// madeOf reads a decision.
func (j *Journal) madeOf(ctx context.Context, decision int64) (*madeOf, error) {
	d, err := j.Decision(ctx, decision)
	if err != nil {
		return nil, err
	}
	return &madeOf{d}, nil
}

// record tells the tables of lineage about golden tags of the decision.
func (m *madeOf) record(ctx context.Context, tx db, rows []goldenRow) error {
	if m == nil {
		return nil
	}
	type place struct{ registry, repository string }
	var places []place
	for _, r := range rows {
		if err := m.recordRelease(ctx, tx, r); err != nil {
			return fmt.Errorf("record the release %s/%s:%s: %w", r.Registry, r.Repository, r.Tag, err)
		}
		if at := (place{r.Registry, r.Repository}); r.Digest == m.decision.Push.Digest && !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	for _, at := range places {
		if err := errors.Join(m.recordLayers(ctx, tx, at.registry, at.repository), m.recordBases(ctx, tx, at.registry, at.repository)); err != nil {
			return fmt.Errorf("record the layers of %s/%s: %w", at.registry, at.repository, err)
		}
	}
	return nil
}

// recordRelease gives a digest its place among the releases. Promotions may be
// recorded in another order than they came.
func (m *madeOf) recordRelease(ctx context.Context, tx db, r goldenRow) error {
	const release = `INSERT INTO golden_releases (registry, repository, channel, digest, place, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (registry, repository, channel, digest) DO UPDATE SET place = excluded.place, at = excluded.at WHERE excluded.place `
	if err := tx.exec(ctx, release+"< golden_releases.place", r.Registry, r.Repository, "", r.Digest, r.id, r.At.UnixNano()); err != nil {
		return err
	}
	if m.isChannel(r.GoldenReference) {
		if err := tx.exec(ctx, release+"> golden_releases.place", r.Registry, r.Repository, r.Tag, r.Digest, r.id, r.At.UnixNano()); err != nil {
			return err
		}
	}
	return tx.exec(ctx, "UPDATE golden SET in_lineage = 1 WHERE id = ?", r.id)
}

// isChannel says whether a policy calls the tag a channel.
func (m *madeOf) isChannel(r gatekeeper.GoldenReference) bool {
	return slices.ContainsFunc(m.results(r.Registry, r.Repository), func(result policy.Result) bool {
		return slices.Contains(result.Promotion.Channels, r.Tag)
	})
}

// results are those that let the image through to a repository.
func (m *madeOf) results(registry, repository string) []policy.Result {
	return slices.DeleteFunc(slices.Clone(m.decision.Results), func(r policy.Result) bool {
		return r.Mode != policy.ModeEnforce || r.Verdict != policy.VerdictPromoted ||
			r.Promotion == nil || r.Promotion.Registry != registry || r.Promotion.Repository != repository
	})
}

// recordLayers records each platform whose layers have names that can be
// compared. Its diff_ids count when a scan found them to be those of its
// layers.
func (m *madeOf) recordLayers(ctx context.Context, tx db, registry, repository string) error {
	if m.decision.Evidence == nil {
		return nil
	}
	for _, p := range m.decision.Evidence.Image.Platforms {
		chains, n := gatekeeper.NewLayerChains(p.Layers), len(p.Layers)
		if n == 0 || len(chains.Digests) < n {
			continue
		}
		var diffChain string
		if p.Unpacked() {
			diffChain = chains.DiffIDs[n-1]
		}
		claims, err := json.Marshal(policy.InheritableClaims(p))
		if err != nil {
			return err
		}
		err = tx.exec(ctx, `INSERT INTO golden_layers (registry, repository, digest, manifest, layers, digest_chain, diff_chain, source, claims)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registry, repository, digest, manifest) DO UPDATE SET diff_chain = excluded.diff_chain
			WHERE golden_layers.diff_chain = ''`, registry, repository, m.decision.Push.Digest, p.Digest, n, chains.Digests[n-1], diffChain,
			m.decision.Push.Repository, string(claims))
		if err != nil {
			return err
		}
	}
	return nil
}

// recordBases records what the image itself is built on.
func (m *madeOf) recordBases(ctx context.Context, tx db, registry, repository string) error {
	for _, r := range m.results(registry, repository) {
		for _, b := range r.Bases {
			err := tx.exec(ctx, `INSERT INTO golden_bases (registry, repository, digest, manifest, base_registry, base_repository, base_digest, base_manifest)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registry, repository, digest, manifest) DO UPDATE SET base_registry = excluded.base_registry,
				base_repository = excluded.base_repository, base_digest = excluded.base_digest, base_manifest = excluded.base_manifest`,
				registry, repository, m.decision.Push.Digest, b.Image, b.Registry, b.Repository, b.Digest, b.Manifest)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fillBatch is how many golden tags are filled in at a time.
const fillBatch = 200

// fillLineage records what was promoted before there were tables for it, and by
// processes that do not know of them. There is hardly ever anything.
func (j *Journal) fillLineage(ctx context.Context) error {
	missing, err := notFilledIn(ctx, j.engine, 1)
	if err != nil || len(missing) == 0 {
		return err
	}
	select {
	case j.filling <- struct{}{}:
		defer func() { <-j.filling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		missing, err := notFilledIn(ctx, j.engine, fillBatch)
		if err != nil || len(missing) == 0 {
			return err
		}
		for _, tags := range missing {
			made, err := j.madeOf(ctx, tags[0].decision)
			if err != nil {
				return err
			}
			if err := j.engine.inTx(ctx, func(tx db) error { return made.record(ctx, tx, tags) }); err != nil {
				return err
			}
		}
	}
}

// notFilledIn lists golden tags that the tables of lineage do not know, put
// together by their decisions.
func notFilledIn(ctx context.Context, on db, limit int) ([][]goldenRow, error) {
	var missing [][]goldenRow
	query := "SELECT " + goldenColumns + ", g.id, g.decision_id FROM golden g WHERE g.in_lineage = 0 ORDER BY g.decision_id, g.id LIMIT ?"
	err := on.each(ctx, query, []any{limit}, func(r row) (err error) {
		var g goldenRow
		if g.GoldenReference, err = scanGolden(r, &g.id, &g.decision); err != nil {
			return err
		}
		if last := len(missing) - 1; last >= 0 && missing[last][0].decision == g.decision {
			missing[last] = append(missing[last], g)
			return nil
		}
		missing = append(missing, []goldenRow{g})
		return nil
	})
	return missing, err
}
