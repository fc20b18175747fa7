package secrets_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image/secrets"
)

// Wherever a secret of a known format stands among other words, it is found,
// and nothing of it is left.
func TestASecretIsFoundAnywhere(t *testing.T) {
	t.Parallel()
	all := known()
	names := slices.Sorted(maps.Keys(all))
	words := []string{"RUN", "ENV", "A=b", "--url", "&&", "'x'", `"y"`, "/bin/sh", "-c", "#", "|1", "npm", "<masked>", "${X}", "\n", "password", "--password"}
	rapid.Check(t, func(t *rapid.T) {
		secret := all[rapid.SampledFrom(names).Draw(t, "secret")]
		text := rapid.SliceOfN(rapid.SampledFrom(words), 0, 5).Draw(t, "before")
		text = append(text, secret[0])
		text = append(text, rapid.SliceOfN(rapid.SampledFrom(words), 0, 5).Draw(t, "behind")...)
		for _, got := range []secrets.Found{secrets.Command(strings.Join(text, " ")), secrets.Text(strings.Join(text, " ")), secrets.Variable("X=" + strings.Join(text, " "))} {
			if !slices.Contains(got.Kinds, secret[1]) || strings.Contains(got.Text, secret[2]) {
				t.Errorf("%v in %q", got.Kinds, got.Text)
			}
		}
	})
}
