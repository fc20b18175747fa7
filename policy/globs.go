package policy

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Globs choose names, as spec.match does: * stands for anything within a path
// element, ** for anything across elements, and ! in front leaves out again.
type Globs []string

// Match reports whether a name matches one of the patterns and none of those
// that begin with "!". The patterns have to be ValidGlob.
func (g Globs) Match(name string) bool {
	matched := false
	for _, p := range g {
		without, negative := strings.CutPrefix(p, "!")
		if !doublestar.MatchUnvalidated(without, name) {
			continue
		}
		if negative {
			return false
		}
		matched = true
	}
	return matched
}

// Literals returns the names that are written out, and whether there are
// patterns beside them, which only a list of all names can be compared with.
func (g Globs) Literals() (names []string, patterns bool) {
	for _, p := range g {
		switch {
		case strings.HasPrefix(p, "!"):
		case strings.ContainsAny(p, `*?[]{}\`):
			patterns = true
		default:
			names = append(names, p)
		}
	}
	return names, patterns
}

// ValidGlob says whether a pattern can be understood.
func ValidGlob(pattern string) bool {
	without := strings.TrimPrefix(pattern, "!")
	return without != "" && doublestar.ValidatePattern(without)
}
