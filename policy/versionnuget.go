package policy

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// nugetVersion is a version of NuGet: that of Semantic Versioning with up to
// four numbers and labels in any case (learn.microsoft.com, "Package
// versioning").
type nugetVersion struct {
	numbers []string // four
	labels  []string // of a pre-release; empty for a release
}

var nugetForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$`)

func parseNuget(v string) (nugetVersion, error) {
	m := nugetForm.FindStringSubmatch(v)
	if m == nil {
		return nugetVersion{}, errors.New("no version of NuGet")
	}
	out := nugetVersion{numbers: strings.Split(m[1], ".")}
	for len(out.numbers) < 4 {
		out.numbers = append(out.numbers, "0")
	}
	if m[2] != "" {
		out.labels = strings.Split(strings.ToUpper(m[2]), ".")
	}
	return out, nil
}

func (v nugetVersion) compare(other nugetVersion) int {
	if order := slices.CompareFunc(v.numbers, other.numbers, compareDigits); order != 0 {
		return order
	}
	if len(v.labels) == 0 || len(other.labels) == 0 {
		return cmp.Compare(len(other.labels), len(v.labels))
	}
	return slices.CompareFunc(v.labels, other.labels, func(a, b string) int {
		switch numberA, numberB := isDigits(a), isDigits(b); {
		case numberA && numberB:
			return compareDigits(a, b)
		case numberA:
			return -1
		case numberB:
			return 1
		}
		return strings.Compare(a, b)
	})
}
