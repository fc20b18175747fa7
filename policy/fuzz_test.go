package policy_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A glob that compiles takes what a plain reading of it takes, and a regular
// expression the whole of a value; neither takes what is not legible.
func FuzzAuthorityMatches(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://github.com/acme/*", "https://github.com/acme/app@refs/heads/main"},
		{"https://github.com/acme/*", "https://github.com/acme-evil/"},
		{"https://github.com/acme/*@refs/tags/*", "https://github.com/acme/x@refs/heads/x@refs/tags/v1"},
		{"a|b", "b"},
		{"a)|(?:b", "xb"},
		{"*\n*", "a\nb"},
		{"(?s).x", "\nx"},
		{"a*", "a\x00"},
		{"[a", "a"},
		{`\Qa`, "a"},
		{"*@acme.example", "ann@evil@acme.example"},
		{"ü*", "ü\xff"},
	} {
		f.Add(seed[0], seed[1], false)
		f.Add(seed[0], seed[1], true)
	}
	f.Fuzz(func(t *testing.T, pattern, value string, expression bool) {
		ref := &policy.KeylessReference{Issuer: "https://issuer.example", Identity: pattern}
		if expression {
			ref.Identity, ref.IdentityRegExp = "", pattern
		}
		c, err := policy.Compile(policy.Policy{
			APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "fuzz"},
			Spec: policy.Spec{
				From: "staging", Match: policy.Match{Repositories: []string{"**"}},
				Signatures: []policy.SignatureRule{{Name: "ci", AnyOf: []policy.KeyReference{{Keyless: ref}}}},
				Promote:    policy.Promote{To: "golden", Repository: "x", Tags: []string{"x"}},
			},
		})
		if err != nil {
			return
		}
		a := c.Authorities()[0]
		id := policy.Identity{TrustRoot: policy.DefaultTrustRoot, Issuer: "https://issuer.example", Subject: value}
		got := a.Matches(id)
		legible := value != "" && len(value) <= 2048 && strings.ToValidUTF8(value, "") == value && !strings.ContainsFunc(value, unicode.IsControl)
		switch {
		case got && !legible:
			t.Errorf("%q takes %q", pattern, value)
		case !expression && legible && got != glob(pattern, value):
			t.Errorf("%q and %q: %v", pattern, value, got)
		case expression && got && a.Matches(policy.Identity{TrustRoot: id.TrustRoot, Issuer: id.Issuer + "!", Subject: value}):
			t.Errorf("%q takes another issuer", pattern)
		}
		if id.TrustRoot = "private"; a.Matches(id) {
			t.Errorf("%q takes another trust root", pattern)
		}
	})
}

// glob is a plain reading: a * stands for any text, without an @ when one
// follows in the pattern.
func glob(pattern, value string) bool {
	reach := []bool{true} // by how much of the value is used up
	for range value {
		reach = append(reach, false)
	}
	runes := []rune(value)
	all := []rune(pattern)
	for i, p := range all {
		next := make([]bool, len(reach))
		mail := strings.ContainsRune(string(all[i+1:]), '@')
		for at, ok := range reach {
			if !ok {
				continue
			}
			if p != '*' {
				if at < len(runes) && runes[at] == p {
					next[at+1] = true
				}
				continue
			}
			next[at] = true
			for to := at; to < len(runes) && (!mail || runes[to] != '@'); to++ {
				next[to+1] = true
			}
		}
		reach = next
	}
	return reach[len(runes)]
}
