package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

const reportPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: reported}
spec:
  from: staging
  match: {repositories: ["**"]}
  authorities: [{name: ci, anyOf: [{keyFile: "{{KEY}}"}]}]
  vulnerabilities:
    report: {from: [attestation], signedBy: [ci]}
    deny: [{severity: critical, fixed: true}]
    vex: {signedBy: [ci]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

// What cosign attests of a scan, and of what it found, decides.
func TestReportsAndVEXAsCosignAttestsThem(t *testing.T) {
	t.Parallel()
	registry := harness.StartRegistry(t, "", "")
	s := harness.NewServiceFor(t, registry, "127.0.0.1:1", reportPolicy)
	for form, flags := range harness.Forms() {
		name := registry + "/team-a/" + form + ":v1"
		digest := harness.Push(t, name).String()
		attest := func(predicateType, predicate string) {
			t.Helper()
			s.Write(t, "predicate.json", predicate)
			args := []string{"attest", "--type", predicateType, "--predicate", s.Path("predicate.json"), "--key", s.Keys.Private, "--tlog-upload=false", "--yes", "--allow-http-registry"}
			harness.Cosign(t, append(append(args, flags...), registry+"/team-a/"+form+"@"+digest)...)
		}
		says := func(want ...string) {
			t.Helper()
			answer := s.Judge(t, name+"@"+digest)
			for _, text := range want {
				if !strings.Contains(answer, text) {
					t.Fatalf("%s form: no %s in %s", form, text, answer)
				}
			}
		}
		now := time.Now().UTC().Format(time.RFC3339)
		report := fmt.Sprintf(`{"scanner":{"uri":"grype","db":{"lastUpdate":%q},"result":{"matches":[{"vulnerability":{"id":"CVE-2026-1","severity":"Critical",`+
			`"fix":{"versions":["2"],"state":"fixed"}},"artifact":{"name":"curl","version":"1","purl":"pkg:deb/debian/curl@1"}}],"source":{"type":"image"},`+
			`"descriptor":{"name":"grype"}}},"metadata":{"scanStartedOn":%q,"scanFinishedOn":%q}}`, now, now, now)

		says(`"verdict":"pending"`, "no report yet")
		attest("vuln", report) // cosign drops the database's age
		says(`"verdict":"rejected"`, "does not say how old its vulnerability database was")
		attest("https://cosign.sigstore.dev/attestation/vuln/v1", report)
		says(`"verdict":"rejected"`, "CVE-2026-1 (critical) in curl 1")
		attest("openvex", fmt.Sprintf(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex","author":"sec","timestamp":%q,"version":1,"statements":[`+
			`{"vulnerability":{"name":"CVE-2026-1"},"products":[{"@id":"pkg:oci/%s@%s"}],"status":"not_affected","justification":"component_not_present"}]}`,
			now, form, strings.Replace(digest, ":", "%3A", 1)))
		says(`"verdict":"promoted"`, "excused by the VEX statement")
	}
}
