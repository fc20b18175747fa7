package policyfile_test

import (
	"os"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// Every policy that the documents show is one that is accepted.
func TestTheDocumentsShowSoundPolicies(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	for _, file := range []string{"../../README.md", "../../docs/policy.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(block, "kind: PromotionPolicy") {
				continue
			}
			found++
			if _, err := policyfile.Parse(file, []byte(block), func(string) ([]byte, error) { return key, nil }); err != nil {
				t.Errorf("%v\n%s", err, block)
			}
		}
		if found == 0 {
			t.Errorf("%s shows no policy", file)
		}
	}
}
