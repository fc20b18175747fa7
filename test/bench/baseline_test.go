package bench_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/glebarez/go-sqlite" // the driver that the product has
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// baselineVariable has this program be the baseline: its value is the
// file or the URL of the database to write to.
const baselineVariable = "GATEKEEPER_BENCH_BASELINE"

func TestMain(m *testing.M) {
	if storage := os.Getenv(baselineVariable); storage != "" {
		if err := baseline(context.Background(), storage); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	harness.Main(m)
}

// baseline answers every request once one row is committed for it, and does
// nothing else. It ends with a signal.
func baseline(ctx context.Context, storage string) error {
	insert, err := inserter(ctx, storage)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local port
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, "listening on", listener.Addr()); err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			err = insert(r.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})}
	return server.Serve(listener)
}

// inserter commits one row at a time, with the same promise that the product
// makes: it is on disk.
func inserter(ctx context.Context, storage string) (func(context.Context) error, error) {
	if !strings.HasPrefix(storage, "postgres://") {
		db, err := sql.Open("sqlite", "file:"+storage+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1) // SQLite has one writer; more would only wait for each other in the file
		if _, err := db.ExecContext(ctx, "CREATE TABLE rows (at INTEGER NOT NULL)"); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, "INSERT INTO rows (at) VALUES (?)", time.Now().UnixNano())
			return err
		}, nil
	}
	config, err := pgxpool.ParseConfig(storage)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 64 // one for each connection of the client
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, "CREATE TABLE rows (at BIGINT NOT NULL)"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := pool.Exec(ctx, "INSERT INTO rows (at) VALUES ($1)", time.Now().UnixNano())
		return err
	}, nil
}
