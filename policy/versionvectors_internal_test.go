package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Versions are ordered as each ecosystem's published tests say. The files name
// their sources: dpkg, rpm, apk-tools, semver.org, node-semver, golang.org/x/mod,
// packaging, Apache Maven, RubyGems, NuGet.Versioning and composer/semver.
func TestVersionOrders(t *testing.T) {
	t.Parallel()
	const dir = "testdata/versions"
	for packageType := range versionOrders() {
		text, err := os.ReadFile(filepath.Join(dir, packageType+".txt"))
		if err != nil {
			t.Errorf("the order of %s is not tested: %v", packageType, err)
			continue
		}
		t.Run(packageType, func(t *testing.T) {
			t.Parallel()
			for line := range strings.Lines(string(text)) {
				words := strings.Fields(line)
				switch {
				case len(words) == 0 || words[0] == "#":
				case words[0] == "!":
					if _, err := compareVersions(packageType, strings.Join(words[1:], " "), "1"); err == nil {
						t.Errorf("%s is taken for a version", words[1:])
					}
				default:
					checkChain(t, packageType, words)
				}
			}
		})
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) != len(versionOrders()) {
		t.Errorf("%d files for %d orders (%v)", len(files), len(versionOrders()), err)
	}
}

// checkChain compares each version of a chain with each.
func checkChain(t *testing.T, packageType string, words []string) {
	t.Helper()
	for i := 0; i < len(words); i += 2 {
		for j := i; j < len(words); j += 2 {
			want := 0
			if slices.Contains(words[i:j], "<") {
				want = -1
			}
			checkPair(t, packageType, words[i], words[j], want)
			checkPair(t, packageType, words[j], words[i], -want)
		}
	}
}

func checkPair(t *testing.T, packageType, a, b string, want int) {
	t.Helper()
	if got, err := compareVersions(packageType, a, b); err != nil || sign(got) != want {
		t.Errorf("%s and %s compare as %d (%v), want %d", a, b, got, err, want)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
