package policyfile_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// A policy that a program wrote as JSON means the same: Go's escapes <, > and &.
func TestEscapedTextIsReadAsItIs(t *testing.T) {
	t.Parallel()
	for escaped, want := range map[string]string{`\u003e= 10`: ">= 10", `\u003c 3`: "< 3", `\u0021= 3`: "!= 3", `>\u003d 4`: ">= 4"} {
		text := `{"apiVersion":"gatekeeper/v1alpha1","kind":"PromotionPolicy","metadata":{"name":"x"},"spec":{"from":"staging","match":{"repositories":["**"]},` +
			`"wait":"1\u0030m","vulnerabilities":{"counts":[{"deny":"` + escaped + `"}]},"promote":{"to":"golden","repository":"x","tags":["x"]}}}`
		policies, err := policyfile.Parse("x.yaml", []byte(text), nil)
		if err != nil {
			t.Errorf("%s: %v", escaped, err)
			continue
		}
		spec := policies[0].Spec()
		if got := spec.Vulnerabilities.Counts[0].Deny.String(); got != want {
			t.Errorf("%s is read as %q", escaped, got)
		}
		if got := spec.Wait.String(); !strings.HasPrefix(got, "10m") {
			t.Errorf("the duration is read as %s", got)
		}
	}
}
