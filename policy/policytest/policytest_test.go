package policytest_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/policytest"
)

// publicKey makes a key for each name, always the same.
func publicKey(name string) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

func compiled(t *testing.T, text string) *policy.Compiled {
	t.Helper()
	policies, err := policyfile.Parse("services.yaml", []byte(text), publicKey)
	if err != nil {
		t.Fatal(err)
	}
	return policies[0].Compiled
}

const services = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["team-*/**"], tags: ["v*"]}
  wait: 10m
  signatures:
    - {name: ci, anyOf: [{keyFile: ci.pub}]}
    - {name: people, anyOf: [{keyFile: ann.pub}, {keyFile: ben.pub}]}
  attestations: [{name: tests, predicateType: "https://example.com/test/v1", signedBy: [ci], expression: 'predicate.passed'}]
  rules:
    - {name: non-root, expression: 'image.config.user != "root"', message: "run as another user"}
  promote: {to: golden, repository: "gold/{{ .Repository }}", tags: ["{{ .Tag }}"], channels: [stable], immutable: true}
`

const head = `apiVersion: gatekeeper/v1alpha1
kind: PolicyTest
policy: services
now: 2026-11-20T08:00:00Z
evidence:
  signatures: [{verifiedBy: [ci]}, {verifiedBy: [ann.pub]}]
  attestations: [{verifiedBy: [ci], predicateType: "https://example.com/test/v1", predicate: {passed: true}}]
cases:
  - name: it
`

func run(t *testing.T, text string) policytest.Result {
	t.Helper()
	suites, err := policytest.Parse("services_test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	results, err := suites[0].Run(compiled(t, services))
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func TestACaseSaysWhatIsNotAsExpected(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		evidence, now, expect string
		want                  []string // parts of what is said; none: it passes
	}{
		"a yes":              {``, "", `{verdict: promoted}`, nil},
		"a yes, in detail":   {``, "", `{verdict: promoted, findings: [], promotion: {registry: golden, repository: gold/team-a/app, tags: [v1], channels: [stable], immutable: true}}`, nil},
		"not a no":           {``, "", `{verdict: rejected}`, []string{"the verdict is promoted, want rejected"}},
		"not to there":       {``, "", `{verdict: promoted, promotion: {registry: x, repository: x, tags: [x], channels: [], immutable: false}}`, []string{"registry", "repository", "tags", "channels", "immutability of the promotion is true, want false"}},
		"it waits":           {`{signatures: []}`, "", `{verdict: pending, findings: [{rule: people}, {rule: ci, check: signatures, outcome: pending, reason: absent, found: "no signature"}]}`, nil},
		"until it does not":  {`{signatures: []}`, "2026-11-20T08:00:00Z", `{verdict: pending}`, nil},
		"at the deadline":    {`{signatures: [], push: {receivedAt: 2026-11-20T07:50:00Z}}`, "", `{verdict: rejected}`, nil},
		"a later moment":     {`{signatures: [], push: {receivedAt: 2026-11-20T08:00:00Z}}`, "2026-11-20T08:10:00Z", `{verdict: rejected}`, nil},
		"one finding more":   {`{signatures: []}`, "", `{verdict: pending, findings: [{rule: ci}]}`, []string{"another finding: signatures people"}},
		"one finding less":   {``, "", `{verdict: promoted, findings: [{check: rules, rule: non-root}]}`, []string{"no such finding: rules non-root"}},
		"not that text":      {`{signatures: []}`, "", `{verdict: pending, findings: [{rule: ci, found: moon}, {rule: people}]}`, []string{"no such finding: any check ci: moon", "another finding: signatures ci"}},
		"whatever order":     {`{signatures: []}`, "", `{verdict: pending, findings: [{check: signatures}, {rule: ci}]}`, nil},
		"a stranger":         {`{signatures: [{}, {verifiedBy: [ben.pub]}]}`, "", `{verdict: rejected, findings: [{rule: ci, reason: wrong_signer}]}`, nil},
		"an expression":      {`{attestations: [{verifiedBy: [ci], predicateType: "https://example.com/test/v1", predicate: {passed: false}}]}`, "", `{verdict: rejected, findings: [{check: attestations, rule: tests, reason: denied}]}`, nil},
		"a part is replaced": {`{image: {platforms: [{name: linux/arm64, digest: "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", config: {user: root}}]}}`, "", `{verdict: rejected, findings: [{rule: non-root, platform: linux/arm64}]}`, nil},
		"numbers and texts":  {`{image: {platforms: [{name: linux/amd64, digest: "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", config: {user: app}, labels: {a: 1.10, b: 7}, scan: {os: {id: alpine, version: 3.20}, packages: [{type: apk, name: a, version: 12.1}], vulnerabilities: [{id: a, epss: 0.10}, {id: b, epss: 1}]}}]}}`, "", `{verdict: promoted}`, nil},
		"taken away":         {`{image: {platforms: null}}`, "", `{verdict: rejected, findings: [{check: image}]}`, nil},
		"not its business":   {`{push: {tag: latest}}`, "", `{matches: false}`, nil},
		"its business":       {``, "", `{matches: false}`, []string{"staging/team-a/app:v1: true, want false"}},
		"nobody's business":  {`{subject: {registry: other}}`, "", `{verdict: promoted}`, []string{"other/team-a/app:v1: false, want true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := head
			for key, value := range map[string]string{"evidence": tt.evidence, "now": tt.now, "expect": tt.expect} {
				if value != "" {
					text += "    " + key + ": " + value + "\n"
				}
			}
			got := run(t, text)
			if got.Passed() != (len(tt.want) == 0) {
				t.Fatalf("%q", got.Failures)
			}
			all := strings.Join(got.Failures, "\n")
			for _, part := range tt.want {
				if !strings.Contains(all, part) {
					t.Errorf("%q, want %q", all, part)
				}
			}
		})
	}
}

func TestMistakesHaveAPlace(t *testing.T) {
	t.Parallel()
	rest := "    expect: {verdict: promoted}\n"
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":                 {"", "services_test.yaml:1:1: the file holds no tests"},
		"another kind":            {strings.Replace(head, "PolicyTest", "Policy", 1) + rest, ":2:7: kind"},
		"another version":         {strings.Replace(head, "v1alpha1", "v9", 1) + rest, ":1:13: apiVersion"},
		"no policy":               {strings.Replace(head, "policy: services\n", "", 1) + rest, "say which policy"},
		"no moment":               {strings.Replace(head, "now: 2026-11-20T08:00:00Z\n", "", 1) + rest, "at which moment"},
		"an odd moment":           {head + "    now: yesterday\n" + rest, `:10:10: cases[0].now: "yesterday"`},
		"an unknown key":          {head + "    expects: {}\n" + rest, "expects: unknown key"},
		"no cases":                {head[:strings.Index(head, "cases:")] + "cases: []\n", "there are no cases"},
		"one name twice":          {head + rest + "  - name: it\n" + rest, "a name of its own"},
		"no verdict":              {head + "    expect: {}\n", "say which verdict"},
		"an unknown verdict":      {head + "    expect: {verdict: yes please}\n", `"yes please" is none of promoted`},
		"an unknown check":        {head + "    expect: {verdict: rejected, findings: [{check: luck}]}\n", `the check "luck"`},
		"an unknown reason":       {head + "    expect: {verdict: rejected, findings: [{reason: luck}]}\n", `the reason "luck"`},
		"an unknown outcome":      {head + "    expect: {verdict: rejected, findings: [{outcome: luck}]}\n", `the outcome "luck"`},
		"an empty finding":        {head + "    expect: {verdict: rejected, findings: [{}]}\n", "says nothing"},
		"too much":                {head + "    expect: {matches: false, verdict: promoted}\n", "says nothing else"},
		"unknown evidence":        {head + "    evidence: {signatures: [{verified: yes}]}\n" + rest, `cases[0].evidence: case "it": unknown key "verified"; known here: `},
		"unknown base":            {strings.Replace(head, "evidence:", "evidence:\n  luck: 1", 1) + rest, `evidence: unknown key "luck"; known here: `},
		"another case of letters": {head + "    evidence: {Signatures: []}\n" + rest, `unknown key "Signatures"`},
		"an unknown authority":    {head + "    evidence: {signatures: [{verifiedBy: [cy]}]}\n" + rest, `nobody called "cy"`},
		"a group":                 {head + "    evidence: {attestations: [{verifiedBy: [people]}]}\n" + rest, `"people" has 2 keys`},
		"evidence of no object":   {head + "    evidence: {image: 3}\n" + rest, "it is not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suites, err := policytest.Parse("services_test.yaml", []byte(tt.text))
			if err == nil {
				_, err = suites[0].Run(compiled(t, services))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "services_test.yaml:") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// Who signs with a certificate is known by it.
func TestIdentitiesAreWrittenOut(t *testing.T) {
	t.Parallel()
	keyless := strings.Replace(services, "{keyFile: ci.pub}", `{keyless: {issuer: "https://issuer.example.com", identity: "https://example.com/ci"}}`, 1)
	c := compiled(t, keyless)
	by := `{trustRoot: sigstore, issuer: "https://issuer.example.com", subject: "https://example.com/ci"}`
	text := strings.ReplaceAll(head, "verifiedBy: [ci]", "identities: ["+by+"]") + "    expect: {verdict: promoted}\n"
	suites, err := policytest.Parse("x_test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	results, err := suites[0].Run(c)
	if err != nil || !results[0].Passed() {
		t.Errorf("%+v, %v", results, err)
	}
	suites, err = policytest.Parse("x_test.yaml", []byte(head+"    expect: {verdict: promoted}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suites[0].Run(c); err == nil || !strings.Contains(err.Error(), "write it under identities") {
		t.Errorf("%v", err)
	}
}

// One run leaves nothing behind for the next one.
func TestCasesAreIndependent(t *testing.T) {
	t.Parallel()
	text := head + "    evidence: {push: {tag: latest}, signatures: null}\n    expect: {matches: false}\n  - name: the base\n    expect: {verdict: promoted, promotion: {tags: [v1]}}\n"
	suites, err := policytest.Parse("x_test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := compiled(t, services)
	for range 2 {
		results, err := suites[0].Run(c)
		if err != nil || slices.ContainsFunc(results, func(r policytest.Result) bool { return !r.Passed() }) {
			t.Errorf("%+v, %v", results, err)
		}
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := policytest.WriteJUnit(&out, []policytest.Result{
		{File: "a_test.yaml", Line: 3, Policy: "services", Case: "good <1>"},
		{File: "a_test.yaml", Line: 5, Policy: "services", Case: "bad", Failures: []string{"the verdict is & was", "more"}},
		{File: "a_test.yaml", Line: 9, Policy: "infra", Case: "good"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string `xml:"name,attr"`
				Line    int    `xml:"line,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tests != 3 || report.Failures != 1 || len(report.Suites) != 2 || len(report.Suites[0].Cases) != 2 {
		t.Fatalf("%+v", report)
	}
	if bad := report.Suites[0].Cases[1]; bad.Line != 5 || bad.Failure == nil || bad.Failure.Message != "the verdict is & was" {
		t.Errorf("%+v", bad)
	}
	if good := report.Suites[0].Cases[0]; good.Failure != nil || good.Name != "good <1>" {
		t.Errorf("%+v", good)
	}
}

// The tests that the manual shows pass.
func TestTheManualShowsTestsThatPass(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown *policy.Compiled
	cases := 0
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		switch {
		case strings.Contains(block, "metadata: {name: web}"):
			shown = compiled(t, block)
		case strings.Contains(block, "kind: PolicyTest"):
			suites, err := policytest.Parse("web_test.yaml", []byte(block))
			if err != nil {
				t.Fatal(err)
			}
			results, err := suites[0].Run(shown)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				cases++
				if !r.Passed() {
					t.Errorf("%s: %q", r.Case, r.Failures)
				}
			}
		}
	}
	if want := strings.Count(string(text), " cases: ok"); want != 1 || !strings.Contains(string(text), fmt.Sprintf("\n%d cases: ok", cases)) {
		t.Errorf("%d cases, and the manual says another number", cases)
	}
}
