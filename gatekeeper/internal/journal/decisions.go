package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of a listing.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// RecordDecision implements gatekeeper.Ledger. Evidence that several decisions
// share is stored once.
func (j *Journal) RecordDecision(ctx context.Context, d gatekeeper.Decision) (int64, error) {
	evidence, err := j.packEvidence(d.Evidence)
	if err != nil {
		return 0, err
	}
	j.deps.Reached(stepDecide)
	defer j.deps.Reached(stepDecided)
	var policies strings.Builder
	policies.WriteString(",")
	for _, r := range d.Results {
		policies.WriteString(r.Policy + ",")
	}
	bare := d
	bare.ID, bare.Evidence, bare.Golden = 0, nil, nil
	body, err := json.Marshal(bare)
	if err != nil {
		return 0, fmt.Errorf("encode the decision: %w", err)
	}
	var id int64
	err = j.engine.inTx(ctx, func(tx db) error {
		if evidence.hash.Valid {
			err := tx.exec(ctx, "INSERT INTO evidence (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING", evidence.hash, evidence.body)
			if err != nil {
				return err
			}
		}
		return tx.row(ctx, `
			INSERT INTO decisions (push_id, source, repository, tag, digest, verdict, policies, decided_at, body, evidence, exceptions)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, d.Push.ID, d.Push.Source, d.Push.Repository, d.Push.Tag, d.Push.Digest,
			string(d.Verdict), policies.String(), d.DecidedAt.UnixNano(), string(body), evidence.hash, exceptionsOf(d)).Scan(&id)
	})
	return id, err
}

type packed struct {
	hash sql.NullString
	body []byte
}

func (j *Journal) packEvidence(ev *policy.Evidence) (packed, error) {
	if ev == nil {
		return packed{}, nil
	}
	plain, err := json.Marshal(ev)
	if err != nil {
		return packed{}, fmt.Errorf("encode the evidence: %w", err)
	}
	sum := sha256.Sum256(plain)
	return packed{
		hash: sql.NullString{String: hex.EncodeToString(sum[:]), Valid: true},
		body: j.zip.EncodeAll(plain, nil),
	}, nil
}

func unpackEvidence(unzip *zstd.Decoder, body []byte) (*policy.Evidence, error) {
	plain, err := unzip.DecodeAll(body, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack the evidence: %w", err)
	}
	ev := new(policy.Evidence)
	if err := json.Unmarshal(plain, ev); err != nil {
		return nil, fmt.Errorf("decode the evidence: %w", err)
	}
	return ev, nil
}

// RecordGolden implements gatekeeper.Ledger. Repeating it changes nothing.
func (j *Journal) RecordGolden(ctx context.Context, decision int64, refs []gatekeeper.GoldenReference) error {
	j.deps.Reached(stepGolden)
	defer j.deps.Reached(stepGoldenThere)
	made, err := j.madeOf(ctx, decision)
	if err != nil { // the tags are written, and have to be on record
		j.deps.Log.WarnContext(ctx, "what a golden image is made of is not on record yet", slog.Int64("decision_id", decision), slog.Any("error", err))
	}
	return j.engine.inTx(ctx, func(tx db) error {
		var added []goldenRow
		for _, r := range refs {
			row := goldenRow{GoldenReference: r, decision: decision}
			err := tx.row(ctx, `
				INSERT INTO golden (decision_id, registry, repository, tag, digest, push_id, at)
				VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
				decision, r.Registry, r.Repository, r.Tag, r.Digest, r.PushID, r.At.UnixNano()).Scan(&row.id)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			added = append(added, row)
		}
		return made.record(ctx, tx, added)
	})
}

// goldenColumns are what scanGolden reads of golden g.
const goldenColumns = "g.registry, g.repository, g.tag, g.digest, g.push_id, g.at"

func scanGolden(r row, extra ...any) (gatekeeper.GoldenReference, error) {
	var g gatekeeper.GoldenReference
	var at int64
	err := r.Scan(append([]any{&g.Registry, &g.Repository, &g.Tag, &g.Digest, &g.PushID, &at}, extra...)...)
	g.At = time.Unix(0, at).UTC()
	return g, err
}

// Golden implements gatekeeper.History.
func (j *Journal) Golden(ctx context.Context, registry, repository, tag string) (gatekeeper.GoldenReference, bool, error) {
	g, err := scanGolden(j.engine.row(ctx, "SELECT "+goldenColumns+` FROM golden g
		WHERE registry = ? AND repository = ? AND tag = ? ORDER BY id DESC LIMIT 1`, registry, repository, tag))
	if errors.Is(err, sql.ErrNoRows) {
		return g, false, nil
	}
	return g, err == nil, err
}

// GoldenTags lists what golden tags point to now, the newest promotion first.
// Repository is the golden one; empty: all.
func (j *Journal) GoldenTags(ctx context.Context, repository string, limit int) ([]gatekeeper.GoldenReference, error) {
	list := []gatekeeper.GoldenReference{}
	err := j.engine.each(ctx, "SELECT "+goldenColumns+` FROM golden g
		WHERE (? = '' OR repository = ?) AND NOT EXISTS (
		  SELECT 1 FROM golden n WHERE n.registry = g.registry AND n.repository = g.repository AND n.tag = g.tag AND n.id > g.id)
		ORDER BY id DESC LIMIT ?`, []any{repository, repository, limit}, func(r row) error {
		ref, err := scanGolden(r)
		list = append(list, ref)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list golden tags: %w", err)
	}
	return list, nil
}

// LastDecision implements gatekeeper.History.
func (j *Journal) LastDecision(ctx context.Context, push int64) (gatekeeper.Decision, error) {
	list, err := j.list(ctx, "push_id = ?", []any{push}, 1)
	if err != nil {
		return gatekeeper.Decision{}, fmt.Errorf("read the last decision about push %d: %w", push, err)
	}
	if len(list) == 0 {
		return gatekeeper.Decision{}, fmt.Errorf("push %d was not judged: %w", push, gatekeeper.ErrNotFound)
	}
	return list[0], nil
}

// Decisions lists decisions without their evidence, newest first.
func (j *Journal) Decisions(ctx context.Context, q gatekeeper.DecisionQuery) ([]gatekeeper.Decision, error) {
	where, args := conditions(q)
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	list, err := j.list(ctx, where, args, min(limit, maxLimit))
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	return list, nil
}

// likeEscaper takes the meaning from what LIKE has wildcards for.
var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_") //nolint:gochecknoglobals // as good as a constant

func conditions(q gatekeeper.DecisionQuery) (where string, args []any) {
	parts := []string{"1 = 1"}
	for _, c := range []struct{ sql, value string }{
		{"verdict = ?", string(q.Verdict)},
		{"source = ?", q.Source},
		{"repository = ?", q.Repository},
		{"tag = ?", q.Tag},
		{"digest = ?", q.Digest},
	} {
		if c.value != "" {
			parts, args = append(parts, c.sql), append(args, c.value)
		}
	}
	if q.Policy != "" {
		// Names are in lower case. LIKE of SQLite ignores case, PostgreSQL's does not.
		name := likeEscaper.Replace(strings.ToLower(q.Policy))
		parts, args = append(parts, `policies LIKE ? ESCAPE '!'`), append(args, "%,"+name+",%")
	}
	if q.Before > 0 {
		parts, args = append(parts, "id < ?"), append(args, q.Before)
	}
	return strings.Join(parts, " AND "), args
}

// list reads decisions and what they wrote, newest first.
func (j *Journal) list(ctx context.Context, where string, args []any, limit int) ([]gatekeeper.Decision, error) {
	list := []gatekeeper.Decision{}
	at := map[int64]int{}
	query := "SELECT id, body FROM decisions WHERE " + where + " ORDER BY id DESC LIMIT ?"
	err := j.engine.each(ctx, query, append(args, limit), func(r row) error {
		d, err := scanDecision(r)
		at[d.ID] = len(list)
		list = append(list, d)
		return err
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	ids := slices.Collect(maps.Keys(at))
	query = "SELECT " + goldenColumns + ", decision_id FROM golden g WHERE decision_id IN (" + valuesOf("?", len(ids)) + ") ORDER BY id"
	return list, j.engine.each(ctx, query, anys(ids), func(r row) error {
		var decision int64
		g, err := scanGolden(r, &decision)
		if err != nil {
			return err
		}
		d := &list[at[decision]]
		d.Golden = append(d.Golden, g)
		return nil
	})
}

func scanDecision(r row, extra ...any) (gatekeeper.Decision, error) {
	var id int64
	var body string
	if err := r.Scan(append([]any{&id, &body}, extra...)...); err != nil {
		return gatekeeper.Decision{}, err
	}
	var d gatekeeper.Decision
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		return d, fmt.Errorf("decode decision %d: %w", id, err)
	}
	d.ID = id
	return d, nil
}

// Decision returns one decision with its evidence, or gatekeeper.ErrNotFound.
func (j *Journal) Decision(ctx context.Context, id int64) (gatekeeper.Decision, error) {
	list, err := j.list(ctx, "id = ?", []any{id}, 1)
	if err != nil {
		return gatekeeper.Decision{}, fmt.Errorf("read decision %d: %w", id, err)
	}
	if len(list) == 0 {
		return gatekeeper.Decision{}, fmt.Errorf("decision %d: %w", id, gatekeeper.ErrNotFound)
	}
	d := list[0]
	var packed []byte
	err = j.engine.row(ctx, "SELECT e.body FROM decisions d JOIN evidence e ON e.hash = d.evidence WHERE d.id = ?", id).Scan(&packed)
	if errors.Is(err, sql.ErrNoRows) {
		return d, nil // judged without evidence: nothing matched, overtaken
	}
	if err != nil {
		return d, fmt.Errorf("read the evidence of decision %d: %w", id, err)
	}
	d.Evidence, err = unpackEvidence(j.unzip, packed)
	return d, err
}
