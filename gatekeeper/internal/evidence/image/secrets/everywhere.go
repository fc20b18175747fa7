package secrets

import (
	"cmp"
	"slices"
	"strings"
)

// The limits of looking for secrets that were found somewhere elsewhere.
const (
	maxRemembered = 100     // secrets
	minRemembered = 8       // bytes; shorter ones are words, too
	maxLength     = 1 << 10 // bytes; longer ones are private keys, which are known anywhere
)

// Seen remembers the secrets that were found, so that they are masked wherever
// else they are written: a password that is set as a variable is often in the
// history of the layers, in a command that says nothing of what it is. The
// zero value has seen none.
type Seen struct{ values []string }

// Add remembers what was found in a text.
func (s *Seen) Add(f Found) {
	for _, v := range f.values {
		if len(v) >= minRemembered && len(v) <= maxLength && len(s.values) < maxRemembered && !slices.Contains(s.values, v) {
			s.values = append(s.values, v)
		}
	}
}

// Mask masks every secret that was seen.
func (s *Seen) Mask(text string) string {
	if len(s.values) == 0 {
		return text
	}
	// The longer first: of one that begins like another nothing is left.
	slices.SortFunc(s.values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(s.values))
	for _, v := range s.values {
		pairs = append(pairs, v, masked)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
