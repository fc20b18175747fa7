package policy_test

import (
	"strings"
	"testing"
)

// Patterns that take everybody, or everybody of a large place, are slips.
func TestPatternsForEverybody(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for pattern, refused := range map[string]bool{
		`identityRegExp: '[\w.+-]+@[\w.-]+'`: true, `identityRegExp: 'https://[a-z0-9./-]+'`: true, `identityRegExp: 'https://[a-zA-Z0-9./@_-]+'`: true,
		`identity: "https://github.com/*"`: true, `identity: "https://github.com/*@refs/tags/*"`: true, `identity: "*@refs/heads/main"`: true,
		`identity: "*.com"`: true, `identity: "*@*.com"`: true, `identity: "https://*.com/*"`: true, `identity: "https://gitlab.com/*"`: true,
		`identityRegExp: 'https://github\.com/[^/]+/.*'`: true, `identityRegExp: '.*main'`: true,

		`identity: "https://github.com/acme/*"`: false, `identity: "https://github.com/acme/*@refs/heads/main"`: false, `identity: "*@acme.example"`: false,
		`identity: "*@example.com"`: false, `identity: "anybody@example.com"`: false, `identity: "https://example.com/*"`: false,
		`identity: "https://gitlab.com/acme/*"`: false, `identity: "https://gitlab.acme.example/*"`: false, `identityRegExp: '(ann|ben)@acme\.example'`: false,
	} {
		_, err := f.parse("signatures: [" + byWorkflow(pattern) + "]")
		if refused != (err != nil && strings.Contains(err.Error(), "takes anything")) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for pattern, refused := range map[string]bool{
		`issuer: "*.com"`: true, `issuer: "https://*.com"`: true, `issuer: "https://*.com/*"`: true, `issuerRegExp: 'https://[a-z0-9./-]+'`: true,
		`issuerRegExp: 'https://[^/]+'`: true,

		`issuer: "https://example.com"`: false, `issuer: "https://example.com/*"`: false, `issuer: "https://*.githubusercontent.com"`: false,
		`issuer: "https://token.actions.githubusercontent.com/*"`: false, `issuerRegExp: 'https://token\..*'`: false,
	} {
		_, err := f.parse("signatures: [{name: ci, anyOf: [{keyless: {identity: ann@acme.example, " + pattern + "}}]}]")
		if refused != (err != nil && strings.Contains(err.Error(), "takes anything")) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}
