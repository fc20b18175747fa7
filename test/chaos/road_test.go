package chaos_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// road leads from the gatekeepers to a registry, whose address stays the same
// when the registry is started again: first through a proxy that spoils
// connections, then through one that spoils answers.
type road struct {
	connections *toxiproxy.Proxy
	front       *front
}

func newRoad(tb testing.TB, name string, d *dice, to func() string) *road {
	tb.Helper()
	f := newFront(d, to)
	server := httptest.NewServer(f)
	tb.Cleanup(server.Close)
	r := &road{front: f, connections: toxiproxy.NewProxy(
		toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), name, "127.0.0.1:0", server.Listener.Addr().String())}
	if err := r.connections.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.connections.Stop)
	return r
}

// host is where the gatekeepers find the registry.
func (r *road) host() string { return r.connections.Listen }

// toxics are what can happen to connections; numbers are milliseconds, or
// bytes.
func (r *road) toxics(d *dice) string {
	attributes := map[string]string{
		"reset_peer": fmt.Sprintf(`{"timeout": %d}`, d.below(200)),
		"latency":    fmt.Sprintf(`{"latency": %d, "jitter": %d}`, 50+d.below(300), d.below(100)),
		"limit_data": fmt.Sprintf(`{"bytes": %d}`, 100+d.below(4000)),
		"timeout":    fmt.Sprintf(`{"timeout": %d}`, 500+d.below(1500)),
	}
	kind := []string{"reset_peer", "latency", "limit_data", "timeout"}[d.below(4)]
	stream := []string{"upstream", "downstream"}[d.below(2)]
	return fmt.Sprintf(`{"name": "chaos", "type": %q, "stream": %q, "toxicity": 0.7, "attributes": %s}`, kind, stream, attributes[kind])
}

// spoil makes connections bad until mend.
func (r *road) spoil(d *dice) error {
	_, err := r.connections.Toxics.AddToxicJson(strings.NewReader(r.toxics(d)))
	return err
}

func (r *road) mend(ctx context.Context) { r.connections.Toxics.ResetToxics(ctx) }
