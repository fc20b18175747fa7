package policyfile_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

func schema(t *testing.T) (*jsonschema.Schema, []byte) {
	t.Helper()
	text, err := policyfile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", decoded); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s, text
}

// Every key is described, so that an editor can show what it means.
func TestTheSchemaDescribesEveryKey(t *testing.T) {
	t.Parallel()
	_, text := schema(t)
	type mapping struct {
		Properties           map[string]struct{ Description string }
		AdditionalProperties any
	}
	var all struct {
		mapping

		Defs map[string]mapping `json:"$defs"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	all.Defs["the policy"] = all.mapping
	for name, d := range all.Defs {
		if len(d.Properties) > 0 && d.AdditionalProperties != false {
			t.Errorf("%s takes unknown keys", name)
		}
		for key, property := range d.Properties {
			if property.Description == "" {
				t.Errorf("%s.%s is not described", name, key)
			}
		}
	}
	for _, d := range policyfile.DescribedKeys() {
		if !d.Known {
			t.Errorf("%s is described and not there", d.Key)
		}
	}
}

// What is accepted fits the schema, and the usual mistakes do not.
func TestTheSchemaTakesPoliciesAndNoMistakes(t *testing.T) {
	t.Parallel()
	s, _ := schema(t)
	validate := func(text string) error {
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(asJSON, &v); err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if block, ok := completed(block); ok && strings.Contains(block, "kind: PromotionPolicy") {
			found++
			if err := validate(block); err != nil {
				t.Errorf("%v\n%s", err, block)
			}
		}
	}
	if found == 0 {
		t.Error("the document shows no policy")
	}
	const sound = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  wait: 10m
  vulnerabilities: {deny: [{severity: high, after: 14d, fixed: true}], counts: [{deny: ">= 10"}]}
  promote: {to: golden, repository: x, tags: [x]}
`
	if err := validate(sound); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string][2]string{
		"an unknown key": {"wait:", "weit:"}, "a mode that is none": {"wait: 10m", "mode: enforced"}, "a severity": {"severity: high", "severity: severe"},
		"a duration": {"10m", "10 minutes"}, "a comparison": {">= 10", "ten"}, "no name": {"name: services", "description: x"}, "a list": {`["**"]`, `"**"`},
		"a kind": {"PromotionPolicy", "Policy"},
	} {
		if err := validate(strings.Replace(sound, edit[0], edit[1], 1)); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}

	const waivers = `apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers}
spec: {exceptions: [{id: CVE-2026-5678, package: curl, expires: 2026-11-30, owner: sec@acme.example, reason: only in tests}]}
`
	const versions = `apiVersion: gatekeeper/v1alpha1
kind: VersionList
metadata: {name: platform}
spec: {packages: [{type: npm, name: express, versions: ">= 4.21.2, < 5", since: 2026-10-01}]}
`
	for _, list := range []string{waivers, versions} {
		if err := validate(list); err != nil {
			t.Error(err)
		}
	}
	for name, text := range map[string]string{
		"an exception without an end": strings.Replace(waivers, "expires: 2026-11-30, ", "", 1), "an unknown key of a list": strings.Replace(versions, "since", "sins", 1),
		"a list with a policy's spec": strings.Replace(sound, "PromotionPolicy", "ExceptionList", 1), "a policy with a list's spec": strings.Replace(waivers, "ExceptionList", "PromotionPolicy", 1),
	} {
		if err := validate(text); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
