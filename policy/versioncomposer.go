package policy

import (
	"cmp"
	"errors"
	"regexp"
	"strings"
)

// composerVersion is a version of Composer, cut into numbers and words: four
// numbers, the stability with its numbers, and dev. Branches, and dates with
// dashes, are not ordered.
type composerVersion []string

var (
	composerForm = regexp.MustCompile(`(?i)^v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:\.([0-9]+))?` +
		`(?:[._-]?(stable|beta|b|rc|alpha|a|patch|pl|p)((?:[.-]?[0-9]+)*))?([.-]?dev)?(?:\+[0-9A-Za-z.+-]*)?$`)
	composerNumber = regexp.MustCompile(`[0-9]+`)
)

func parseComposer(v string) (composerVersion, error) {
	m := composerForm.FindStringSubmatch(v)
	if m == nil {
		return nil, errors.New("no version of Composer that has an order")
	}
	var out composerVersion
	for _, number := range m[1:5] {
		out = append(out, cmp.Or(number, "0"))
	}
	if word := strings.ToLower(m[5]); word != "" && word != "stable" {
		out = append(append(out, word), composerNumber.FindAllString(m[6], -1)...)
	}
	if m[7] != "" {
		out = append(out, "dev")
	}
	return out, nil
}

// compare orders as PHP's version_compare does: a number, and the end, stand
// between what comes before a release and its patches.
func (v composerVersion) compare(other composerVersion) int {
	for i := range max(len(v), len(other)) {
		order := 0
		switch {
		case i >= len(v):
			order = -afterEnd(other[i])
		case i >= len(other):
			order = afterEnd(v[i])
		case isDigits(v[i]) && isDigits(other[i]):
			order = compareDigits(v[i], other[i])
		default:
			order = cmp.Compare(composerRank(v[i]), composerRank(other[i]))
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// afterEnd says how a version with this part more compares with one without.
func afterEnd(part string) int {
	if isDigits(part) {
		return 1
	}
	return cmp.Compare(composerRank(part), composerRank("0"))
}

func composerRank(part string) int {
	switch part {
	case "dev":
		return 0
	case "alpha", "a":
		return 1
	case "beta", "b":
		return 2
	case "rc":
		return 3
	case "patch", "pl", "p":
		return 5
	}
	return 4
}
