package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// counter is a proxy in front of a registry that counts what is asked.
type counter struct {
	*httptest.Server

	mu    sync.Mutex
	asked []string
}

func newCounter(t *testing.T, registry string) *counter {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: registry}
	c := &counter{}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counter) host() string { return c.Listener.Addr().String() }

// take returns what was asked since it was last called.
func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// evidencePolicy asks for a signature and two attestations.
const evidencePolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: attested}
spec:
  from: staging
  match: {repositories: ["**"]}
  signatures: [{name: ci, anyOf: [{keyFile: "{{KEY}}"}]}]
  attestations:
    - {name: tests, predicateType: "https://in-toto.io/attestation/test-result/v0.1", signedBy: [ci], expression: 'predicate.result == "PASSED"'}
    - {name: build, predicateType: "https://slsa.dev/provenance/v1", signedBy: [ci]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

// A judgement asks the registry at most half of what cosign asks to verify the
// same signature and attestations, reading the image included. Both are
// counted after the service's first question, in which it learns how the
// registry authenticates and that it has no referrers API.
func TestAJudgementTakesHalfTheRequestsOfCosign(t *testing.T) {
	t.Parallel()
	registry := harness.StartRegistry(t, "", "")
	proxy := newCounter(t, registry)
	s := harness.NewServiceFor(t, proxy.host(), "127.0.0.1:1", evidencePolicy)
	s.Write(t, "predicate.json", `{"result":"PASSED"}`)
	s.Write(t, "trusted_root.json", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	ask := func(image string) {
		if answer := s.Judge(t, image); !strings.Contains(answer, `"verdict":"promoted"`) {
			t.Fatal(answer)
		}
	}
	for form, flags := range harness.Forms() {
		first := evidenced(t, s, registry, "team-a/"+form+"-first", flags)
		ask(proxy.host() + "/team-a/" + form + "-first:v1@" + first)
		digest := evidenced(t, s, registry, "team-a/"+form, flags)
		through := proxy.host() + "/team-a/" + form + "@" + digest
		common := append([]string{"--key", s.Keys.Public, "--insecure-ignore-tlog", "--allow-http-registry"}, flags...)
		if form == "bundle" {
			common = append(common, "--trusted-root", s.Path("trusted_root.json"))
		}
		proxy.take()
		harness.Cosign(t, append(append([]string{"verify"}, common...), through)...)
		for _, predicateType := range predicateTypes() {
			harness.Cosign(t, append(append([]string{"verify-attestation", "--type", predicateType}, common...), through)...)
		}
		theirs := proxy.take()
		ask(proxy.host() + "/team-a/" + form + ":v1@" + digest)
		ours := proxy.take()
		t.Logf("%s form: %d requests, cosign %d", form, len(ours), len(theirs))
		if 2*len(ours) > len(theirs) {
			t.Errorf("%s form: %d requests, more than half of cosign's %d\nours:\n%v\ntheirs:\n%v", form, len(ours), len(theirs), ours, theirs)
		}
	}
}

func predicateTypes() []string {
	return []string{"https://in-toto.io/attestation/test-result/v0.1", "https://slsa.dev/provenance/v1"}
}

// evidenced pushes an image and has cosign sign and attest it.
func evidenced(t *testing.T, s *harness.Stack, registry, repository string, flags []string) string {
	t.Helper()
	digest := harness.Push(t, registry+"/"+repository+":v1").String()
	image := registry + "/" + repository + "@" + digest
	common := append([]string{"--key", s.Keys.Private, "--tlog-upload=false", "--yes", "--allow-http-registry"}, flags...)
	harness.Cosign(t, append(append([]string{"sign"}, common...), image)...)
	for _, predicateType := range predicateTypes() {
		harness.Cosign(t, append(append([]string{"attest", "--type", predicateType, "--predicate", s.Path("predicate.json")}, common...), image)...)
	}
	return digest
}
