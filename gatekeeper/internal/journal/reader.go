package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
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
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("nothing is kept there yet: %w", err)
	case err != nil:
		return nil, inFile(path, err)
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
	settle := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if err := settle(ctx, c); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "SET default_transaction_read_only = on")
		return err
	}
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

// readerPage is how many decisions are read at a time.
const readerPage = 200

// Last reads, of each push that was judged by evidence since a moment, the last
// such decision, the newest first, and no more than a limit.
func (r *Reader) Last(ctx context.Context, since time.Time, limit int, each func(Recorded) error) error {
	for before := int64(math.MaxInt64); limit > 0; {
		page, at, err := r.page(ctx, before, min(limit, readerPage))
		if err != nil {
			return fmt.Errorf("read what was decided: %w", explainServer(err))
		}
		recent := 0
		for i, recorded := range page {
			before = recorded.id
			if at[i] < since.UnixNano() {
				continue
			}
			recent++
			limit--
			if err := each(recorded); err != nil {
				return err
			}
		}
		if recent == 0 {
			return nil // numbers follow the clock, but for a moment
		}
	}
	return nil
}

func (r *Reader) page(ctx context.Context, before int64, n int) (page []Recorded, at []int64, err error) {
	err = r.db.each(ctx, `
		SELECT d.id, d.decided_at, d.body, e.body FROM decisions d JOIN evidence e ON e.hash = d.evidence
		WHERE d.id < ? AND NOT EXISTS (SELECT 1 FROM decisions n WHERE n.push_id = d.push_id AND n.id > d.id AND n.evidence IS NOT NULL)
		ORDER BY d.id DESC LIMIT ?`, []any{before, n}, func(row row) error {
		kept, decided := Recorded{unzip: r.unzip}, int64(0)
		err := row.Scan(&kept.id, &decided, &kept.body, &kept.evidence)
		page, at = append(page, kept), append(at, decided)
		return err
	})
	return page, at, err
}
