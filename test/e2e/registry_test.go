package e2e_test

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

// startRegistry runs the Distribution binary with filesystem storage. When
// webhook is set, it reports pushes there.
func startRegistry(t *testing.T, webhook, secret string) string {
	t.Helper()
	dir := t.TempDir()
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
		t.Fatal(err)
	}
	_, addr := start(t, after("listening on ", `",  `), []string{"OTEL_TRACES_EXPORTER=none"}, tool(t, registryModule), "serve", path)
	return addr
}

// relay is the address that registries send notifications to before the
// gatekeeper's own port is known; it also counts and can lose them.
type relay struct {
	*httptest.Server
	target atomic.Pointer[url.URL]
	drop   atomic.Bool // answer 503 instead of passing on
	passed atomic.Int64
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(r.target.Load()) }}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.drop.Load() || r.target.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.passed.Add(1)
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}
