package policy

import (
	"strings"
	"unicode"
)

// maxText bounds a text of a finding, in runes.
const maxText = 400

// clean makes text that an image or a registry supplied safe to show in a
// terminal, a log or a page: no control or formatting characters, no endless
// lines.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText-1]) + "…"
	}
	return s
}
