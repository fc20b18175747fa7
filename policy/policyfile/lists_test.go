package policyfile_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	lists = `apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers, description: what the security team granted}
spec:
  exceptions:
    - {id: CVE-2026-1234, package: openssl, repositories: ["team-a/**"], expires: 2026-12-31, owner: sec@acme.example, reason: "not reachable", ticket: SEC-12}
---
apiVersion: gatekeeper/v1alpha1
kind: VersionList
metadata: {name: platform}
spec:
  packages:
    - {type: npm, name: express, versions: ">= 4.21.2, < 5", since: 2026-10-01, reason: CVE-2024-43796}
`
	withLists = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["**"]}
  vulnerabilities: {deny: [{severity: critical}], exceptionLists: [waivers]}
  patchLevel: {versions: {lists: [platform], denyUnlisted: [npm]}}
  promote: {to: golden, repository: x, tags: [x]}
`
)

// Lists may be in any file of the folder, among policies or alone.
func TestListsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	waivers, platform, _ := strings.Cut(lists, "---\n")
	for name, files := range map[string]fstest.MapFS{
		"in the same file":      {"a.yaml": {Data: []byte(withLists + "---\n" + lists)}},
		"before the policy":     {"a.yaml": {Data: []byte(lists + "---\n" + withLists)}},
		"in a file before":      {"a.yaml": {Data: []byte(lists)}, "b.yaml": {Data: []byte(withLists)}},
		"in files of their own": {"a.yaml": {Data: []byte(withLists)}, "lists/p.yml": {Data: []byte(platform)}, "lists/w.yaml": {Data: []byte(waivers)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policies, err := policyfile.Load(files, "p", reader(nil))
			if err != nil || len(policies) != 1 {
				t.Fatalf("%d policies, %v", len(policies), err)
			}
			exceptions, versions := policies[0].Lists()
			if !slices.Equal(exceptions, []string{"waivers"}) || !slices.Equal(versions, []string{"platform"}) || !policies[0].NeedsScan() {
				t.Errorf("%v and %v", exceptions, versions)
			}
			if x := policies[0].Exceptions(); len(x) != 1 || x[0].List != "waivers" || x[0].ID != "CVE-2026-1234" || x[0].Ticket != "SEC-12" {
				t.Errorf("%+v", x)
			}
		})
	}
}

// A list by itself is sound, and loosens nothing.
func TestAListThatNobodyNames(t *testing.T) {
	t.Parallel()
	set, err := policyfile.ParseSet([]policyfile.File{{Name: "lists.yaml", Data: []byte(lists)}}, reader(nil))
	want := []policyfile.List{{Kind: policy.KindExceptionList, Name: "waivers", File: "lists.yaml"}, {Kind: policy.KindVersionList, Name: "platform", File: "lists.yaml"}}
	if err != nil || len(set.Policies) != 0 || !slices.Equal(set.Lists, want) {
		t.Errorf("%+v, %v", set, err)
	}
}

// Every mistake is named with its place, once: a policy is not blamed for what
// is wrong with its list.
func TestMistakesInListsAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, new, want string }{
		"unknown list":            {"[waivers]", "[waiver]", `p.yaml:7:68: spec.vulnerabilities.exceptionLists[0]: no ExceptionList is named "waiver"; known here: waivers`},
		"a list of another kind":  {"[waivers]", "[platform]", `p.yaml:7:68: spec.vulnerabilities.exceptionLists[0]: no ExceptionList is named "platform"`},
		"unknown versions":        {"[platform]", "[plat]", `p.yaml:8:35: spec.patchLevel.versions.lists[0]: no VersionList is named "plat"; known here: platform`},
		"a list twice":            {"[waivers]", "[waivers, waivers]", `p.yaml:7:77: spec.vulnerabilities.exceptionLists[1]: "waivers" is there twice`},
		"no versions":             {"lists: [platform]", "lists: []", `p.yaml:8:34: spec.patchLevel.versions.lists: missing; write the name of at least one VersionList`},
		"no such type":            {"denyUnlisted: [npm]", "denyUnlisted: [node]", `p.yaml:8:61: spec.patchLevel.versions.denyUnlisted[0]: "node" is no package URL type`},
		"a misspelt kind":         {"kind: ExceptionList", "kind: ExceptionsList", `p.yaml:12:7: kind: "ExceptionsList"; write ExceptionList or VersionList`},
		"another version":         {"v1alpha1\nkind: ExceptionList", "v2\nkind: ExceptionList", `p.yaml:11:13: apiVersion: "gatekeeper/v2"; write gatekeeper/v1alpha1`},
		"no name":                 {"name: waivers, ", "", `p.yaml:13:12: metadata.name: ""; write a name of lower-case letters`},
		"an unknown key":          {"  exceptions:\n", "  exception:\n", `p.yaml:15:3: exception: unknown key; write "exceptions" instead`},
		"an unknown key inside":   {"expires:", "until:", `p.yaml:16:74: until: unknown key; known here: expires, id`},
		"no expiry":               {"expires: 2026-12-31, ", "", `p.yaml:16:8: spec.exceptions[0].expires: missing; write the last day`},
		"no owner":                {"owner: sec@acme.example, ", "", `p.yaml:16:8: spec.exceptions[0].owner: missing`},
		"no reason":               {`reason: "not reachable", `, "", `p.yaml:16:8: spec.exceptions[0].reason: missing`},
		"no glob":                 {"team-a/**", "team-[", `p.yaml:16:60: spec.exceptions[0].repositories[0]: "team-[" is no glob`},
		"no date":                 {"expires: 2026-12-31", "expires: soon", `p.yaml:16:83: spec.exceptions[0].expires: "soon" is no date`},
		"no range":                {">= 4.21.2, < 5", "^4.21.2", `p.yaml:23:44: spec.packages[0].versions: "^4.21.2" is no comparison`},
		"no version in a range":   {"< 5", "< five", `p.yaml:23:44: spec.packages[0].versions: version "five"`},
		"an empty range":          {">= 4.21.2, < 5", "", `p.yaml:23:44: spec.packages[0].versions: "" is no comparison`},
		"a type without an order": {"type: npm", "type: swift", `p.yaml:23:14: spec.packages[0].type: versions of type "swift" cannot be ordered; write one of apk`},
		"no package":              {"name: express, ", "", `p.yaml:23:8: spec.packages[0].name: missing`},
		"no beginning":            {"since: 2026-10-01", "since: soon", `p.yaml:23:69: spec.packages[0].since: "soon" is no date; write 2026-10-01`},
		"nothing on the list":     {`    - {type: npm, name: express, versions: ">= 4.21.2, < 5", since: 2026-10-01, reason: CVE-2024-43796}`, "    []", `p.yaml:23:5: spec.packages: missing; write at least one`},
		"two lists of one name":   {"kind: VersionList\nmetadata: {name: platform}\nspec:\n  packages:\n", "kind: ExceptionList\nmetadata: {name: waivers}\nspec:\n  exceptions: []\n---\napiVersion: gatekeeper/v1alpha1\nkind: VersionList\nmetadata: {name: platform}\nspec:\n  packages:\n", `p.yaml:20:18: metadata.name: "waivers" is also the name of a list of kind ExceptionList in p.yaml; rename one of them`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(withLists+"---\n"+lists, tt.old, tt.new, 1)
			if text == withLists+"---\n"+lists {
				t.Fatalf("there is no %q", tt.old)
			}
			policies, err := policyfile.Parse("p.yaml", []byte(text), reader(nil))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("got  %v\nwant %s…", err, tt.want)
			}
			if len(policies) > 0 {
				t.Error("there is a policy, though nobody can say what it asks for")
			}
			if strings.Contains(err.Error(), "no ExceptionList") && !strings.Contains(tt.want, "no ExceptionList") && tt.new != "kind: ExceptionsList" && name != "no name" {
				t.Errorf("the policy is blamed: %v", err)
			}
		})
	}
}

// Nobody knows what is in a file that cannot be read: the mistake there is the
// one to mend.
func TestAFileThatIsHalfWrittenIsTheOnlyMistake(t *testing.T) {
	t.Parallel()
	files := []policyfile.File{{Name: "a.yaml", Data: []byte(withLists)}, {Name: "b.yaml", Data: []byte("kind: [")}}
	policies, err := policyfile.ParseAll(files, reader(nil))
	if err == nil || len(policies) > 0 || !strings.HasPrefix(err.Error(), "b.yaml:1:") || strings.Contains(err.Error(), "a.yaml") {
		t.Errorf("%d policies, %v", len(policies), err)
	}
	policies, err = policyfile.ParseAll(files[:1], reader(nil))
	if err == nil || len(policies) > 0 || !strings.Contains(err.Error(), `no ExceptionList is named "waivers", and there is none of any name`) {
		t.Errorf("without lists: %d policies, %v", len(policies), err)
	}
}

// What is in a file of tests is not in force.
func TestListsInFilesOfTestsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := policyfile.Load(fstest.MapFS{"lists_test.yaml": {Data: []byte(lists)}}, "p", reader(nil))
	if err == nil || !strings.Contains(err.Error(), "p/lists_test.yaml:1:1: the file holds a policy or a list") {
		t.Error(err)
	}
}
