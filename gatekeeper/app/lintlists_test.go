package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const listsPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  vulnerabilities:
    deny: [{severity: high}]
    exceptions:
      - {id: CVE-1, package: openssl, expires: DAY60, owner: ann, reason: x}
      - {id: CVE-2, expires: DAY60, owner: ann, reason: x}
    exceptionLists: [waivers]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

const listsWaivers = `apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers}
spec:
  exceptions:
    - {id: CVE-1, expires: DAY90, owner: sec, reason: wider and longer}
    - {id: CVE-2, repositories: ["team-a/**"], expires: DAY60, owner: sec, reason: narrower}
    - {id: CVE-2, expires: DAY90, package: curl, owner: sec, reason: longer}
    - {id: CVE-3, expires: DAY5, owner: sec, reason: ends}
    - {id: CVE-4, expires: DAY60, owner: sec, reason: once}
    - {id: CVE-4, expires: DAY60, owner: sec, reason: twice}
`

func onDays(text string) string {
	for name, days := range map[string]int{"DAY5": 5, "DAY60": 60, "DAY90": 90} {
		text = strings.ReplaceAll(text, name, time.Now().AddDate(0, 0, days).UTC().Format(time.DateOnly))
	}
	return text
}

func lintText(t *testing.T, locations ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := LintPolicies(t.Context(), locations, outputText, Streams{Out: &out, Err: &out})
	return out.String(), err
}

func TestLintWarnsOfWhatListsDoNotChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "services.yaml"), onDays(listsPolicy))
	write(t, filepath.Join(dir, "again.yaml"), strings.Replace(onDays(listsPolicy), "name: services", "name: again", 1))
	lists := write(t, filepath.Join(dir, "lists", "waivers.yaml"), onDays(listsWaivers))
	unused := write(t, filepath.Join(dir, "lists", "old.yaml"), strings.Replace(onDays(listsWaivers), "name: waivers", "name: old", 1))
	got, err := lintText(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for part, times := range map[string]int{
		"services.yaml: policy services: exceptions[0], of CVE-1 by ann, changes nothing: ExceptionList waivers: exceptions[0] excuses the same or more, for as long": 1,
		"ExceptionList waivers: exceptions[1], of CVE-2 by sec, changes nothing":                                                                                      2, // by either policy's
		"ExceptionList waivers: exceptions[2]":                                                                         0, // for longer
		"ExceptionList waivers: exceptions[3], of CVE-3 by sec, ends on ":                                              1,
		"ExceptionList waivers: exceptions[5], of CVE-4 by sec, changes nothing: ExceptionList waivers: exceptions[4]": 1,
		"ExceptionList waivers: exceptions[4], of CVE-4":                                                               0,
		unused + ": no policy names the ExceptionList old, so that it has no effect":                                   1,
		"no policy names the ExceptionList waivers":                                                                    0,
		lists + ": ExceptionList waivers is sound":                                                                     1,
	} {
		if n := strings.Count(got, part); n != times {
			t.Errorf("%d times %q, want %d, in\n%s", n, part, times, got)
		}
	}
}

// A policy may name a list that is at another of the locations; each has its own
// first. A list by itself is sound, and needs no policy.
func TestLintOfSeveralLocations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	services := write(t, filepath.Join(dir, "a", "services.yaml"), onDays(listsPolicy))
	lists := write(t, filepath.Join(dir, "b", "waivers.yaml"), onDays(listsWaivers))
	if got, err := lintText(t, services, lists); err != nil || !strings.Contains(got, "policy services is sound") {
		t.Errorf("%v: %s", err, got)
	}
	if got, err := lintText(t, services); err == nil || !strings.Contains(err.Error(), `no ExceptionList is named "waivers"`) {
		t.Errorf("without the list: %v: %s", err, got)
	}
	if got, err := lintText(t, lists); err != nil || !strings.Contains(got, "ExceptionList waivers is sound") || strings.Contains(got, "has no effect") {
		t.Errorf("the list alone: %v: %s", err, got)
	}
	write(t, filepath.Join(dir, "b", "waivers.yaml"), "kind: ExceptionList")
	if got, err := lintText(t, services, lists); err == nil || !strings.Contains(err.Error(), "waivers.yaml:1:") {
		t.Errorf("a broken list: %v: %s", err, got)
	}
}

// Tests of policies see the lists beside these.
func TestPolicyTestsWithLists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "services.yaml"), strings.Replace(onDays(listsPolicy), "deny: [{severity: high}]", "report: {maxAge: 30d}\n    deny: [{severity: high}]", 1))
	write(t, filepath.Join(dir, "waivers.yaml"), onDays(listsWaivers))
	write(t, filepath.Join(dir, "services_test.yaml"), `apiVersion: gatekeeper/v1alpha1
kind: PolicyTest
policy: services
now: 2026-11-20T08:00:00Z
cases:
  - name: excused
    evidence: {image: {platforms: [{name: linux/amd64, scan: {database: {built: 2026-11-19T08:00:00Z}, os: {id: debian, version: "12"}, packages: [{type: deb, name: curl, version: "1"}],
      vulnerabilities: [{id: CVE-4, severity: high, package: curl, version: "1"}]}}]}}
    expect: {verdict: promoted, findings: [{check: vulnerabilities, reason: excepted, found: "excused by sec in the list waivers"}]}
`)
	var out bytes.Buffer
	if err := TestPolicies(t.Context(), PolicyTestOptions{Locations: []string{dir}, Output: outputText}, Streams{Out: &out, Err: &out}); err != nil || !strings.Contains(out.String(), "1 case: ok") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
