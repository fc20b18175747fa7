package policy

import (
	"errors"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"
)

// goRelease is a release of Go itself, of which rc and beta follow the number
// without a dash (go.dev/doc/toolchain, "Go versions").
var goRelease = regexp.MustCompile(`^go([0-9.]+)(?:(rc|beta)([0-9]+))?(?:\s.*)?$`)

// parseGolang reads the version of a module, or of Go itself, and returns it as
// semver.Compare wants it. What follows a plus, such as +incompatible+dirty,
// says nothing about the order.
func parseGolang(v string) (string, error) {
	version, _, metadata := strings.Cut(v, "+")
	if m := goRelease.FindStringSubmatch(version); m != nil {
		version = semver.Canonical("v" + m[1])
		if m[2] != "" {
			version += "-" + m[2] + "." + m[3]
		}
	}
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	if !semver.IsValid(version) || metadata && semver.Canonical(version) != version {
		return "", errors.New("no version of a Go module (go.dev/ref/mod, \"Versions\")")
	}
	return version, nil
}
