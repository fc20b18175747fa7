package e2e_test

import (
	"bytes"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// The addresses are part of the interface: a service without a configuration
// always has the same ones.
func TestServeWithoutAConfiguration(t *testing.T) {
	for _, address := range []string{"127.0.0.1:5050", "127.0.0.1:5051", "127.0.0.1:8080"} {
		l, err := net.Listen("tcp", address) //nolint:noctx // ends at once
		if err != nil {
			t.Skipf("something else listens on %s: %v", address, err)
		}
		_ = l.Close()
	}
	data := filepath.Join(t.TempDir(), "data")
	s := &stack{staging: "127.0.0.1:5050", golden: "127.0.0.1:5051", admin: "http://127.0.0.1:8080", webhooks: "http://127.0.0.1:8080"}
	p, _ := start(t, after("Gatekeeper ", "."), nil, gatekeeper(t), "serve", "--data", data, "--log-format", "json")

	digest := push(t, s.staging+"/hello:v1")
	s.await(t, "hello", digest, verdict("pending"))
	run(t, "check", "--data", data, s.staging+"/hello:v1").want(t, 4, "cosign sign")
	sign(t, "tag", filepath.Join(data, "cosign.key"), s.staging+"/hello@"+digest.String())
	s.await(t, "hello", digest, promoted)
	if got := digestOf(t, s.golden+"/hello:v1"); got != digest.String() {
		t.Errorf("golden points to %q, want %s", got, digest)
	}
	verify(t, "tag", filepath.Join(data, "cosign.pub"), s.golden+"/hello@"+digest.String())
	run(t, "explain", "hello:v1").want(t, 0, "promoted", s.goldenName("hello:v1"))

	// Nobody else writes to golden.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.golden+"/v2/hello/manifests/v2", bytes.NewReader([]byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := do(t, req); status != http.StatusForbidden || !bytes.Contains(body, []byte("DENIED")) {
		t.Errorf("a write to golden: %d %s", status, body)
	}

	// What is there stays, keys included.
	p.stop(t)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
	start(t, after("Gatekeeper ", "."), nil, gatekeeper(t), "serve", "--data", data)
	run(t, "explain", "hello:v1").want(t, 0, "promoted")
	late := push(t, s.staging+"/hello:v2")
	sign(t, "bundle", filepath.Join(data, "cosign.key"), s.staging+"/hello@"+late.String())
	s.await(t, "hello", late, promoted)
}
