package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// pushColumns are what scanPush reads.
const pushColumns = "id, source, repository, tag, digest, media_type, actor, received_at, order_at, attempt"

// maxProblem bounds the text of an error that is kept with a push, in bytes.
const maxProblem = 2048

// scanPush reads pushColumns, and extra for the columns that follow them.
func scanPush(r row, extra ...any) (gatekeeper.Push, error) {
	var p gatekeeper.Push
	var receivedAt, orderAt int64
	dest := []any{&p.ID, &p.Source, &p.Repository, &p.Tag, &p.Digest, &p.MediaType, &p.Actor, &receivedAt, &orderAt, &p.Attempt}
	err := r.Scan(append(dest, extra...)...)
	p.ReceivedAt = time.Unix(0, receivedAt).UTC()
	if orderAt != 0 {
		p.PushedAt = time.Unix(0, orderAt).UTC()
	}
	return p, err
}

// bounded cuts a text to maxProblem, between characters.
func bounded(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD") // PostgreSQL's text holds neither
	if len(s) <= maxProblem {
		return s
	}
	cut := maxProblem
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Overtaken implements gatekeeper.Ledger. A newer push whose digest is not
// known yet overtakes too: it looks at whatever the tag points to by then.
func (j *Journal) Overtaken(ctx context.Context, p gatekeeper.Push) (gatekeeper.Push, bool, error) {
	by, err := scanPush(j.engine.row(ctx, "SELECT "+pushColumns+` FROM pushes n
		WHERE source = ? AND repository = ? AND tag = ? AND digest <> ? AND (order_at, id) > (SELECT p.order_at, p.id FROM pushes p WHERE p.id = ?)
		ORDER BY order_at DESC, id DESC LIMIT 1`, p.Source, p.Repository, p.Tag, p.Digest, p.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return gatekeeper.Push{}, false, nil
	}
	return by, err == nil, err
}

// SetDigest implements gatekeeper.History. A digest that is set stays.
func (j *Journal) SetDigest(ctx context.Context, push int64, d gatekeeper.Descriptor) error {
	return j.engine.inTx(ctx, func(tx db) error {
		return tx.exec(ctx, "UPDATE pushes SET digest = ?, media_type = ? WHERE id = ? AND digest = ''", d.Digest, d.MediaType, push)
	})
}

// Lookup says what is known about the newest push of an image, by tag or by
// digest ("sha256:…"). It returns gatekeeper.ErrNotFound when it was never
// pushed.
func (j *Journal) Lookup(ctx context.Context, repository, tagOrDigest string) (gatekeeper.ImageStatus, error) {
	column := "tag"
	if strings.Contains(tagOrDigest, ":") {
		column = "digest"
	}
	var s gatekeeper.ImageStatus
	var err error
	s.Push, err = scanPush(j.engine.row(ctx, "SELECT "+pushColumns+`, state, problem FROM pushes WHERE id = (
		SELECT p.id FROM pushes p WHERE p.repository = ? AND p.`+column+" = ? AND p.tag <> '' ORDER BY p.order_at DESC, p.id DESC LIMIT 1)", repository, tagOrDigest), &s.State, &s.Problem)
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("no push of %s %s: %w", repository, tagOrDigest, gatekeeper.ErrNotFound)
	}
	if err != nil {
		return s, fmt.Errorf("look up %s %s: %w", repository, tagOrDigest, err)
	}
	last, err := j.LastDecision(ctx, s.Push.ID)
	switch {
	case err == nil:
		s.Decision = &last
	case !errors.Is(err, gatekeeper.ErrNotFound):
		return s, err
	}
	return s, nil
}
