package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// WebhookSecret is what the registries' notifications carry.
const WebhookSecret = "e2e-webhook-secret"

// Stack is staging, golden and the gatekeeper between them, each a process.
type Stack struct {
	Staging, Golden string // host:port
	Admin, Webhooks string // URLs
	Relay           *Relay
	Dir             string
	Keys            KeyPair
	Process         *Process

	// What may be set before Configure and Serve.
	Program  string   // the product; built from this tree when empty
	Env      []string // for the product, in addition to the test's
	Storage  string   // the journal's URL; a SQLite file in Dir when empty
	Settings string   // more of the configuration, as YAML
	Limits   string   // of both registries, as YAML; the product's own when empty
}

// KeyPair is where a key pair is kept.
type KeyPair struct{ Private, Public string }

// NewStack starts everything with the given policy; {{KEY}} in it becomes the
// path of the public key.
func NewStack(tb testing.TB, policy string) *Stack {
	tb.Helper()
	s := &Stack{Dir: tb.TempDir(), Relay: NewRelay(tb)}
	s.Keys = GenerateKeys(tb, s.Dir, "ci")
	s.Staging = StartRegistry(tb, s.Relay.URL+"/webhooks/staging", WebhookSecret)
	s.Golden = StartRegistry(tb, "", "")
	s.Configure(tb, policy)
	s.Serve(tb)
	return s
}

// NewServiceFor starts the gatekeeper alone, between registries that the test
// provides.
func NewServiceFor(tb testing.TB, staging, golden, policy string) *Stack {
	tb.Helper()
	s := &Stack{Dir: tb.TempDir(), Relay: NewRelay(tb), Staging: staging, Golden: golden}
	s.Keys = GenerateKeys(tb, s.Dir, "ci")
	s.Configure(tb, policy)
	s.Serve(tb)
	return s
}

// Configure writes the configuration with one policy.
func (s *Stack) Configure(tb testing.TB, policy string) {
	tb.Helper()
	s.Write(tb, "policies/policy.yaml", strings.ReplaceAll(policy, "{{KEY}}", s.Keys.Public))
	s.Write(tb, "secret", WebhookSecret+"\n")
	s.Write(tb, "gatekeeper.yaml", fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: "127.0.0.1:0", admin: "127.0.0.1:0"}
storage: {%[4]s}
registries:
  - name: staging
    url: http://%[2]s
    notifications: {format: distribution, secretFile: "%[1]s/secret"}
    limits: %[6]s
  - name: golden
    url: http://%[3]s
    limits: %[6]s
policies: "%[1]s/policies"
%[5]s`, s.Dir, s.Staging, s.Golden, s.storage(), s.Settings, cmp.Or(s.Limits, "{}")))
}

func (s *Stack) storage() string {
	if s.Storage == "" {
		return fmt.Sprintf(`url: "sqlite://%s"`, s.Path("gatekeeper.db"))
	}
	return fmt.Sprintf(`url: %q, dir: %q`, s.Storage, s.Dir)
}

// Judge asks for a judgement of an image without effect, and returns the
// answer.
func (s *Stack) Judge(tb testing.TB, image string) string {
	tb.Helper()
	body, err := json.Marshal(map[string]string{"image": image})
	if err != nil {
		tb.Fatal(err)
	}
	status, answer := Post(tb, s.Admin+"/api/v1/check", "", "application/json", body)
	if status != http.StatusOK {
		tb.Fatalf("judge %s: %d %s", image, status, answer)
	}
	return string(answer)
}

// Addresses are where a gatekeeper listens, as URLs.
type Addresses struct{ Webhooks, Admin string }

// Serve starts a gatekeeper with a configuration and waits until it listens.
func Serve(tb testing.TB, config string) (*Process, Addresses) {
	tb.Helper()
	return serve(tb, config, nil, Gatekeeper(tb))
}

// serve runs a command line that ends with the product, to which it adds.
func serve(tb testing.TB, config string, env []string, program ...string) (*Process, Addresses) {
	tb.Helper()
	find := func(line string) (string, bool) {
		if !strings.Contains(line, `"msg":"listening"`) {
			return "", false
		}
		return line, true
	}
	args := append(slices.Clone(program), "serve", "--config", config, "--log-format", "json")
	process, line := Start(tb, find, env, args[0], args[1:]...)
	var at Addresses
	if err := json.Unmarshal([]byte(line), &at); err != nil {
		tb.Fatalf("read the line that names the addresses: %v\n%s", err, line)
	}
	return process, Addresses{Webhooks: "http://" + at.Webhooks, Admin: "http://" + at.Admin}
}

// Serve starts the gatekeeper, or starts it again.
func (s *Stack) Serve(tb testing.TB) {
	tb.Helper()
	s.ServeWith(tb)
}

// ServeWith starts the gatekeeper with another program before it in its
// command line, which becomes it in the end.
func (s *Stack) ServeWith(tb testing.TB, before ...string) {
	tb.Helper()
	if s.Program == "" {
		s.Program = Gatekeeper(tb)
	}
	var at Addresses
	s.Process, at = serve(tb, s.Path("gatekeeper.yaml"), s.Env, append(slices.Clone(before), s.Program)...)
	s.Webhooks, s.Admin = at.Webhooks, at.Admin
	target, err := url.Parse(s.Webhooks)
	if err != nil {
		tb.Fatal(err)
	}
	s.Relay.Target.Store(target)
}

// Path is a file in the stack's folder.
func (s *Stack) Path(name string) string { return filepath.Join(s.Dir, name) }

func (s *Stack) Write(tb testing.TB, name, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(name)), 0o750); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(s.Path(name), []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// GenerateKeys makes a key pair with the cosign client.
func GenerateKeys(tb testing.TB, dir, name string) KeyPair {
	tb.Helper()
	Cosign(tb, "generate-key-pair", "--output-key-prefix", filepath.Join(dir, name))
	return KeyPair{Private: filepath.Join(dir, name+".key"), Public: filepath.Join(dir, name+".pub")}
}

// Cosign runs the real client and fails the test when it fails.
func Cosign(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := TryCosign(tb, args...)
	if err != nil {
		tb.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryCosign runs the real client.
func TryCosign(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	c := exec.CommandContext(tb.Context(), Tool(tb, CosignModule), args...)
	c.Env = append(os.Environ(), "COSIGN_PASSWORD=", "SIGSTORE_NO_CACHE=true")
	out, err := c.CombinedOutput()
	return string(out), err
}

// Push uploads a new small image under a tag and returns its digest.
func Push(tb testing.TB, reference string) v1.Hash {
	tb.Helper()
	img, err := random.Image(2048, 2)
	if err != nil {
		tb.Fatal(err)
	}
	return PushImage(tb, reference, img)
}

// PushImage uploads an image under a reference and returns its digest.
func PushImage(tb testing.TB, reference string, img v1.Image) v1.Hash {
	tb.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		tb.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithContext(tb.Context())); err != nil {
		tb.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		tb.Fatal(err)
	}
	return digest
}

// DigestOf returns what a reference points to; nothing when it does not exist.
func DigestOf(tb testing.TB, reference string) string {
	tb.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		tb.Fatal(err)
	}
	d, err := remote.Head(ref, remote.WithContext(tb.Context()))
	if err != nil {
		return ""
	}
	return d.Digest.String()
}

// Catalog lists every repository of a registry.
func Catalog(tb testing.TB, host string) []string {
	tb.Helper()
	reg, err := name.NewRegistry(host, name.Insecure)
	if err != nil {
		tb.Fatal(err)
	}
	repositories, err := remote.Catalog(tb.Context(), reg)
	if err != nil {
		tb.Fatal(err)
	}
	return repositories
}

// Decision is the part of the API's answer that the tests look at.
type Decision struct {
	ID       int64
	Verdict  string
	Push     struct{ Repository, Tag, Digest string }
	Findings []Finding
	Results  []struct {
		Policy   string
		Verdict  string
		Findings []Finding
	}
	Golden []struct{ Registry, Repository, Tag, Digest string }
}

// Finding is one rule's answer in a Decision.
type Finding struct{ Check, Rule, Outcome, Reason, Found, Expected, Remedy string }

// Reasons lists the reasons of all findings.
func (d Decision) Reasons() []string {
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

// Await polls the API until the newest decision about a digest satisfies done.
func (s *Stack) Await(tb testing.TB, repository string, digest v1.Hash, done func(Decision) bool) Decision {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 45*time.Second)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last []Decision
	for {
		last = s.Decisions(tb, "repository="+url.QueryEscape(repository)+"&digest="+url.QueryEscape(digest.String()))
		if len(last) > 0 && done(last[0]) {
			return last[0]
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("%s@%s: the awaited decision does not come; so far: %+v", repository, digest, last)
		case <-tick.C:
		}
	}
}

// Decisions asks the API for decisions.
func (s *Stack) Decisions(tb testing.TB, query string) []Decision {
	tb.Helper()
	status, body := Get(tb, s.Admin+"/api/v1/decisions?"+query)
	if status != http.StatusOK {
		tb.Fatalf("list decisions: %d %s", status, body)
	}
	var list struct{ Decisions []Decision }
	if err := json.Unmarshal(body, &list); err != nil {
		tb.Fatalf("decode %s: %v", body, err)
	}
	return list.Decisions
}

// Promoted waits for the end of a promotion: the verdict and what was written.
func Promoted(d Decision) bool { return d.Verdict == "promoted" && len(d.Golden) > 0 }

// Verdict waits for a verdict.
func Verdict(want string) func(Decision) bool {
	return func(d Decision) bool { return d.Verdict == want }
}

// Get asks for a URL and returns the status and the body.
func Get(tb testing.TB, target string) (int, []byte) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, target, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return Do(tb, req)
}

// Post sends a body with a bearer token, if there is one.
func Post(tb testing.TB, target, token, contentType string, body []byte) (int, []byte) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return Do(tb, req)
}

// Do sends a request and returns the status and the body.
func Do(tb testing.TB, req *http.Request) (int, []byte) {
	tb.Helper()
	client := &http.Client{Timeout: 2 * time.Minute} // a check may meet several of the service's own limits
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, body
}

// Notifications reads one series of gatekeeper_notifications_total.
func (s *Stack) Notifications(tb testing.TB, source, outcome string) int {
	tb.Helper()
	return int(s.Metric(tb, fmt.Sprintf(`gatekeeper_notifications_total{outcome=%q,source=%q}`, outcome, source)))
}

// Metric reads one sample from /metrics; 0 when it is not there.
func (s *Stack) Metric(tb testing.TB, series string) float64 {
	tb.Helper()
	status, body := Get(tb, s.Admin+"/metrics")
	if status != http.StatusOK {
		tb.Fatalf("/metrics: %d %s", status, body)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Forms are the two forms in which cosign leaves a signature in a registry,
// with the flags that ask for them.
func Forms() map[string][]string {
	return map[string][]string{"tag": nil, "bundle": {"--new-bundle-format"}}
}

// Sign signs an image with the real client, without a transparency log.
func Sign(tb testing.TB, form, key, reference string) {
	tb.Helper()
	args := append([]string{"sign", "--key", key, "--tlog-upload=false", "--yes", "--allow-http-registry"}, Forms()[form]...)
	Cosign(tb, append(args, reference)...)
}
