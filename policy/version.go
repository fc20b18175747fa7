package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	pep440 "github.com/aquasecurity/go-pep440-version"
	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
	rpm "github.com/knqyf263/go-rpm-version"
	gosemver "golang.org/x/mod/semver"
)

// maxVersion bounds a version that is compared, in bytes.
const maxVersion = 500

// compareVersions orders two versions as their ecosystem does: negative when a
// is older. The type is a package URL type.
func compareVersions(packageType, a, b string) (int, error) {
	if a == "" || b == "" {
		return 0, errors.New("there is no version")
	}
	if len(a) > maxVersion || len(b) > maxVersion {
		return 0, fmt.Errorf("a version of more than %d bytes", maxVersion)
	}
	compare, ok := versionOrders()[packageType]
	if !ok {
		return 0, fmt.Errorf("versions of type %q cannot be ordered", packageType)
	}
	return compare(a, b)
}

func versionOrders() map[string]func(a, b string) (int, error) {
	semantic := ordered(semver.NewVersion, func(a, b *semver.Version) int { return a.Compare(b) })
	return map[string]func(a, b string) (int, error){
		"deb":      ordered(parseDeb, func(a, b deb.Version) int { return a.Compare(b) }),
		"rpm":      ordered(parseRPM, func(a, b rpm.Version) int { return a.Compare(b) }),
		"apk":      ordered(parseAPK, func(a, b apk.Version) int { return a.Compare(b) }),
		"npm":      semantic,
		"golang":   ordered(parseGolang, gosemver.Compare),
		"cargo":    semantic,
		"hex":      semantic,
		"pypi":     ordered(pep440.Parse, func(a, b pep440.Version) int { return a.Compare(b) }),
		"maven":    ordered(parseMaven, (*mavenItem).compare),
		"gem":      ordered(parseGem, gemVersion.compare),
		"nuget":    ordered(parseNuget, nugetVersion.compare),
		"composer": ordered(parseComposer, composerVersion.compare),
	}
}

// parseDeb refuses the underscore, which the library takes (Debian Policy,
// 5.6.12).
func parseDeb(v string) (deb.Version, error) {
	if strings.Contains(v, "_") {
		return deb.Version{}, errors.New("an underscore is in it")
	}
	if longNumber(v) {
		return deb.Version{}, errors.New("a number of more than 18 digits")
	}
	return deb.NewVersion(v)
}

func parseAPK(v string) (apk.Version, error) {
	if longNumber(v) {
		return "", errors.New("a number of more than 18 digits")
	}
	return apk.NewVersion(v)
}

// longNumber finds numbers that overflow in libraries, which then take one for
// another in silence.
func longNumber(v string) bool {
	digits := 0
	for _, r := range v {
		if r < '0' || r > '9' {
			digits = 0
			continue
		}
		if digits++; digits > 18 {
			return true
		}
	}
	return false
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
