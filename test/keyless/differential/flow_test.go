package differential_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// releasePolicy lets through what the workflows of acme sign and attest on
// their main branches.
const releasePolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: release}
spec:
  from: staging
  match: {repositories: ["**"]}
  wait: 30m
  signatures:
    - name: ci
      anyOf:
        - keyless:
            trustRoot: acme
            issuer: %q
            identity: https://github.com/acme/*/.github/workflows/release.yml@*
            claims:
              githubWorkflowRepository: acme/app
              sourceRepositoryRef: refs/heads/main
              runnerEnvironment: github-hosted
  attestations:
    - {name: build, predicateType: "https://slsa.dev/provenance/v1", signedBy: [ci]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

// A push that a workflow signed without a key is promoted by who signed it,
// with its evidence; what another workflow signed is refused, and the finding
// says who it was. Nobody leaves this machine for it.
func TestKeylessFromPushToGolden(t *testing.T) {
	stack := sigstore.Start(t)
	harness.Gatekeeper(t)
	for _, tool := range []string{harness.RegistryModule, string(sigstore.Cosign2), string(sigstore.Cosign3)} {
		harness.Tool(t, tool) // from here on, there is no module proxy either
	}
	asked := wayOut(t)
	g := newGate(t)
	staging := harness.StartRegistry(t, g.Relay.URL+"/webhooks/staging", harness.WebhookSecret)
	golden := harness.StartRegistry(t, "", "")
	right := stack.Workflow(t, workflow)
	g.start(t, settings{
		registries: map[string]string{"staging": staging}, golden: golden,
		trustRoots: []string{fmt.Sprintf("{name: acme, file: %q, require: {certificateTimestamps: 1, logEntries: 1, timestamps: 1}}", stack.TrustedRoot)},
		policies:   []string{fmt.Sprintf(releasePolicy, right.Issuer)},
	})
	otherBranch := strings.Replace(workflow, "main", "experiment", 1)
	otherRepository := strings.Replace(workflow, "acme/app", "acme/toy", 1)
	cases := map[string]struct {
		by       sigstore.Identity
		promoted bool
	}{
		"right":            {right, true},
		"other-owner":      {stack.Workflow(t, otherWorkflow), false},
		"other-branch":     {stack.Workflow(t, otherBranch), false}, // by its claim alone
		"other-repository": {stack.Workflow(t, otherRepository), false},
		"person":           {stack.Email(t, "alice@example.com"), false},
	}
	clients := map[string]sigstore.Signing{
		"cosign2": {Client: sigstore.Cosign2, Form: sigstore.Tag, Log: sigstore.RekorV1},
		"cosign3": {Client: sigstore.Cosign3, Form: sigstore.Bundle, Log: sigstore.RekorV2},
	}
	for who, test := range cases {
		for client, signing := range clients {
			t.Run(who+"-"+client, func(t *testing.T) {
				repository := who + "/" + client
				image := sigstore.PushImage(t, staging, repository)
				digest := digestOf(t, image)
				g.Await(t, repository, digest, harness.Verdict("pending"))
				signing.Identity = test.by
				stack.Sign(t, signing, image)
				if !test.promoted {
					refusal(t, g.Await(t, repository, digest, harness.Verdict("rejected")), test.by)
					return
				}
				stack.Attest(t, signing, provenance, []byte(`{"buildDefinition":{},"runDetails":{}}`), image)
				g.Await(t, repository, digest, harness.Promoted)
				if there := harness.DigestOf(t, golden+"/"+repository+":v1"); there != digest.String() {
					t.Errorf("golden v1 is %q, want %s", there, digest)
				}
				promoted := strings.Replace(image, staging, golden, 1)
				if err := stack.Verify(t, signing.Client, signing, promoted); err != nil {
					t.Error(err)
				}
				if err := stack.VerifyAttestation(t, signing.Client, signing, provenance, promoted); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if out := asked(); len(out) > 0 {
		t.Errorf("asked for a way out of this machine: %v", out)
	}
}

// refusal checks that the finding says who signed instead.
func refusal(t *testing.T, d harness.Decision, by sigstore.Identity) {
	t.Helper()
	for _, r := range d.Results {
		for _, f := range r.Findings {
			if f.Check == "signatures" && f.Reason == "wrong_signer" && strings.Contains(f.Found, by.Name+" (issued by "+by.Issuer+", certified by acme)") {
				return
			}
		}
	}
	t.Errorf("no finding names %s: %+v", by.Name, d)
}

// wayOut stands where a proxy to the world would, for every process that the
// test starts, and tells what it was asked for. Go asks no proxy for 127.0.0.1.
func wayOut(t *testing.T) (asked func() []string) {
	t.Helper()
	requests := make(chan string, 100)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case requests <- r.Method + " " + r.Host:
		default: // enough to fail
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	return func() []string {
		var all []string
		for {
			select {
			case request := <-requests:
				all = append(all, request)
			default:
				return all
			}
		}
	}
}

func digestOf(t *testing.T, image string) v1.Hash {
	t.Helper()
	ref, err := name.NewDigest(image)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := v1.NewHash(ref.DigestStr())
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
