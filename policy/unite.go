package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// unite puts what several sources state side by side, the scanner's first.
// Nothing that one of them names is lost because another knows better. What
// one leaves unsaid the others fill in, where they name the same
// vulnerability.
func unite(scanned []Vulnerability, reported []stated) []stated {
	all := make([]stated, 0, len(scanned)+len(reported))
	for _, v := range scanned {
		all = append(all, stated{Vulnerability: v})
	}
	all = append(all, reported...)
	if len(reported) == 0 {
		return all
	}
	slices.SortStableFunc(all, func(a, b stated) int {
		return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.key(), b.key()))
	})
	facts := factsOf(all)
	for i := range all {
		facts.fill(&all[i])
	}
	return withoutVague(all)
}

// key puts what one source states in an order, by everything about it.
func (s stated) key() string {
	unset := time.Time{}
	return fmt.Sprintf("%t %q %v %v %v", s.alone, []any{s.ID, s.Type, s.Package, s.Version, s.Severity, s.Aliases, s.FixState, s.FixedIn, s.KnownExploited, s.EPSS, s.URL},
		s.unsaid, *cmp.Or(s.FixedAt, &unset), *cmp.Or(s.PublishedAt, &unset))
}

// facts are what is known of vulnerabilities whoever says it, by each of their
// names; of a fix, by the package too.
type facts map[place]fact

// place is a vulnerability, by one of its names, in one version of one package;
// in all of them without a package.
type place struct{ name, pkg, version string }

type fact struct {
	told        bool // whether it is exploited
	exploited   bool
	epss        float64
	publishedAt *time.Time
	fixState    string
	fixedAt     *time.Time
}

// with adds what another source knows. A fix that one of them knows is one.
func (a fact) with(b fact) fact {
	state := max(a.fixState, b.fixState)
	if a.fixState == "fixed" || b.fixState == "fixed" {
		state = "fixed"
	}
	return fact{
		told: a.told || b.told, exploited: a.exploited || b.exploited, epss: max(a.epss, b.epss),
		publishedAt: earlier(a.publishedAt, b.publishedAt), fixState: state, fixedAt: earlier(a.fixedAt, b.fixedAt),
	}
}

func factsOf(all []stated) facts {
	f := facts{}
	for _, s := range all {
		if s.alone {
			continue
		}
		general := fact{told: !s.unsaid.Exploited, exploited: s.KnownExploited, epss: s.EPSS, publishedAt: s.PublishedAt}
		for _, name := range s.names() {
			f[place{name: name}] = f[place{name: name}].with(general)
			if !s.unsaid.Package {
				f[s.in(name)] = f[s.in(name)].with(fact{fixState: s.FixState, fixedAt: s.FixedAt})
			}
		}
	}
	return f
}

func (s stated) in(name string) place { return place{name, s.Package, s.Version} }

// fill adds what others know. Where they differ, the worst counts.
func (f facts) fill(s *stated) {
	var about, in fact
	for _, name := range s.names() {
		about = about.with(f[place{name: name}])
		if !s.unsaid.Package {
			in = in.with(f[s.in(name)])
		}
	}
	if s.unsaid.Exploited && about.told {
		s.KnownExploited, s.unsaid.Exploited = about.exploited, false
	}
	if s.EPSS == 0 {
		s.EPSS = about.epss
	}
	if s.PublishedAt == nil {
		s.PublishedAt = about.publishedAt
	}
	if s.unsaid.Fix && in.fixState != "" {
		s.FixState, s.unsaid.Fix = in.fixState, false
	}
	if s.FixedAt == nil && s.FixState == "fixed" {
		s.FixedAt = in.fixedAt
	}
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

// withoutVague leaves out what names no package where another source names the
// packages of the same vulnerability, which are then at least as bad. What the
// scanner takes for a false alarm does not count as that.
func withoutVague(all []stated) []stated {
	placed := map[string][]int{}
	for i, s := range all {
		for _, name := range s.names() {
			if !s.unsaid.Package && !s.alone && s.Suppressed == "" {
				placed[name] = append(placed[name], i)
			}
		}
	}
	kept := make([]stated, 0, len(all))
	vague := map[int]bool{}
	for i, s := range all {
		if !s.unsaid.Package {
			continue
		}
		for _, name := range s.names() {
			for _, j := range placed[name] {
				vague[i] = true
				if !s.unsaid.Severity && !all[j].unsaid.Severity && !all[j].Severity.atLeast(s.Severity) {
					all[j].Severity = s.Severity
				}
			}
		}
	}
	for i, s := range all {
		if !vague[i] {
			kept = append(kept, s)
		}
	}
	return kept
}

// judged is what became of a vulnerability that a rule is about.
type judged struct {
	stated

	finding Finding
}

// worst leaves out what a report states when the scanner or another report
// states the same vulnerability in the same package, and what became of that
// is no better. The scanner's own all stay.
func worst(all []judged) []judged {
	rank := func(j judged) int {
		return slices.Index([]Outcome{OutcomeFail, OutcomeError, OutcomePending, OutcomeInfo}, j.finding.Outcome)
	}
	slices.SortStableFunc(all, func(a, b judged) int {
		return cmp.Or(compareBools(a.by != "", b.by != ""), cmp.Compare(rank(a), rank(b)))
	})
	least := map[place]int{} // rank, whatever the version
	kept := all[:0]
	for _, j := range all {
		repeats := j.by != "" && slices.ContainsFunc(j.names(), func(name string) bool {
			have, there := least[place{name: name, pkg: j.Package}]
			return there && have <= rank(j)
		})
		if repeats {
			continue
		}
		kept = append(kept, j)
		for _, name := range j.names() {
			at := place{name: name, pkg: j.Package}
			if have, there := least[at]; !there || rank(j) < have {
				least[at] = rank(j)
			}
		}
	}
	return kept
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
