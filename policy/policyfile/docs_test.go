package policyfile_test

import (
	"os"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// Every policy that the documents show is one that is accepted, and so is
// every piece of one.
func TestTheDocumentsShowSoundPolicies(t *testing.T) {
	t.Parallel()
	read := documented(t)
	for _, file := range []string{"../../README.md", "../../docs/policy.md", "../../docs/trust-roots.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var lists policy.Lists
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, "kind: ExceptionList") {
				if lists, _, err = policyfile.ReadLists([]policyfile.File{{Name: file, Data: []byte(block)}}); err != nil {
					t.Error(err)
				}
			}
		}
		found := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			block, ok := completed(block)
			if !ok {
				continue
			}
			found++
			if _, err := policyfile.ParseWith([]policyfile.File{{Name: file, Data: []byte(block)}}, lists, read); err != nil {
				t.Errorf("%v\n%s", err, block)
			}
		}
		if found == 0 {
			t.Errorf("%s shows no policy", file)
		}
	}
}

// completed makes a policy of a piece of one; it is false for what belongs to
// something else.
func completed(block string) (string, bool) {
	const head = "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: piece}\nspec:\n  from: staging\n" +
		"  match: {repositories: [\"**\"]}\n  promote: {to: golden, repository: x, tags: [x]}\n"
	indented := func(spaces string) string {
		return spaces + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n"+spaces) + "\n"
	}
	switch {
	case strings.Contains(block, "kind: PromotionPolicy"):
		return block, true
	case strings.HasPrefix(block, "authorities:"):
		return head + indented("  ") + "  signatures: [{name: x, signedBy: [ci]}]\n", true
	case strings.HasPrefix(block, "keyless:"), strings.HasPrefix(block, "notary:"):
		return head + "  signatures:\n    - name: x\n      anyOf:\n        -\n" + indented("          "), true
	}
	return "", false
}

// documented reads what the documents name: certificates, and for every other
// name a key of its own.
func documented(tb testing.TB) policyfile.ReadFile {
	tb.Helper()
	certificate := newCertificate(tb)
	keys := map[string][]byte{}
	return func(name string) ([]byte, error) {
		if strings.HasSuffix(name, ".pem") {
			return certificate, nil
		}
		if keys[name] == nil {
			keys[name] = publicKey(tb)
		}
		return keys[name], nil
	}
}
