package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const webhookSecret = "e2e-webhook-secret"

// stack is staging, golden and the gatekeeper between them, each a process.
type stack struct {
	staging, golden string // host:port
	admin, webhooks string // URLs
	relay           *relay
	dir             string
	keys            keyPair
	process         *process
}

type keyPair struct{ private, public string }

// newStack starts everything with the given policy; {{KEY}} in it becomes the
// path of the public key.
func newStack(t *testing.T, policy string) *stack {
	t.Helper()
	s := &stack{dir: t.TempDir(), relay: newRelay(t)}
	s.keys = generateKeys(t, s.dir, "ci")
	s.staging = startRegistry(t, s.relay.URL+"/webhooks/staging", webhookSecret)
	s.golden = startRegistry(t, "", "")
	s.write(t, "policies/policy.yaml", strings.ReplaceAll(policy, "{{KEY}}", s.keys.public))
	s.write(t, "secret", webhookSecret+"\n")
	s.write(t, "gatekeeper.yaml", fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: "127.0.0.1:0", admin: "127.0.0.1:0"}
storage: {url: "sqlite://%[1]s/gatekeeper.db"}
registries:
  - name: staging
    url: http://%[2]s
    notifications: {format: distribution, secretFile: %[1]s/secret}
  - name: golden
    url: http://%[3]s
policies: %[1]s/policies
`, s.dir, s.staging, s.golden))
	s.serve(t)
	return s
}

// serve starts the gatekeeper, or starts it again.
func (s *stack) serve(t *testing.T) {
	t.Helper()
	type listening struct{ Webhooks, Admin string }
	var addrs listening
	find := func(line string) (string, bool) {
		if !strings.Contains(line, `"msg":"listening"`) {
			return "", false
		}
		return line, true
	}
	var line string
	s.process, line = start(t, find, nil, gatekeeper(t), "serve", "--config", s.path("gatekeeper.yaml"), "--log-format", "json")
	if err := json.Unmarshal([]byte(line), &addrs); err != nil {
		t.Fatalf("read the line that names the addresses: %v\n%s", err, line)
	}
	s.webhooks, s.admin = "http://"+addrs.Webhooks, "http://"+addrs.Admin
	target, err := url.Parse(s.webhooks)
	if err != nil {
		t.Fatal(err)
	}
	s.relay.target.Store(target)
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stack) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// generateKeys makes a key pair with the cosign client.
func generateKeys(t *testing.T, dir, name string) keyPair {
	t.Helper()
	cosign(t, "generate-key-pair", "--output-key-prefix", filepath.Join(dir, name))
	return keyPair{private: filepath.Join(dir, name+".key"), public: filepath.Join(dir, name+".pub")}
}

// cosign runs the real client and fails the test when it fails.
func cosign(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryCosign(t, args...)
	if err != nil {
		t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryCosign(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), tool(t, cosignModule), args...)
	c.Env = append(os.Environ(), "COSIGN_PASSWORD=", "SIGSTORE_NO_CACHE=true")
	out, err := c.CombinedOutput()
	return string(out), err
}

// push uploads a new small image under a tag and returns its digest.
func push(t *testing.T, reference string) v1.Hash {
	t.Helper()
	img, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return pushImage(t, reference, img)
}

func pushImage(t *testing.T, reference string, img v1.Image) v1.Hash {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// digestOf returns what a reference points to; nothing when it does not exist.
func digestOf(t *testing.T, reference string) string {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(ref, remote.WithContext(t.Context()))
	if err != nil {
		return ""
	}
	return d.Digest.String()
}

// catalog lists every repository of a registry.
func catalog(t *testing.T, host string) []string {
	t.Helper()
	reg, err := name.NewRegistry(host, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	repositories, err := remote.Catalog(t.Context(), reg)
	if err != nil {
		t.Fatal(err)
	}
	return repositories
}

// decision is the part of the API's answer that the tests look at.
type decision struct {
	ID       int64
	Verdict  string
	Push     struct{ Repository, Tag, Digest string }
	Findings []finding
	Results  []struct {
		Policy   string
		Verdict  string
		Findings []finding
	}
	Golden []struct{ Registry, Repository, Tag, Digest string }
}

type finding struct{ Check, Rule, Outcome, Reason, Found, Expected, Remedy string }

func (d decision) reasons() []string {
	var reasons []string
	for _, f := range d.Findings {
		reasons = append(reasons, f.Reason)
	}
	for _, r := range d.Results {
		for _, f := range r.Findings {
			reasons = append(reasons, f.Reason)
		}
	}
	return reasons
}

// await polls the API until the newest decision about a digest satisfies done.
func (s *stack) await(t *testing.T, repository string, digest v1.Hash, done func(decision) bool) decision {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last []decision
	for {
		last = s.decisions(t, "repository="+url.QueryEscape(repository)+"&digest="+url.QueryEscape(digest.String()))
		if len(last) > 0 && done(last[0]) {
			return last[0]
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s@%s: the awaited decision does not come; so far: %+v", repository, digest, last)
		case <-tick.C:
		}
	}
}

func (s *stack) decisions(t *testing.T, query string) []decision {
	t.Helper()
	status, body := get(t, s.admin+"/api/v1/decisions?"+query)
	if status != http.StatusOK {
		t.Fatalf("list decisions: %d %s", status, body)
	}
	var list struct{ Decisions []decision }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("decode %s: %v", body, err)
	}
	return list.Decisions
}

// promoted waits for the end of a promotion: the verdict and what was written.
func promoted(d decision) bool { return d.Verdict == "promoted" && len(d.Golden) > 0 }

func verdict(want string) func(decision) bool {
	return func(d decision) bool { return d.Verdict == want }
}

func get(t *testing.T, target string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func post(t *testing.T, target, token, contentType string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (int, []byte) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}
