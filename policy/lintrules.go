package policy

import (
	"fmt"
	"slices"
)

// lintDeny warns of entries of deny that never make a difference.
func (l *linter) lintDeny() {
	v := l.c.policy.Spec.Vulnerabilities
	if v == nil {
		return
	}
	for i, d := range v.Deny {
		for j, other := range v.Deny {
			if i != j && other.includes(d) && (j < i || !d.includes(other)) {
				l.warn(fmt.Sprintf("$.spec.vulnerabilities.deny[%d]", i), "it makes no difference: deny[%d] refuses all of it, and no later", j)
				break
			}
		}
	}
}

// includes says whether the rule refuses all that another does, and no later.
func (d Deny) includes(other Deny) bool {
	switch {
	case d.Severity != "" && (other.Severity == "" || !other.Severity.atLeast(d.Severity)):
		return false
	case d.Fixed != nil && (other.Fixed == nil || *d.Fixed != *other.Fixed):
		return false
	case d.KnownExploited && !other.KnownExploited, d.EPSS > 0 && other.EPSS < d.EPSS:
		return false
	case d.After > other.After, d.After > 0 && (d.Since == SinceAdvisory) != (other.Since == SinceAdvisory):
		return false
	}
	return contains(d.Types, other.Types) && contains(d.Packages, other.Packages)
}

// contains says whether what a list chooses, of which an empty one chooses all,
// is among what another does, as far as the lists' entries say.
func contains(list, other []string) bool {
	if len(list) == 0 {
		return true
	}
	return len(other) > 0 && !slices.ContainsFunc(other, func(entry string) bool { return !slices.Contains(list, entry) }) &&
		// Taking out again counts for all of a list.
		!slices.ContainsFunc(list, func(entry string) bool { return entry[:1] == "!" && !slices.Contains(other, entry) })
}

// lintCounts warns of numbers that cannot be, and of those that leave none.
func (l *linter) lintCounts() {
	v := l.c.policy.Spec.Vulnerabilities
	if v == nil {
		return
	}
	for i, c := range v.Counts {
		path := fmt.Sprintf("$.spec.vulnerabilities.counts[%d]", i)
		if c.Deny.operator == "<" && c.Deny.limit == 0 {
			l.warn(path, "no number is %s, so that it refuses nothing", c.Deny)
			continue
		}
		if n, ok := passing(v.Counts[:i+1], c); !ok {
			l.warn(path, "with those before it, it refuses every number of vulnerabilities%s: nothing can pass", c)
		} else if _, ok := passing(v.Counts[:i], c); ok && n != 0 && c.Deny.holds(0) {
			l.warn(path, "it refuses an image that has none")
		}
	}
}

// passing finds the least number that none of the counts of the same
// vulnerabilities as c refuses.
func passing(counts []Count, c Count) (least int, found bool) {
	limit := 0
	for _, other := range counts {
		limit = max(limit, other.Deny.limit)
	}
	for n := range limit + 2 {
		if !slices.ContainsFunc(counts, func(other Count) bool { return other.String() == c.String() && other.Deny.holds(n) }) {
			return n, true
		}
	}
	return 0, false
}

func (l *linter) lintPatchLevel() {
	p := l.c.policy.Spec.PatchLevel
	for i, m := range p.Packages {
		for j, other := range p.Packages {
			if i == j || m.Type != other.Type || m.Name != other.Name {
				continue
			}
			if order, err := compareVersions(m.Type, m.Minimum, other.Minimum); err == nil && (order < 0 || order == 0 && j < i) {
				l.warn(fmt.Sprintf("$.spec.patchLevel.packages[%d]", i), "it makes no difference: packages[%d] asks for %s or newer", j, other.Minimum)
				break
			}
		}
	}
	for i, system := range l.c.systems {
		wider := slices.IndexFunc(l.c.systems, func(o systemRange) bool { return o.id == system.id && o.operator == "" })
		if wider >= 0 && wider != i && (system.operator != "" || wider < i) {
			l.warn(fmt.Sprintf("$.spec.patchLevel.operatingSystems.allow[%d]", i), "it makes no difference: allow[%d] takes every release of %s", wider, system.id)
		}
	}
}

// lintComponents warns of packages that are denied already, and of those that are
// required too.
func (l *linter) lintComponents() {
	s := l.c.policy.Spec.Components
	if s == nil {
		return
	}
	for i, c := range s.Deny {
		if j := slices.IndexFunc(s.Deny[:i], func(o Component) bool { return o.includes(c) }); j >= 0 {
			l.warn(fmt.Sprintf("$.spec.components.deny[%d]", i), "it makes no difference: deny[%d] refuses it", j)
		}
	}
	for i, c := range s.Require {
		if j := slices.IndexFunc(s.Deny, func(o Component) bool { return o.includes(c) }); j >= 0 {
			l.warn(fmt.Sprintf("$.spec.components.require[%d]", i), "nothing can pass: deny[%d] refuses what it asks for", j)
		}
	}
}

// includes says whether an entry means all that another one does, as far as
// what is written says.
func (c Component) includes(other Component) bool {
	return c.PURL == other.PURL && (c.Versions == "" || c.Versions == other.Versions) &&
		(len(c.Repositories) == 0 || slices.Equal(c.Repositories, other.Repositories))
}

// lintLicenses warns of licences that are both allowed and denied.
func (l *linter) lintLicenses() {
	s := l.c.policy.Spec.Licenses
	if s == nil {
		return
	}
	for i, allowed := range s.Allow {
		if j := slices.Index(s.Deny, allowed); j >= 0 {
			l.warn(fmt.Sprintf("$.spec.licenses.allow[%d]", i), "it makes no difference: deny[%d] refuses %s", j, allowed)
		}
	}
}

// lintEnvironment warns of variables that are both denied and required.
func (l *linter) lintEnvironment() {
	s := l.c.policy.Spec.Image
	if s == nil || s.Env == nil {
		return
	}
	for i, required := range s.Env.Require {
		if j := slices.IndexFunc(s.Env.Deny, func(denied string) bool { return variableIs(required, denied) }); j >= 0 {
			l.warn(fmt.Sprintf("$.spec.image.env.require[%d]", i), "nothing can pass: deny[%d] refuses the variable that it asks for", j)
		}
	}
}

// Contradiction says why no push can pass two policies that have to agree:
// empty when there is no reason that can be seen. Two policies have to agree
// when they are enforced, match the same and promote to the same repository.
func Contradiction(a, b *Compiled) string {
	if !sameSubjects(a.policy.Spec, b.policy.Spec) {
		return ""
	}
	pa, pb := a.policy.Spec.PatchLevel, b.policy.Spec.PatchLevel
	if pa.OperatingSystems != nil && pb.OperatingSystems != nil && len(a.systems) > 0 && len(b.systems) > 0 {
		common := slices.ContainsFunc(a.systems, func(s systemRange) bool {
			return slices.ContainsFunc(b.systems, func(o systemRange) bool { return s.id == o.id })
		})
		if !common {
			return "they allow no operating system in common (patchLevel.operatingSystems.allow)"
		}
	}
	if a.policy.Spec.Promote.Immutable != b.policy.Spec.Promote.Immutable {
		return "one writes its tags as immutable, the other moves them (promote.immutable)"
	}
	return ""
}

func sameSubjects(a, b Spec) bool {
	return a.Mode == ModeEnforce && b.Mode == ModeEnforce && a.From == b.From && a.Match.equal(b.Match) &&
		a.Promote.To == b.Promote.To && a.Promote.Repository == b.Promote.Repository
}

func (m Match) equal(other Match) bool {
	return slices.Equal(m.Repositories, other.Repositories) && slices.Equal(m.RepositoriesRegExp, other.RepositoriesRegExp) &&
		slices.Equal(m.Tags, other.Tags) && slices.Equal(m.TagsRegExp, other.TagsRegExp) && m.Versions == other.Versions
}
