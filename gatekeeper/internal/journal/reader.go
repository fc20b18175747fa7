package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// Reader reads a journal that other processes may be working on, and changes
// nothing.
type Reader struct {
	db    db
	close func() error
	unzip *zstd.Decoder
}

// OpenReader opens the journal at a URL, as Open does, for reading. Its tables
// have to be of this version.
func OpenReader(ctx context.Context, location string, password func() (string, error)) (_ *Reader, err error) {
	r := new(Reader)
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the journal for reading: %w", joined(err, r.Close()))
		}
	}()
	if r.unzip, err = newUnzip(); err != nil {
		return nil, err
	}
	if IsPostgres(location) {
		return r, atServerUnlessNil(r.openPostgres(ctx, location, options{password: password}))
	}
	path, ok := strings.CutPrefix(location, "sqlite://")
	if !ok {
		return nil, errors.New("the storage's URL is not understood")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("nothing is kept there yet: %w", err)
	}
	if err := r.openSQLite(ctx, path); err != nil {
		return nil, inFile(path, err)
	}
	return r, nil
}

func atServerUnlessNil(err error) error {
	if err == nil {
		return nil
	}
	return atServer(err)
}

func (r *Reader) openSQLite(ctx context.Context, path string) error {
	file, err := openDatabase(path, 1, "_pragma=query_only(1)")
	if err != nil {
		return err
	}
	r.db, r.close = sqlDB{file}, file.Close
	return r.checkVersion(ctx, "sqlite", "PRAGMA user_version")
}

func (r *Reader) openPostgres(ctx context.Context, location string, o options) error {
	config, err := poolConfig(location, o)
	if err != nil {
		return err
	}
	config = few(config, 1)
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	r.db, r.close = pgDB{pool}, func() error { pool.Close(); return nil }
	return r.checkVersion(ctx, "postgres", "SELECT coalesce(max(version), 0) FROM gatekeeper_schema")
}

func (r *Reader) checkVersion(ctx context.Context, engine, query string) error {
	steps, err := migrationsOf(engine)
	if err != nil {
		return err
	}
	var version int
	switch err := r.db.row(ctx, query).Scan(&version); {
	case err != nil:
		return explainServer(err)
	case version > len(steps):
		return tooNew(version, len(steps))
	case version < len(steps):
		return fmt.Errorf("its tables are of an older version (schema %d, this one knows %d); start the service once, or run gatekeeper db migrate", version, len(steps))
	}
	return nil
}

// Close ends the reading.
func (r *Reader) Close() error {
	if r.unzip != nil {
		r.unzip.Close()
	}
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Recorded is a decision with its evidence, as they are kept.
type Recorded struct {
	id       int64
	body     string
	evidence []byte
	unzip    *zstd.Decoder
}

// Decode reads it. It may be called from any goroutine.
func (r Recorded) Decode() (gatekeeper.Decision, error) {
	d, err := scanDecision(kept{r.id, r.body})
	if err != nil {
		return d, err
	}
	d.Evidence, err = unpackEvidence(r.unzip, r.evidence)
	return d, err
}

// kept is the row of a decision.
type kept struct {
	id   int64
	body string
}

// Scan implements row.
func (k kept) Scan(dest ...any) error {
	id, isID := dest[0].(*int64)
	body, isBody := dest[1].(*string)
	if !isID || !isBody {
		return errors.New("a decision is read into its number and its body")
	}
	*id, *body = k.id, k.body
	return nil
}

// Last reads, of each push that was judged by evidence since a moment, the last
// such decision, the newest first, and no more than a limit.
func (r *Reader) Last(ctx context.Context, since time.Time, limit int, each func(Recorded) error) error {
	err := r.db.each(ctx, `
		SELECT d.id, d.body, e.body FROM decisions d JOIN evidence e ON e.hash = d.evidence
		WHERE d.decided_at >= ? AND NOT EXISTS (SELECT 1 FROM decisions n WHERE n.push_id = d.push_id AND n.id > d.id AND n.evidence IS NOT NULL)
		ORDER BY d.id DESC LIMIT ?`, []any{since.UnixNano(), limit}, func(row row) error {
		kept := Recorded{unzip: r.unzip}
		if err := row.Scan(&kept.id, &kept.body, &kept.evidence); err != nil {
			return err
		}
		return each(kept)
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read what was decided: %w", explainServer(err))
	}
	return nil
}
