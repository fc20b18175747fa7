package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

// stated is a vulnerability as one source states it.
type stated struct {
	Vulnerability

	by string // who reports it; empty: the embedded scanner
	// alone says that the report does not count as one: what it names counts,
	// and nothing that it knows helps.
	alone  bool
	unsaid vulnreport.Unsaid
}

// names are the identifiers that it is known by.
func (s stated) names() []string { return append([]string{s.ID}, s.Aliases...) }

// isAmong says whether all that it is about is among names.
func (s stated) isAmong(names map[string]bool) bool {
	return !slices.ContainsFunc(s.facets(), func(facet []string) bool {
		return !slices.ContainsFunc(facet, func(name string) bool { return names[name] })
	})
}

// String says what it is, and where.
func (s stated) String() string {
	text := s.ID
	if !s.unsaid.Severity {
		text += fmt.Sprintf(" (%s)", s.Severity)
	}
	if s.unsaid.Package {
		text += " in a package that is not named"
	} else {
		text += fmt.Sprintf(" in %s %s", s.Package, s.Version)
	}
	if s.by != "" {
		text += ", as " + s.by + " reports"
	}
	return text
}

// fromReport is a vulnerability as a signed report states it.
func fromReport(v vulnreport.Vulnerability, by string, counts bool) stated {
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return stated{by: by, alone: !counts, unsaid: v.Unsaid, Vulnerability: Vulnerability{
		ID: v.ID, Aliases: v.Aliases, Severity: Severity(v.Severity), Package: v.Package, Version: v.Version, Type: v.Type,
		FixState: v.FixState, FixedIn: v.FixedIn, FixedAt: known(v.FixedAt), PublishedAt: known(v.PublishedAt),
		KnownExploited: v.KnownExploited, EPSS: v.EPSS, URL: v.URL,
	}}
}

// because says what is not known of a vulnerability, or since when it is, that
// a rule refuses.
func (d Deny) because(v stated, now time.Time) (why string) {
	for _, open := range []struct {
		is   bool
		text string
	}{
		{d.Severity != "" && v.unsaid.Severity, "nobody says how severe it is"},
		{d.Fixed != nil && v.unsaid.Fix, "nobody says whether there is a fix"},
		{d.KnownExploited && v.unsaid.Exploited, "nobody says whether it is exploited"},
		{(len(d.Types) > 0 || len(d.Packages) > 0) && v.unsaid.Package, "nobody says in which package"},
		{len(d.Types) > 0 && v.unsaid.Type && !v.unsaid.Package, "nobody says in which type of package"},
		{d.EPSS > 0 && v.EPSS == 0, "it has no EPSS score"},
	} {
		if open.is {
			why += "; " + open.text
		}
	}
	began, known := d.began(v, now)
	switch {
	case d.After == 0:
	case known && d.Since == SinceAdvisory:
		why += "; it was published " + began.UTC().Format(time.DateTime)
	case known:
		why += "; there has been a fix since " + began.UTC().Format(time.DateTime)
	case d.Since == SinceAdvisory:
		why += "; nobody knows when it was published"
	default:
		why += "; nobody knows since when there is a fix"
	}
	return why
}
