package chaos_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// scene is everything that a run consists of: two registries, the gatekeepers
// between them with their storage, and what stands in between.
type scene struct {
	settings

	dir             string
	processes       *processes
	client          *http.Client
	maker           *maker
	staging, golden *registryProcess
	toStaging       *road
	toGolden        *road
	relay           *relay
	database        *postgres.Server // nil with SQLite
	replicas        []*replica
	done            []fault
	ended           time.Time // when the faults had ended
}

// fault is something that was done to a process.
type fault struct {
	name      string
	at, ended time.Time
}

func newScene(tb testing.TB, s settings) *scene {
	tb.Helper()
	sc := &scene{
		settings: s, dir: tb.TempDir(), processes: newProcesses(tb),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second},
	}
	sc.maker = newMaker(tb, s.seed)
	sc.relay = newRelay(tb, newDice(s.seed, "relay"), sc.client, sc.webhooks)
	sc.staging = newRegistry(sc.processes, "staging", sc.relay.URL+"/webhooks/staging")
	sc.golden = newRegistry(sc.processes, "golden", "")
	sc.toStaging = newRoad(tb, "staging", newDice(s.seed, "to staging"), sc.staging.host)
	sc.toGolden = newRoad(tb, "golden", newDice(s.seed, "to golden"), sc.golden.host)
	storage := "sqlite://" + sc.path("gatekeeper.db")
	if s.postgres {
		sc.database = postgres.Start(tb)
		storage = sc.database.NewDatabase(tb)
	}
	sc.configure(tb, storage)
	for range s.replicas {
		r := &replica{config: sc.path("gatekeeper.yaml")}
		r.start(sc.processes)
		sc.replicas = append(sc.replicas, r)
	}
	return sc
}

// configure writes the configuration, which all replicas share.
func (sc *scene) configure(tb testing.TB, storage string) {
	tb.Helper()
	files := map[string]string{
		"secret":                 harness.WebhookSecret + "\n",
		"gatekeeper.key":         privatePEM(tb, newKey(tb)),
		"policies/ci.pub":        sc.maker.publicKey(tb),
		"policies/policies.yaml": strings.ReplaceAll(policies, "WAIT", sc.wait.String()),
		"gatekeeper.yaml": fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: "127.0.0.1:0", admin: "127.0.0.1:0"}
storage: {url: %[4]q}
registries:
  - name: staging
    url: http://%[2]s
    notifications: {format: distribution, secretFile: "%[1]s/secret"}
    reconcile: {interval: %[5]s, repositories: ["**"]}
  - name: golden
    url: http://%[3]s
policies: "%[1]s/policies"
signing: {key: "%[1]s/gatekeeper.key"}
`, sc.dir, sc.toStaging.host(), sc.toGolden.host(), storage, reconcile),
	}
	for name, text := range files {
		path := sc.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// path is a file in the gatekeepers' folder.
func (sc *scene) path(name string) string { return filepath.Join(sc.dir, name) }

// webhooks lists where the gatekeepers listen, whether they run or not.
func (sc *scene) webhooks() []string {
	list := make([]string, 0, len(sc.replicas))
	for _, r := range sc.replicas {
		list = append(list, r.webhooks())
	}
	return list
}
