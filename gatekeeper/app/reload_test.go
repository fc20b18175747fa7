package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reloaded is a running service whose policies are read again on request.
type reloaded struct {
	t      *testing.T
	policy string // its file
	url    string
	reload chan os.Signal
}

func startReloaded(t *testing.T) *reloaded {
	t.Helper()
	dir := t.TempDir()
	if err := prepareData(dir); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := oneMachineConfig(dir, "127.0.0.1:1", "127.0.0.1:2", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := withPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := newService(t.Context(), s, listener, listener, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &reloaded{t: t, policy: filepath.Join(dir, policiesDir, starterFile), url: "http://" + listener.Addr().String(), reload: make(chan os.Signal)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.run(ctx, r.reload) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// write changes the policy, and returns when that was looked at: the second
// signal is taken when the first is answered.
func (r *reloaded) write(text string) {
	r.t.Helper()
	write(r.t, r.policy, text)
	r.reload <- os.Interrupt
	r.reload <- os.Interrupt
}

func (r *reloaded) get(path string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // asks a server of this test
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *reloaded) want(path string, texts ...string) {
	r.t.Helper()
	got := r.get(path)
	for _, text := range texts {
		if !strings.Contains(got, text) {
			r.t.Errorf("%s has no %s: %.2000s", path, text, got)
		}
	}
}

// What the API lists, what is measured and whether the service is ready follow
// the policies in force.
func TestAServiceFollowsItsPolicies(t *testing.T) {
	t.Parallel()
	r := startReloaded(t)
	text, err := os.ReadFile(r.policy)
	if err != nil {
		t.Fatal(err)
	}
	starter := string(text)
	r.want("/api/v1/policies", `"name":"starter"`)
	r.want("/readyz", `{"name":"vulnerability database","ok":false`)
	r.write(strings.NewReplacer("name: starter", "name: mine", "operatingSystems: {endOfLife: deny}", "maxAge: 30d").Replace(starter))
	r.want("/readyz", `{"name":"vulnerability database","ok":true`)
	r.want("/api/v1/policies", `"name":"mine"`)
	r.want("/metrics", `gatekeeper_decisions_total{mode="enforce",policy="mine",verdict="promoted"} 0`, `policy="starter"`, "gatekeeper_policy_reload_failed 0")
	r.write(strings.Replace(starter, "to: golden", "to: gold", 1))
	r.want("/api/v1/policies", `"name":"mine"`)
	r.want("/metrics", "gatekeeper_policy_reload_failed 1")
	r.want("/readyz", `"ready":true`, "those before stay in force", `no registry \"gold\"`)
	r.write(starter)
	r.want("/api/v1/policies", `"name":"starter"`)
	r.want("/metrics", "gatekeeper_policy_reload_failed 0")
	r.want("/readyz", `{"name":"policies","ok":true,"informational":true}`)
}

// Exceptions are listed, and measured, with those of lists, as they are granted.
func TestAServiceListsItsExceptions(t *testing.T) {
	t.Parallel()
	r := startReloaded(t)
	text, err := os.ReadFile(r.policy)
	if err != nil {
		t.Fatal(err)
	}
	r.want("/api/v1/exceptions", `{"exceptions":[]}`)
	r.write(strings.Replace(string(text), "spec:\n", "spec:\n  vulnerabilities: {deny: [{severity: critical}], exceptionLists: [waivers]}\n", 1) + `---
apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers}
spec: {exceptions: [{id: CVE-2026-1, expires: 2999-12-31, owner: sec, reason: r}]}
`)
	r.want("/api/v1/policies", `"exceptionLists":["waivers"]`)
	r.want("/api/v1/exceptions?state=unused", `"policy":"starter","list":"waivers"`, `"id":"CVE-2026-1","owner":"sec","reason":"r","expires":"3000-01-01T00:00:00Z","state":"active","unused":true`)
	r.want("/metrics", `gatekeeper_exceptions{policy="starter",state="active"} 1`, `gatekeeper_exceptions{policy="starter",state="unused"} 1`, `gatekeeper_exceptions{policy="starter",state="expired"} 0`)
}
