package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, tt := range map[string]struct {
		rules string
		want  []string // path: part of the message
	}{
		"nothing":           {strict, nil},
		"the same twice":    {"vulnerabilities: {deny: [{severity: high}, {severity: high}]}", []string{"$.spec.vulnerabilities.deny[1]: deny[0] refuses all of it"}},
		"a milder one":      {"vulnerabilities: {deny: [{severity: critical, fixed: true}, {severity: high}]}", []string{"$.spec.vulnerabilities.deny[0]: deny[1] refuses"}},
		"a later one":       {"vulnerabilities: {deny: [{severity: high, fixed: true, after: 7d}, {severity: high, fixed: true, after: 14d}]}", []string{"$.spec.vulnerabilities.deny[1]: deny[0] refuses"}},
		"a narrower one":    {"vulnerabilities: {deny: [{knownExploited: true}, {knownExploited: true, types: [deb]}]}", []string{"$.spec.vulnerabilities.deny[1]: deny[0]"}},
		"a likelier one":    {"vulnerabilities: {deny: [{epss: 0.1}, {epss: 0.5, severity: high}]}", []string{"$.spec.vulnerabilities.deny[1]: deny[0]"}},
		"the same deadline": {"vulnerabilities: {deny: [{severity: high, fixed: true, after: 7d, since: fix}, {severity: high, fixed: true, after: 14d}]}", []string{"$.spec.vulnerabilities.deny[1]: deny[0] refuses"}},
		"denied and required": {
			`components: {deny: ["pkg:npm/a", {purl: "pkg:npm/b", versions: "< 2"}, {purl: "pkg:npm/a", versions: "< 2"}], require: ["pkg:npm/a", "pkg:npm/b"]}` + "\nlicenses: {allow: [MIT, ISC], deny: [ISC]}\n" + `image: {env: {deny: ["T*"], require: ["TZ=UTC", "LANG"]}}`,
			[]string{
				"$.spec.components.deny[2]: deny[0] refuses it", "$.spec.components.require[0]: nothing can pass", "$.spec.licenses.allow[1]: deny[0] refuses ISC",
				"$.spec.image.env.require[0]: nothing can pass",
			},
		},
		"two deadlines":     {"vulnerabilities: {deny: [{severity: high, fixed: true, after: 7d}, {severity: high, after: 14d, fixed: true, since: advisory}]}", nil},
		"deadlines":         {"vulnerabilities: {deny: [{severity: critical, fixed: true, after: 7d}, {severity: high, fixed: true, after: 14d}, {knownExploited: true}]}", nil},
		"with and without":  {"vulnerabilities: {deny: [{severity: high, fixed: true}, {severity: high, fixed: false}]}", nil},
		"packages":          {`vulnerabilities: {deny: [{severity: low, packages: ["openssl*"]}, {severity: high}, {severity: low, packages: ["*", "!x"]}]}`, nil},
		"no such number":    {`vulnerabilities: {counts: [{severity: high, deny: "< 0"}]}`, []string{"$.spec.vulnerabilities.counts[0]: no number is < 0"}},
		"none is refused":   {`vulnerabilities: {counts: [{severity: high, deny: "< 3"}]}`, []string{"$.spec.vulnerabilities.counts[0]: refuses an image that has none"}},
		"every number":      {`vulnerabilities: {counts: [{severity: high, deny: ">= 0"}]}`, []string{"$.spec.vulnerabilities.counts[0]: refuses every number of vulnerabilities of severity high"}},
		"together":          {`vulnerabilities: {counts: [{deny: "> 3"}, {deny: "<= 3"}]}`, []string{"$.spec.vulnerabilities.counts[1]: refuses every number"}},
		"two of two kinds":  {`vulnerabilities: {counts: [{severity: high, deny: "> 3"}, {severity: low, deny: "> 30"}]}`, nil},
		"a lower minimum":   {"patchLevel: {packages: [{type: deb, name: a, minimum: 1.0}, {type: deb, name: a, minimum: 2.0}, {type: apk, name: a, minimum: 1.0-r0}]}", []string{"$.spec.patchLevel.packages[0]: packages[1] asks for 2.0"}},
		"a wider system":    {`patchLevel: {operatingSystems: {allow: ["debian >= 12", debian, alpine]}}`, []string{"$.spec.patchLevel.operatingSystems.allow[0]: allow[1] takes every release of debian"}},
		"true":              {"rules: [{name: a, expression: 'true'}]", []string{"$.spec.rules[0].expression: always holds"}},
		"false":             {"rules: [{name: a, expression: '1 > 2'}]", []string{"$.spec.rules[0].expression: never holds"}},
		"no answer":         {"rules: [{name: a, expression: '1 / 0 > 2'}]", []string{"$.spec.rules[0].expression: never has an answer"}},
		"a part of a text":  {`rules: [{name: a, expression: 'push.tag.matches("v[0-9]+")'}]`, []string{`$.spec.rules[0].expression: matches("v[0-9]+") holds for a part`}},
		"half anchored":     {`rules: [{name: a, expression: 'matches(push.tag, "^v[0-9]+")'}]`, []string{`$.spec.rules[0].expression: holds for a part`}},
		"an alternative":    {`rules: [{name: a, expression: 'push.tag.matches("^v1|v2$")'}]`, []string{`$.spec.rules[0].expression: matches("^v1|v2$") holds for a part`}},
		"a dollar sign":     {`rules: [{name: a, expression: 'push.tag.matches("^v1\\$")'}]`, []string{`$.spec.rules[0].expression: holds for a part`}},
		"anchored inside":   {`rules: [{name: a, expression: 'push.tag.matches("(?i)^(v1|v2)$") || push.tag.matches("(^a$|^b$)") || push.tag.matches(r"\Av\z")'}]`, nil},
		"a whole text":      {`rules: [{name: a, expression: 'push.tag.matches("^v[0-9]+$")'}]`, nil},
		"one name twice":    {"rules: [{name: a, expression: 'push.tag != \"\"'}, {name: a, expression: 'push.tag != \"x\"'}]", []string{"$.spec.rules[1].name: rules[0] has this name too"}},
		"nobody's":          {"authorities: [{name: ci, anyOf: [{keyFile: ci.pub}]}, {name: qa, anyOf: [{keyFile: other.pub}]}]\nsignatures: [{name: s, signedBy: [ci]}]", []string{"$.spec.authorities[1]: nothing refers to the authority qa"}},
		"of an attestation": {`attestations: [{name: a, predicateType: "https://a.example", signedBy: [ci], expression: 'predicate.a.matches("b")'}]` + "\nauthorities: [{name: ci, anyOf: [{keyFile: ci.pub}]}]", []string{"$.spec.attestations[0].expression: holds for a part"}},
		"one tag for all":   {"signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\npromote: {to: golden, repository: x, tags: [stable], immutable: true}\n", []string{"$.spec.promote.tags[0]: the same for every push"}},
		"a tag and channel": {"signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\npromote: {to: golden, repository: x, tags: [stable], channels: [stable]}\n", []string{"$.spec.promote.tags[0]: is a channel too"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameWarnings(t, k.compile(t, tt.rules).Warnings(), tt.want)
		})
	}
}

// sameWarnings compares each warning with its path and a part of its text.
func sameWarnings(t *testing.T, got []policy.Warning, want []string) {
	t.Helper()
	matched := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		path, text, _ := strings.Cut(want[i], ": ")
		matched = matched && got[i].Path == path && strings.Contains(got[i].Message, text)
	}
	if !matched {
		t.Error(cmp.Diff(want, got, cmp.Transformer("text", func(w policy.Warning) string { return w.Path + ": " + w.Message })))
	}
}

func TestWarningsOfMatch(t *testing.T) {
	t.Parallel()
	every := []string{"**"}
	for name, tt := range map[string]struct {
		match policy.Match
		want  []string
	}{
		"sound":                     {policy.Match{Repositories: []string{"team-*/**", "!**/scratch"}, Tags: []string{"v*", "latest"}, Versions: "> 1"}, nil},
		"taken out by itself":       {policy.Match{Repositories: []string{"a/**", "!a/**", "b"}}, []string{`$.spec.match.repositories[0]: "a/**" matches nothing: "!a/**"`}},
		"taken out by more":         {policy.Match{Repositories: []string{"a/b", "c", "!a/*"}}, []string{`$.spec.match.repositories[0]: "a/b" matches nothing`}},
		"all taken out":             {policy.Match{Repositories: every, Tags: []string{"v*", "!**"}}, []string{"$.spec.match.tags[0]: matches nothing"}},
		"upper case":                {policy.Match{Repositories: []string{"Team/**"}}, []string{"$.spec.match.repositories[0]: lower case"}},
		"tags that are no versions": {policy.Match{Repositories: every, Tags: []string{"dev", "1.0.0"}, Versions: ">= 2"}, []string{"$.spec.match.tags: no tag matches"}},
		"tags of another form":      {policy.Match{Repositories: every, Tags: []string{"dev"}, TagsRegExp: []string{"v.*"}}, []string{"$.spec.match.tags: no tag matches"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := matching(tt.match)
			p.Spec.Rules[0].Expression = `push.tag != ""`
			c, err := policy.Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			sameWarnings(t, c.Warnings(), tt.want)
		})
	}
}

func TestContradictions(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	systems := func(allow string) string {
		return fmt.Sprintf("patchLevel: {operatingSystems: {allow: [%s]}}\n", allow)
	}
	const movable = `promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], immutable: %v}` + "\n"
	for name, tt := range map[string]struct{ a, b, says string }{
		"other systems":      {systems("debian"), systems("alpine"), "no operating system in common"},
		"one system":         {systems("debian"), systems(`alpine, "debian >= 12"`), ""},
		"in audit mode":      {systems("debian"), "mode: audit\n" + systems("alpine"), ""},
		"immutable and not":  {systems("debian") + fmt.Sprintf(movable, true), systems("debian") + fmt.Sprintf(movable, false), "immutable"},
		"to somewhere else":  {systems("debian"), systems("alpine") + strings.Replace(fmt.Sprintf(movable, false), `"{{ .Repository }}"`, `"other/{{ .Repository }}"`, 1), ""},
		"about other images": {systems("debian"), strict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := k.compile(t, tt.a), k.compile(t, tt.b)
			for _, got := range []string{policy.Contradiction(a, b), policy.Contradiction(b, a)} {
				if tt.says == "" && got != "" || !strings.Contains(got, tt.says) {
					t.Errorf("%q", got)
				}
			}
		})
	}
}
