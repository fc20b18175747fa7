package policy

import (
	"fmt"
	"regexp"

	"github.com/Masterminds/semver/v3"
	pep440 "github.com/aquasecurity/go-pep440-version"
	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
	rpm "github.com/knqyf263/go-rpm-version"
	maven "github.com/masahiro331/go-mvn-version"
)

// compareVersions orders two versions as their ecosystem does: negative when a
// is older. The type is a package URL type.
func compareVersions(packageType, a, b string) (int, error) {
	compare, ok := versionOrders()[packageType]
	if !ok {
		return 0, fmt.Errorf("versions of type %q cannot be ordered", packageType)
	}
	return compare(a, b)
}

func versionOrders() map[string]func(a, b string) (int, error) {
	semantic := ordered(semver.NewVersion, func(a, b *semver.Version) int { return a.Compare(b) })
	return map[string]func(a, b string) (int, error){
		"deb":    ordered(deb.NewVersion, func(a, b deb.Version) int { return a.Compare(b) }),
		"rpm":    ordered(parseRPM, func(a, b rpm.Version) int { return a.Compare(b) }),
		"apk":    ordered(apk.NewVersion, func(a, b apk.Version) int { return a.Compare(b) }),
		"npm":    semantic,
		"golang": ordered(parseGo, func(a, b *semver.Version) int { return a.Compare(b) }),
		"cargo":  semantic,
		"pypi":   ordered(pep440.Parse, func(a, b pep440.Version) int { return a.Compare(b) }),
		"maven":  ordered(maven.NewVersion, func(a, b maven.Version) int { return a.Compare(b) }),
	}
}

// parseGo reads a module's version, and that of a toolchain as binaries name it
// (go.dev/ref/mod, go.dev/doc/toolchain): go1.24.3, go1.24rc1, with more about
// the build behind it.
func parseGo(v string) (*semver.Version, error) {
	m := regexp.MustCompile(`^go([0-9]+(?:\.[0-9]+)*)(?:(beta|rc)([0-9]+))?(?:[-+ ].*)?$`).FindStringSubmatch(v)
	switch {
	case m == nil:
		return semver.NewVersion(v)
	case m[2] != "":
		return semver.NewVersion(m[1] + "-" + m[2] + "." + m[3])
	}
	return semver.NewVersion(m[1])
}

// parseRPM never fails: every text is an RPM version.
func parseRPM(v string) (rpm.Version, error) { return rpm.NewVersion(v), nil }

// ordered makes an order out of an ecosystem's parser and comparison.
func ordered[V any](parse func(string) (V, error), compare func(V, V) int) func(a, b string) (int, error) {
	return func(a, b string) (int, error) {
		va, err := parse(a)
		if err != nil {
			return 0, fmt.Errorf("version %q: %w", a, err)
		}
		vb, err := parse(b)
		if err != nil {
			return 0, fmt.Errorf("version %q: %w", b, err)
		}
		return compare(va, vb), nil
	}
}
