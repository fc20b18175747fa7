package policy

import (
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// goRelease is a release of Go itself, of which rc and beta follow the number
// without a dash (go.dev/doc/toolchain, "Go versions").
var goRelease = regexp.MustCompile(`^go([0-9.]+)(?:(rc|beta)([0-9]+))?(?:\s.*)?$`)

// parseGolang reads the version of a module, or of Go itself. What follows a
// plus, such as +incompatible+dirty, says nothing about the order.
func parseGolang(v string) (*semver.Version, error) {
	v, _, _ = strings.Cut(v, "+")
	if m := goRelease.FindStringSubmatch(v); m != nil {
		v = m[1]
		if m[2] != "" {
			v += "-" + m[2] + "." + m[3]
		}
	}
	return semver.NewVersion(v)
}
