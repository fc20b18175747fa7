package differential_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// gate is a gatekeeper that runs until the test ends.
type gate struct {
	*harness.Stack

	turns chan struct{} // bounds the questions under way; the service answers 429 to too many
}

// settings are the parts of a configuration that differ from test to test.
type settings struct {
	registries map[string]string // name to host
	golden     string            // host; a registry that does not exist when empty
	trustRoots []string          // entries
	policies   []string          // documents
	signing    string            // how summaries are signed; not at all when empty
}

// startGate runs a gatekeeper.
func startGate(t *testing.T, c settings) *gate {
	t.Helper()
	g := newGate(t)
	g.start(t, c)
	return g
}

// newGate prepares a gatekeeper, to whose relay registries can report.
func newGate(t *testing.T) *gate {
	t.Helper()
	return &gate{Stack: &harness.Stack{Dir: t.TempDir(), Relay: harness.NewRelay(t)}, turns: make(chan struct{}, 2)}
}

func (g *gate) start(t *testing.T, c settings) {
	t.Helper()
	g.Write(t, "secret", harness.WebhookSecret)
	g.Write(t, "policies.yaml", strings.Join(c.policies, "---\n"))
	var config strings.Builder
	fmt.Fprintf(&config, `apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: "127.0.0.1:0", admin: "127.0.0.1:0"}
storage: {url: "sqlite://%[1]s/gatekeeper.db"}
policies: "%[1]s/policies.yaml"
trustRoots:
`, g.Dir)
	for _, entry := range c.trustRoots {
		fmt.Fprintf(&config, "  - %s\n", entry)
	}
	fmt.Fprintf(&config, "registries:\n  - {name: golden, url: \"http://%s\"}\n", cmp.Or(c.golden, "127.0.0.1:1"))
	for name, host := range c.registries {
		fmt.Fprintf(&config, "  - {name: %s, url: \"http://%s\", notifications: {format: distribution, secretFile: %q}}\n", name, host, g.Path("secret"))
	}
	if c.signing != "" {
		fmt.Fprintf(&config, "signing: %s\n", c.signing)
	}
	g.Write(t, "gatekeeper.yaml", config.String())
	g.Serve(t)
}

// judgement is the gatekeeper's answer about one image.
type judgement struct {
	Results []struct {
		Policy   string
		Verdict  string
		Findings []harness.Finding
	}
	text string // all of it
}

// check asks the running gatekeeper about an image that is named by its
// digest.
func (g *gate) check(t *testing.T, image string) judgement {
	t.Helper()
	g.turns <- struct{}{}
	defer func() { <-g.turns }()
	repository, digest, _ := strings.Cut(image, "@")
	body, err := json.Marshal(map[string]string{"image": repository + ":v1@" + digest}) // a policy is for tags
	if err != nil {
		t.Fatal(err)
	}
	status, answer := harness.Post(t, g.Admin+"/api/v1/check", "", "application/json", body)
	if status != http.StatusOK {
		t.Fatalf("check %s: %d %s", image, status, answer)
	}
	j := judgement{text: string(answer)}
	if err := json.Unmarshal(answer, &j); err != nil {
		t.Fatalf("decode %s: %v", answer, err)
	}
	return j
}

// accepts says whether a policy would promote the image. Not to be able to
// decide is a failure.
func (j judgement) accepts(t *testing.T, policy string) bool {
	t.Helper()
	for _, r := range j.Results {
		if r.Policy != policy {
			continue
		}
		if r.Verdict == "error" {
			t.Errorf("%s cannot be decided: %s", policy, j.text)
		}
		return r.Verdict == "promoted"
	}
	t.Errorf("no verdict by %s: %s", policy, j.text)
	return false
}

const predicateType = "https://example.com/review/v1"

// signaturePolicy asks for a signature by one authority.
func signaturePolicy(name, from, authority string) string {
	return policyText(name, from, fmt.Sprintf("  signatures: [{name: ci, anyOf: [%s]}]\n", authority))
}

// attestationPolicy asks for an attestation by one authority.
func attestationPolicy(name, from, authority, predicateType string) string {
	return policyText(name, from, fmt.Sprintf("  authorities: [{name: ci, anyOf: [%s]}]\n  attestations: [{name: review, predicateType: %q, signedBy: [ci]}]\n", authority, predicateType))
}

func policyText(name, from, rules string) string {
	return fmt.Sprintf(`apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: %s}
spec:
  from: %s
  match: {repositories: ["**"]}
  wait: 30m
%s  promote: {to: golden, repository: "%[1]s/{{ .Repository }}", tags: ["{{ .Tag }}"]}
`, name, from, rules)
}

// finding is the first that a policy has.
func (j judgement) finding(policy string) (reason, found string) {
	for _, r := range j.Results {
		if r.Policy == policy && len(r.Findings) > 0 {
			return r.Findings[0].Reason, r.Findings[0].Found
		}
	}
	return "", ""
}
