package policy

import (
	"errors"
	"regexp"
	"strings"
)

// gemVersion is a version of RubyGems (Gem::Version), cut into numbers and
// words, without the zeros that make no difference.
type gemVersion []string

// The forms of gem versions. A platform follows the version where gems hold
// compiled code, as in lock files.
var (
	gemForm     = regexp.MustCompile(`^[0-9]+(\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	gemSegment  = regexp.MustCompile(`[0-9]+|[a-zA-Z]+`)
	gemPlatform = regexp.MustCompile(`-(?:java|jruby|dalvik|dotnet|macruby|(?:x86_64|x86|x64|i[3-6]86|amd64|arm[a-z0-9]*|aarch64|universal|powerpc[a-z0-9]*|ppc[a-z0-9]*|s390x|sparc[a-z0-9]*|riscv64|mips[a-z0-9]*)(?:-[0-9A-Za-z_.-]+)?|(?:mswin|mingw)[0-9A-Za-z_.-]*)$`)
)

func parseGem(v string) (gemVersion, error) {
	v = gemPlatform.ReplaceAllString(v, "")
	if !gemForm.MatchString(v) {
		return nil, errors.New("no version of RubyGems")
	}
	segments := withoutPre(gemSegment.FindAllString(withoutDashes(v), -1))
	word := 0
	for word < len(segments) && isDigits(segments[word]) {
		word++
	}
	return append(withoutZeros(segments[:word:word]), withoutZeros(segments[word:])...), nil
}

// withoutDashes writes what follows a dash, as semantic versions have it, as a
// pre-release of RubyGems: 1.0-beta.1 is 1.0.beta.1, and 1.0-1 is 1.0.pre.1.
func withoutDashes(v string) string {
	parts := strings.Split(v, "-")
	for i, part := range parts[1:] {
		first, _, _ := strings.Cut(part, ".")
		if first == "" || isDigits(first) {
			parts[i+1] = "pre." + part
		}
	}
	return strings.Join(parts, ".")
}

// withoutPre leaves out each pre that a word follows: it is what releases of
// RubyGems before 2026 made of a dash.
func withoutPre(segments []string) []string {
	var left []string
	for i, s := range segments {
		if s != "pre" || i+1 == len(segments) || isDigits(segments[i+1]) {
			left = append(left, s)
		}
	}
	return left
}

// withoutZeros leaves out the zeros at the end.
func withoutZeros(segments []string) []string {
	for len(segments) > 0 && strings.Trim(segments[len(segments)-1], "0") == "" {
		segments = segments[:len(segments)-1]
	}
	return segments
}

// compare takes a segment that is missing for a zero; words, which name what
// comes before a release, are older than numbers.
func (v gemVersion) compare(other gemVersion) int {
	for i := range max(len(v), len(other)) {
		a, b := v.segment(i), other.segment(i)
		order := 0
		switch numberA, numberB := isDigits(a), isDigits(b); {
		case numberA && numberB:
			order = compareDigits(a, b)
		case numberA:
			order = 1
		case numberB:
			order = -1
		default:
			order = strings.Compare(a, b)
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

func (v gemVersion) segment(i int) string {
	if i < len(v) {
		return v[i]
	}
	return "0"
}
