package policy_test

import (
	"slices"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestGlobs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		globs    policy.Globs
		matches  []string
		others   []string
		literals []string
		patterns bool
	}{
		{"everything", policy.Globs{"**"}, []string{"app", "team-a/app"}, nil, nil, true},
		{"one element", policy.Globs{"team-*/app"}, []string{"team-a/app"}, []string{"team-a/x/app", "app"}, nil, true},
		{"names", policy.Globs{"app", "team-a/app"}, []string{"app", "team-a/app"}, []string{"team-b/app", "apps"}, []string{"app", "team-a/app"}, false},
		{"names and patterns", policy.Globs{"app", "team-?/{x,y}"}, []string{"app", "team-a/y"}, []string{"team-a/z"}, []string{"app"}, true},
		{"left out again", policy.Globs{"**", "!team-a/**"}, []string{"app"}, []string{"team-a/app"}, nil, true},
		{"a name left out", policy.Globs{"app", "!app"}, nil, []string{"app"}, []string{"app"}, false},
		{"a class", policy.Globs{"v[0-9]"}, []string{"v1"}, []string{"vx"}, nil, true},
		{"nothing", nil, nil, []string{"app"}, nil, false},
	} {
		for _, name := range tt.matches {
			if !tt.globs.Match(name) {
				t.Errorf("%s: %s does not match", tt.name, name)
			}
		}
		for _, name := range tt.others {
			if tt.globs.Match(name) {
				t.Errorf("%s: %s matches", tt.name, name)
			}
		}
		if literals, patterns := tt.globs.Literals(); !slices.Equal(literals, tt.literals) || patterns != tt.patterns {
			t.Errorf("%s: %v, %v", tt.name, literals, patterns)
		}
	}
	for pattern, want := range map[string]bool{"**": true, "!**": true, "app": true, "": false, "!": false, "[": false, "{a": false} {
		if got := policy.ValidGlob(pattern); got != want {
			t.Errorf("%q is valid: %v", pattern, got)
		}
	}
}
