package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// matching makes a policy that asks for little of what it matches.
func matching(m policy.Match) policy.Policy {
	return policy.Policy{
		APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "test"},
		Spec: policy.Spec{
			From: "staging", Match: m, Rules: []policy.Rule{{Name: "r", Expression: "true"}},
			Promote: policy.Promote{To: "golden", Repository: "x", Tags: []string{"x"}},
		},
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	every := []string{"**"}
	for name, tt := range map[string]struct {
		match    policy.Match
		takes    []string // repository:tag
		refuses  []string
		registry string
	}{
		"globs of repositories": {
			match: policy.Match{Repositories: []string{"team-*/**", "!**/scratch"}}, takes: []string{"team-a/app:v1", "team-a/x/y:v1", "team-a:v1"},
			refuses: []string{"team-a/scratch:v1", "a/team-b:v1", "xteam-a/app:v1"},
		},
		"a regular expression is for the whole name": {
			match: policy.Match{RepositoriesRegExp: []string{"team-[a-c]/app", "infra"}}, takes: []string{"team-a/app:v1", "infra:v1"},
			refuses: []string{"team-d/app:v1", "team-a/app2:v1", "xinfra:v1", "infra/x:v1"},
		},
		"both have to hold": {
			match: policy.Match{Repositories: []string{"team-a/**"}, RepositoriesRegExp: []string{".*/app|b"}}, takes: []string{"team-a/app:v1", "team-a/x/app:v1"},
			refuses: []string{"team-b/app:v1", "team-a/other:v1", "b:v1"},
		},
		"alternatives stay together": {
			match: policy.Match{RepositoriesRegExp: []string{"a|b"}}, takes: []string{"a:v1", "b:v1"}, refuses: []string{"ax:v1", "xb:v1"},
		},
		"tags equal to one of":  {match: policy.Match{Repositories: every, Tags: []string{"dev", "qa"}}, takes: []string{"a:dev", "a:qa"}, refuses: []string{"a:prod", "a:"}},
		"tags not one of":       {match: policy.Match{Repositories: every, Tags: []string{"*", "!latest", "!dev"}}, takes: []string{"a:v1"}, refuses: []string{"a:latest", "a:dev"}},
		"tags that begin with":  {match: policy.Match{Repositories: every, Tags: []string{"v*"}}, takes: []string{"a:v1"}, refuses: []string{"a:1v"}},
		"tags that end with":    {match: policy.Match{Repositories: every, Tags: []string{"*-rc"}}, takes: []string{"a:1-rc"}, refuses: []string{"a:1-rc2"}},
		"tags that contain":     {match: policy.Match{Repositories: every, Tags: []string{"*stable*"}}, takes: []string{"a:1-stable-2"}, refuses: []string{"a:stab"}},
		"tags by an expression": {match: policy.Match{Repositories: every, TagsRegExp: []string{`v\d+`, "main"}}, takes: []string{"a:v12", "a:main"}, refuses: []string{"a:v1.2", "a:xv1", "a:mainx", "a:"}},
		"globs and expressions of tags": {
			match: policy.Match{Repositories: every, Tags: []string{"v*", "!v3"}, TagsRegExp: []string{`.\d`}}, takes: []string{"a:v1"}, refuses: []string{"a:v3", "a:x1", "a:v12"},
		},
		"versions from": {
			match: policy.Match{Repositories: every, Versions: ">= 1.4, < 2"}, takes: []string{"a:1.4.0", "a:v1.9.9", "a:1.5.0_build.7"},
			refuses: []string{"a:1.3.9", "a:2.0.0", "a:1.4", "a:latest", "a:1.5.0-rc.1", "a:", "a:vv1.5.0", "a:01.5.0"},
		},
		"versions with pre-releases": {match: policy.Match{Repositories: every, Versions: ">= 1.4.0-0"}, takes: []string{"a:1.4.0-rc.1", "a:1.5.0-beta"}, refuses: []string{"a:1.3.0"}},
		"versions or others":         {match: policy.Match{Repositories: every, Versions: "^1.4 || ~2.1.3"}, takes: []string{"a:1.9.0", "a:2.1.4"}, refuses: []string{"a:2.2.0", "a:2.1.2"}},
		"another registry":           {match: policy.Match{Repositories: every}, registry: "other", refuses: []string{"a:v1"}},
		"pushed by digest":           {match: policy.Match{Repositories: every}, takes: []string{"a:"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := policy.Compile(matching(tt.match))
			if err != nil {
				t.Fatal(err)
			}
			set := policy.NewSet([]*policy.Compiled{c})
			for _, image := range append(slices.Clone(tt.takes), tt.refuses...) {
				registry := "staging"
				if tt.registry != "" {
					registry = tt.registry
				}
				repository, tag, _ := strings.Cut(image, ":")
				want := slices.Contains(tt.takes, image)
				if got := c.Matches(registry, repository, tag); got != want {
					t.Errorf("%s: %v", image, got)
				}
				if got := len(set.Matching(registry, repository, tag)) == 1; got != want {
					t.Errorf("%s in a set: %v", image, got)
				}
			}
		})
	}
}

func TestMistakesInMatch(t *testing.T) {
	t.Parallel()
	every := []string{"**"}
	for name, tt := range map[string]struct {
		match policy.Match
		says  string
	}{
		"nothing":                    {policy.Match{}, "$.spec.match.repositories: missing"},
		"only tags":                  {policy.Match{Tags: every}, "$.spec.match.repositories: missing"},
		"a group that ends too soon": {policy.Match{RepositoriesRegExp: []string{"a)|(b"}}, "$.spec.match.repositoriesRegExp[0]: "},
		"an empty expression":        {policy.Match{Repositories: every, TagsRegExp: []string{"a", ""}}, "$.spec.match.tagsRegExp[1]: 0 bytes"},
		"a long expression":          {policy.Match{Repositories: every, TagsRegExp: []string{strings.Repeat("a", 1025)}}, "$.spec.match.tagsRegExp[0]: 1025 bytes"},
		"look-behind":                {policy.Match{Repositories: every, TagsRegExp: []string{"(?<=v)1"}}, "$.spec.match.tagsRegExp[0]: "},
		"no range":                   {policy.Match{Repositories: every, Versions: "newest"}, `$.spec.match.versions: "newest"`},
		"a bad glob":                 {policy.Match{Repositories: []string{"[a"}}, "$.spec.match.repositories[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := policy.Compile(matching(tt.match)); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A set finds what asking every policy finds, in the same order.
func TestASetFindsWhatEachPolicyMatches(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[ab]{1,2}(/[ab]{1,2}){0,2}`)
	glob := rapid.StringMatching(`!?(\*\*|[ab*?]{1,3}|\{a,b\})(/(\*\*|[ab*?]{1,3})){0,2}`).Filter(policy.ValidGlob)
	expression := rapid.SampledFrom([]string{"a.*", "(a|b)/.*", "ab?", "a|b", "(?i)A.*", ".*", "^a.*", "a/b.*$"})
	rapid.Check(t, func(t *rapid.T) {
		var all []*policy.Compiled
		for i := range rapid.IntRange(0, 8).Draw(t, "policies") {
			p := matching(policy.Match{
				Repositories:       rapid.SliceOfN(glob, 0, 3).Draw(t, "globs"),
				RepositoriesRegExp: rapid.SliceOfN(expression, 0, 2).Draw(t, "expressions"),
			})
			p.Metadata.Name = fmt.Sprintf("p%d", i)
			p.Spec.From = rapid.SampledFrom([]string{"staging", "other"}).Draw(t, "from")
			if c, err := policy.Compile(p); err == nil {
				all = append(all, c)
			}
		}
		set, repository := policy.NewSet(all), word.Draw(t, "repository")
		var want []*policy.Compiled
		for _, c := range all {
			if c.Matches("staging", repository, "v1") {
				want = append(want, c)
			}
		}
		if got := set.Matching("staging", repository, "v1"); !slices.Equal(got, want) || !slices.Equal(set.All(), all) {
			t.Errorf("%s: %d found, %d match", repository, len(got), len(want))
		}
	})
}

// BenchmarkMatching finds the one policy of many that is about a repository.
func BenchmarkMatching(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var all []*policy.Compiled
			for i := range n {
				c, err := policy.Compile(matching(policy.Match{Repositories: []string{fmt.Sprintf("team-%d/**", i)}}))
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, c)
			}
			set := policy.NewSet(all)
			for b.Loop() {
				if got := set.Matching("staging", "team-0/app", "v1"); len(got) != 1 {
					b.Fatal(len(got))
				}
			}
		})
	}
}
