package policy

import (
	"regexp"
	"slices"
	"strings"
)

// Set is some policies, sorted by what they are about: what it costs to find
// those that match a push does not depend on how many do not begin like it. It
// is safe for concurrent use.
type Set struct {
	all []*Compiled
	// beginnings has the policies by the registry they are about and the text
	// with which the repositories begin that they are about.
	beginnings map[beginning][]int
}

type beginning struct{ registry, text string }

// NewSet returns a set of policies. The list is not to be changed afterwards.
func NewSet(all []*Compiled) *Set {
	s := &Set{all: all, beginnings: map[beginning][]int{}}
	for i, c := range all {
		for _, text := range c.match.beginnings() {
			key := beginning{c.policy.Spec.From, text}
			s.beginnings[key] = append(s.beginnings[key], i)
		}
	}
	return s
}

// All lists the policies. The list is not to be changed.
func (s *Set) All() []*Compiled { return s.all }

// Matching lists the policies that are about a push, in the order of All.
func (s *Set) Matching(registry, repository, tag string) []*Compiled {
	var found []int
	for end := range len(repository) + 1 {
		found = append(found, s.beginnings[beginning{registry, repository[:end]}]...)
	}
	slices.Sort(found)
	var matching []*Compiled
	for _, i := range slices.Compact(found) {
		if c := s.all[i]; c.Matches(registry, repository, tag) {
			matching = append(matching, c)
		}
	}
	return matching
}

// beginnings are texts with one of which every repository begins that the
// policy is about.
func (m *matcher) beginnings() []string {
	if len(m.repositoriesRegExp) > 0 && len(m.repositories) == 0 {
		return compacted(m.repositoriesRegExp, regExpBeginning)
	}
	return compacted(m.repositories, func(pattern string) (string, bool) {
		if strings.HasPrefix(pattern, "!") {
			return "", false
		}
		return pattern[:min(len(pattern), literalLength(pattern))], true
	})
}

// literalLength is how much of a glob stands for itself.
func literalLength(pattern string) int {
	n := strings.IndexAny(pattern, `*?[{\`)
	switch {
	case n < 0:
		return len(pattern)
	case strings.HasPrefix(pattern[n:], "**") && n > 0 && pattern[n-1] == '/':
		return n - 1 // a/** is also about a
	}
	return n
}

// regExpBeginning is the text with which everything begins that an expression
// for whole names takes.
func regExpBeginning(whole *regexp.Regexp) (string, bool) {
	own, err := regexp.Compile(strings.TrimSuffix(strings.TrimPrefix(whole.String(), "^(?:"), ")$"))
	if err != nil {
		return "", true
	}
	text, _ := own.LiteralPrefix()
	return text, true
}

func compacted[T any](all []T, text func(T) (string, bool)) []string {
	var texts []string
	for _, one := range all {
		if t, ok := text(one); ok {
			texts = append(texts, t)
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}
