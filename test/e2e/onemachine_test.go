package e2e_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// The addresses are part of the interface: a service without a configuration
// always has the same ones.
func TestServeWithoutAConfiguration(t *testing.T) {
	for _, address := range []string{"127.0.0.1:5050", "127.0.0.1:5051", "127.0.0.1:8080"} {
		l, err := net.Listen("tcp", address) //nolint:noctx // ends at once
		switch {
		case err != nil && os.Getenv("CI") != "":
			t.Fatalf("nothing may listen on %s where this has to run: %v", address, err)
		case err != nil:
			t.Skipf("something else listens on %s: %v", address, err)
		}
		_ = l.Close()
	}
	data := filepath.Join(t.TempDir(), "data")
	s := &harness.Stack{Staging: "127.0.0.1:5050", Golden: "127.0.0.1:5051", Admin: "http://127.0.0.1:8080", Webhooks: "http://127.0.0.1:8080"}
	p, _ := harness.Start(t, harness.After("Gatekeeper ", "."), nil, harness.Gatekeeper(t), "serve", "--data", data, "--log-format", "json")

	digest := harness.Push(t, s.Staging+"/hello:v1")
	s.Await(t, "hello", digest, harness.Verdict("pending"))
	run(t, "check", "--data", data, s.Staging+"/hello:v1").want(t, 4, "cosign sign")
	harness.Sign(t, "tag", filepath.Join(data, "cosign.key"), s.Staging+"/hello@"+digest.String())
	s.Await(t, "hello", digest, harness.Promoted)
	if got := harness.DigestOf(t, s.Golden+"/hello:v1"); got != digest.String() {
		t.Errorf("golden points to %q, want %s", got, digest)
	}
	verify(t, "tag", filepath.Join(data, "cosign.pub"), s.Golden+"/hello@"+digest.String())
	run(t, "explain", "hello:v1").want(t, 0, "promoted", goldenName("hello:v1"))
	run(t, "audit", "--data", data, s.Golden+"/hello").want(t, 0, "1 ok, 0 bypassed")
	for _, module := range []string{harness.CosignModule, harness.Cosign3Module} { // as the welcome says
		cosign(t, module, "verify-attestation", "--key", filepath.Join(data, "gatekeeper.pub"), "--type", "https://slsa.dev/verification_summary/v1",
			"--insecure-ignore-tlog", s.Golden+"/hello:v1")
	}

	// Nobody else writes to golden.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.Golden+"/v2/hello/manifests/v2", bytes.NewReader([]byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := harness.Do(t, req); status != http.StatusForbidden || !bytes.Contains(body, []byte("DENIED")) {
		t.Errorf("a write to golden: %d %s", status, body)
	}

	// What is there stays, keys included.
	p.Stop(t)
	if code := p.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
	harness.Start(t, harness.After("Gatekeeper ", "."), nil, harness.Gatekeeper(t), "serve", "--data", data)
	run(t, "explain", "hello:v1").want(t, 0, "promoted")
	late := harness.Push(t, s.Staging+"/hello:v2")
	harness.Sign(t, "bundle", filepath.Join(data, "cosign.key"), s.Staging+"/hello@"+late.String())
	s.Await(t, "hello", late, harness.Promoted)
}
