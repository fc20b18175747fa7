package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// maxVersionRange bounds the text of a version range, in bytes.
const maxVersionRange = 1000

// versionRange holds alternatives, of which one has to hold; of each, every
// bound. It holds for every version when it is empty.
type versionRange [][]versionBound

// versionBound compares a version in the order of its ecosystem.
type versionBound struct{ operator, version string }

// parseVersionRange reads ">= 2.0, < 2.17.1 || = 3.0" as versions of a package
// URL type.
func parseVersionRange(packageType, text string) (versionRange, error) {
	if len(text) > maxVersionRange {
		return nil, fmt.Errorf("%d bytes; write at most %d", len(text), maxVersionRange)
	}
	bound := regexp.MustCompile(`^(>=|<=|!=|=|>|<)\s*([^\s<>=!|,]+)$`)
	var r versionRange
	for alternative := range strings.SplitSeq(text, "||") {
		var all []versionBound
		for part := range strings.SplitSeq(alternative, ",") {
			m := bound.FindStringSubmatch(strings.TrimSpace(part))
			if m == nil {
				return nil, fmt.Errorf("%q is no comparison; write for example \">= 2.0, < 2.17.1 || = 3.0\"", strings.TrimSpace(part))
			}
			if _, err := compareVersions(packageType, m[2], m[2]); err != nil {
				return nil, err
			}
			all = append(all, versionBound{m[1], m[2]})
		}
		r = append(r, all)
	}
	return r, nil
}

// contains says whether a version is in the range; an error, that it cannot be
// compared.
func (r versionRange) contains(packageType, version string) (bool, error) {
	for _, alternative := range r {
		holds := true
		for _, b := range alternative {
			order, err := compareVersions(packageType, version, b.version)
			if err != nil {
				return false, err
			}
			holds = holds && b.holds(order)
		}
		if holds {
			return true, nil
		}
	}
	return len(r) == 0, nil
}

// holds says whether a version is within the bound by how it compares with the
// bound's: negative when it is older.
func (b versionBound) holds(order int) bool {
	switch b.operator {
	case ">=":
		return order >= 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	case "<":
		return order < 0
	case "!=":
		return order != 0
	}
	return order == 0
}
