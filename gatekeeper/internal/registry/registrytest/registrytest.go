// Package registrytest starts registries for tests: real ones, in process, on
// ports that the system chooses.
package registrytest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded"
)

// Distribution starts a Distribution registry, which has no referrers API,
// and returns its host:port. It ends with the test.
func Distribution(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local port
	if err != nil {
		tb.Fatal(err)
	}
	r, err := embedded.Start(tb.Context(), embedded.Options{Name: "test", Listener: listener, Dir: tb.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return r.Addr()
}

// WithReferrers starts go-containerregistry's registry, which has the
// referrers API, and returns its host:port. It ends with the test.
func WithReferrers(tb testing.TB) string {
	tb.Helper()
	registry := ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	server := httptest.NewServer(wholeBodies(registry))
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// wholeBodies keeps a request from a handler until all of its body is there:
// go-containerregistry stores a manifest as far as it came.
func wholeBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}
