package embedded_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded"
)

// A client that sends nothing does not keep the registry from stopping, nor
// makes a failure of it.
func TestAConnectionThatIsOnlyOpenIsCutOff(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local port
	if err != nil {
		t.Fatal(err)
	}
	r, err := embedded.Start(t.Context(), embedded.Options{Name: "golden", Dir: t.TempDir(), Listener: listener, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	open, err := net.Dial("tcp", r.Addr()) //nolint:noctx // a local port
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr()+"/v2/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req) // by now the other connection is accepted
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
