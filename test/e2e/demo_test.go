package e2e_test

import (
	"encoding/json"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// All samples get their verdicts, with the registries in process and with the
// Distribution binary. Not in parallel: one sample has to be golden within a
// second of its signature.
func TestTheDemonstrationGetsItsVerdicts(t *testing.T) {
	for name, args := range map[string][]string{
		"embedded registries": nil,
		"registry binary":     {"--registry-binary", harness.Tool(t, harness.RegistryModule)},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, append([]string{"demo", "--once", "-o", "json"}, args...)...)
			r.want(t, 0)
			var report struct {
				Samples []struct {
					Image, Verdict string
					Expected       bool
				}
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatalf("%v\n%s", err, r.stdout)
			}
			if len(report.Samples) < 10 {
				t.Errorf("%d samples, want at least 10", len(report.Samples))
			}
			for _, s := range report.Samples {
				if !s.Expected {
					t.Errorf("%s: %s", s.Image, s.Verdict)
				}
			}
		})
	}
}
