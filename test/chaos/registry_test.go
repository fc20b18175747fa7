package chaos_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// registryProcess is a Distribution that can be killed and started again over
// the same storage, at another port each time.
type registryProcess struct {
	name    string
	dir     string
	process *harness.Process
	address atomic.Pointer[string]
}

// newRegistry starts a registry. When webhook is set, it reports pushes there.
func newRegistry(tb *processes, name, webhook string) *registryProcess {
	tb.Helper()
	r := &registryProcess{name: name, dir: tb.TempDir()}
	config := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: "127.0.0.1:0", secret: chaos, relativeurls: true}
`, r.storage())
	if webhook != "" {
		config += fmt.Sprintf(`notifications:
  endpoints:
    - name: gatekeeper
      url: %s
      headers: {Authorization: ["Bearer %s"]}
      timeout: 3s
      threshold: 5
      backoff: 500ms
      ignore: {actions: [pull, mount, delete], mediatypes: [application/octet-stream]}
`, webhook, harness.WebhookSecret)
	}
	if err := os.WriteFile(r.config(), []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	r.start(tb)
	return r
}

func (r *registryProcess) config() string  { return filepath.Join(r.dir, "registry.yml") }
func (r *registryProcess) storage() string { return filepath.Join(r.dir, "storage") }

func (r *registryProcess) start(tb *processes) {
	tb.Helper()
	var address string
	r.process, address = harness.Start(tb, harness.After("listening on ", `",  `), []string{"OTEL_TRACES_EXPORTER=none"},
		harness.Tool(tb, harness.RegistryModule), "serve", r.config())
	r.address.Store(&address)
	tb.add(r.name, r.process)
}

// host is the registry's host:port for now.
func (r *registryProcess) host() string { return *r.address.Load() }
