// Package plain makes text that somebody else wrote safe to show to people:
// in an error, a log, a terminal.
package plain

import (
	"strings"
	"unicode"
)

// Line returns a text as one line of at most limit runes. Control and
// formatting characters, separators of lines among them, become spaces: they
// could move the cursor, hide text or turn its direction.
func Line(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
