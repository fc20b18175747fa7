package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// StartRegistry runs the Distribution binary with filesystem storage. When
// webhook is set, it reports pushes there.
func StartRegistry(tb testing.TB, webhook, secret string) string {
	tb.Helper()
	dir := tb.TempDir()
	config := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: "127.0.0.1:0", secret: e2e}
`, filepath.Join(dir, "storage"))
	if webhook != "" {
		config += fmt.Sprintf(`notifications:
  endpoints:
    - name: gatekeeper
      url: %s
      headers: {Authorization: ["Bearer %s"]}
      timeout: 3s
      threshold: 5
      backoff: 1s
      ignoredmediatypes: [application/octet-stream]
`, webhook, secret)
	}
	path := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	_, addr := Start(tb, After("listening on ", `",  `), []string{"OTEL_TRACES_EXPORTER=none"}, Tool(tb, RegistryModule), "serve", path)
	return addr
}

// Relay is the address that registries send notifications to before the
// gatekeeper's own port is known; it also counts and can lose them.
type Relay struct {
	*httptest.Server
	Target atomic.Pointer[url.URL]
	Drop   atomic.Bool // answer 503 instead of passing on
	Passed atomic.Int64
}

// NewRelay starts a relay without a target.
func NewRelay(tb testing.TB) *Relay {
	tb.Helper()
	r := &Relay{}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(r.Target.Load()) }}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.Drop.Load() || r.Target.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.Passed.Add(1)
		proxy.ServeHTTP(w, req)
	}))
	tb.Cleanup(r.Close)
	return r
}
