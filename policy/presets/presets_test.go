package presets_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/policytest"
	"github.com/golden-gatekeeper/gatekeeper/policy/presets"
)

// newKey stands in for the keys that have to be filled in, another for each.
func newKey(t *testing.T) policyfile.ReadFile {
	t.Helper()
	return func(string) ([]byte, error) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
	}
}

func compiled(t *testing.T, name string) policyfile.Policy {
	t.Helper()
	p, err := presets.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := policyfile.Parse(name+".yaml", []byte(p.Text), newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return policies[0]
}

// Each is sound as it is printed, without a warning, and says what it is after
// and that it is not compliant with that.
func TestThePresetsAreSound(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) != len(presets.Names()) {
		t.Errorf("%v, %v: not what Names lists", files, err)
	}
	for _, name := range presets.Names() {
		p := compiled(t, name)
		for _, w := range p.Warnings() {
			t.Errorf("%v", w)
		}
		preset, err := presets.Read(name)
		if err != nil || p.Name() != name || strings.ContainsAny(preset.Summary, "#\n") || !strings.HasSuffix(preset.Summary, ".") {
			t.Errorf("%s: policy %s, %q, %v", name, p.Name(), preset.Summary, err)
		}
		if strings.HasSuffix(name, "-like") && (!strings.HasPrefix(preset.Summary, "After ") || !strings.Contains(preset.Text, "# Not compliant with it")) {
			t.Errorf("%s does not say what it is after and that it is not compliant with it", name)
		}
		if enforced := p.Mode() == policy.ModeEnforce; enforced == (name == "audit") {
			t.Errorf("%s is in mode %s", name, p.Mode())
		}
	}
	if _, err := presets.Read("lax"); err == nil || !strings.Contains(err.Error(), "there are strict, ") {
		t.Errorf("%v", err)
	}
}

// What each takes and refuses.
func TestThePresetsDecide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/presets_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	suites, err := policytest.Parse("testdata/presets_test.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	var tested []string
	for _, s := range suites {
		tested = append(tested, s.Policy)
		results, err := s.Run(compiled(t, s.Policy).Compiled)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.Passed() {
				t.Errorf("%s: %s: %q", r.Policy, r.Case, r.Failures)
			}
		}
	}
	if !slices.Equal(tested, presets.Names()) {
		t.Errorf("tested are %v", tested)
	}
}
