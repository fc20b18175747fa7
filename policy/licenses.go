package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Licenses says under which licences the packages of an image may be.
type Licenses struct {
	// Deny and Allow are SPDX licence identifiers, with an exception or
	// without, or globs. With Allow everything else is denied.
	Deny  []string `yaml:"deny" json:"deny,omitempty"`
	Allow []string `yaml:"allow" json:"allow,omitempty"`
	// Unknown is deny or allow: what becomes of packages of which nobody
	// knows the licence; deny when empty.
	Unknown    string             `yaml:"unknown" json:"unknown,omitempty"`
	Types      []string           `yaml:"types" json:"types,omitempty"` // package URL types; every type when empty
	Exceptions []LicenseException `yaml:"exceptions" json:"exceptions,omitempty"`
}

// LicenseException excuses licences of packages for a while.
type LicenseException struct {
	Packages     []PackageURL `yaml:"packages" json:"packages,omitempty"`         // as in components; every package when empty
	Licenses     []string     `yaml:"licenses" json:"licenses,omitempty"`         // as in allow; every licence, and none known, when empty
	Repositories []string     `yaml:"repositories" json:"repositories,omitempty"` // globs as in match; every repository when empty
	Expires      Date         `yaml:"expires" json:"expires"`
	Owner        string       `yaml:"owner" json:"owner"`
	Reason       string       `yaml:"reason" json:"reason"`
	Ticket       string       `yaml:"ticket" json:"ticket,omitempty"`
}

// words says what is excused.
func (x LicenseException) words() string {
	what := "every licence, and none that is known,"
	if len(x.Licenses) > 0 {
		what = "the licence " + either(x.Licenses)
	}
	if len(x.Packages) == 0 {
		return what
	}
	packages := make([]string, 0, len(x.Packages))
	for _, p := range x.Packages {
		packages = append(packages, string(p))
	}
	return what + " of the package " + either(packages)
}

// licenceRules are Licenses made ready.
type licenceRules struct {
	deny, allow []licencePattern
	exceptions  []licenceException
}

type licenceException struct {
	LicenseException

	packages []component
	licences []licencePattern
}

// licencePattern is an entry of a list of licences.
type licencePattern struct {
	licences  []string // without -only, in capitals; globs
	exception string   // in capitals; a glob; empty when the entry has none
}

// compileLicencePattern reads "AGPL-3.0-only", "GPL-2.0-or-later WITH
// Classpath-exception-2.0", "LicenseRef-acme" or "GPL-*".
func compileLicencePattern(text string) (licencePattern, error) {
	if strings.ContainsAny(text, "*?[{") {
		licence, exception, with := strings.Cut(text, " WITH ")
		if len(text) > maxExpression || !doublestar.ValidatePattern(licence) || with && !doublestar.ValidatePattern(exception) || strings.ContainsAny(licence+exception, " ()") {
			return licencePattern{}, fmt.Errorf("%q is no glob for licences; write for example AGPL-*", clean(text))
		}
		return licencePattern{[]string{strings.ToUpper(licence)}, strings.ToUpper(exception)}, nil
	}
	e, err := parseLicence(text)
	switch {
	case err != nil:
		return licencePattern{}, fmt.Errorf("%w; write an SPDX licence identifier, such as AGPL-3.0-only", err)
	case len(e.of) > 0:
		return licencePattern{}, errors.New("several licences; write an entry for each")
	case !e.term.listed && !strings.HasPrefix(text, licenseRef):
		return licencePattern{}, fmt.Errorf("%q is not on the SPDX License List; write its identifier from spdx.org/licenses, or LicenseRef-%s for a licence of your own", clean(text), strings.TrimPrefix(asReference(text), licenseRef))
	}
	p := licencePattern{exception: strings.ToUpper(e.term.exception)}
	for _, version := range e.term.versions() {
		p.licences = append(p.licences, strings.ToUpper(version))
	}
	return p, nil
}

// covers says whether the entry is about one version of a licence.
func (p licencePattern) covers(version string) bool {
	return slices.ContainsFunc(p.licences, func(pattern string) bool {
		full := strings.ToUpper(version)
		return doublestar.MatchUnvalidated(pattern, full) || doublestar.MatchUnvalidated(pattern, full+"-ONLY") || doublestar.MatchUnvalidated(pattern, full+"-OR-LATER")
	})
}

// denies and allows differ in exceptions that the entry does not name: a
// denied licence is denied with any, an allowed one is allowed without.
func (p licencePattern) denies(version, exception string) bool {
	return p.covers(version) && (p.exception == "" || doublestar.MatchUnvalidated(p.exception, strings.ToUpper(exception)))
}

func (p licencePattern) allows(version, exception string) bool {
	return p.covers(version) && doublestar.MatchUnvalidated(p.exception, strings.ToUpper(exception))
}

// standing is what a policy makes of a licence, worst first.
type standing int

// The standings.
const (
	licenceDenied standing = iota
	licenceUnknown
	licenceFine
)

// standing judges an expression: of a choice the best counts, of what applies
// together the worst.
func (r *licenceRules) standing(e licenceExpression, excused []licencePattern) standing {
	if len(e.of) == 0 {
		return r.ofTerm(e.term, excused)
	}
	result := r.standing(e.of[0], excused)
	for _, part := range e.of[1:] {
		if s := r.standing(part, excused); e.any == (s > result) {
			result = s
		}
	}
	return result
}

// ofTerm judges one licence; "or later" is a choice.
func (r *licenceRules) ofTerm(t licenceTerm, excused []licencePattern) standing {
	best := licenceDenied
	for _, version := range t.versions() {
		best = max(best, r.ofVersion(version, t, excused))
	}
	return best
}

func (r *licenceRules) ofVersion(version string, t licenceTerm, excused []licencePattern) standing {
	allowed := func(p licencePattern) bool { return p.allows(version, t.exception) }
	switch {
	case slices.ContainsFunc(excused, allowed):
		return licenceFine
	case slices.ContainsFunc(r.deny, func(p licencePattern) bool { return p.denies(version, t.exception) }):
		return licenceDenied
	case slices.ContainsFunc(r.allow, allowed):
		return licenceFine
	case !t.listed:
		return licenceUnknown
	case len(r.allow) > 0:
		return licenceDenied
	}
	return licenceFine
}

// ofPackage judges everything that is known of a package's licences: all of it
// applies.
func (r *licenceRules) ofPackage(p Package, excused []licencePattern) standing {
	worst, known := licenceFine, false
	for _, text := range p.Licenses {
		if isNoLicence(text) {
			continue
		}
		known = true
		worst = min(worst, r.ofText(text, excused))
	}
	if !known {
		return licenceUnknown
	}
	return worst
}

// ofText judges a text. One that is no expression is an identifier with other
// separators, or a reference; when it mentions what is denied, it is denied.
func (r *licenceRules) ofText(text string, excused []licencePattern) standing {
	e, err := parseLicence(text)
	if err == nil {
		return r.standing(e, excused)
	}
	reference := asReference(text)
	term, err := parseTerm(strings.TrimPrefix(reference, licenseRef)) // "Apache 2.0"
	if err != nil {
		term = licenceTerm{base: reference}
	}
	result := r.ofTerm(term, excused)
	if result == licenceFine || term.listed {
		return result
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return notInLicenceID(r) && r != '+' }) {
		if term, err := parseTerm(word); err == nil && term.listed && slices.ContainsFunc(r.deny, func(p licencePattern) bool { return p.exception == "" && p.covers(term.base) }) {
			return licenceDenied
		}
	}
	return result
}

// isNoLicence says whether a text only says that nothing is known, or that
// there is none (SPDX Specification 2.3, 7.13).
func isNoLicence(text string) bool {
	return slices.Contains([]string{"", "NONE", "NOASSERTION"}, strings.ToUpper(strings.TrimSpace(text)))
}

// compileLicenses checks spec.licenses.
func (b *builder) compileLicenses() {
	s := b.c.policy.Spec.Licenses
	if s == nil {
		return
	}
	const at = "$.spec.licenses"
	if len(s.Deny)+len(s.Allow) == 0 && s.Unknown != licensesDeny {
		b.errorf(at, "asks for nothing; write deny or allow with a list of SPDX licence identifiers, or unknown: deny")
	}
	if !slices.Contains([]string{"", licensesDeny, licensesAllow}, s.Unknown) {
		b.errorf(at+".unknown", "%q; write deny or allow", s.Unknown)
	}
	b.checkTypes(at+".types", s.Types)
	b.c.licences = &licenceRules{deny: b.compileLicences(at+".deny", s.Deny), allow: b.compileLicences(at+".allow", s.Allow)}
	for i, x := range s.Exceptions {
		b.c.licences.exceptions = append(b.c.licences.exceptions, b.compileLicenceException(fmt.Sprintf("%s.exceptions[%d]", at, i), x))
	}
}

// What Licenses.Unknown may be.
const (
	licensesDeny  = "deny"
	licensesAllow = "allow"
)

func (b *builder) checkTypes(at string, types []string) {
	for i, t := range types {
		if !slices.Contains(packageTypes(), t) {
			b.errorf(fmt.Sprintf("%s[%d]", at, i), "%q is no package URL type; write one of %s", t, strings.Join(packageTypes(), ", "))
		}
	}
}

func (b *builder) compileLicences(at string, list []string) []licencePattern {
	var compiled []licencePattern
	for i, text := range list {
		p, err := compileLicencePattern(text)
		if err != nil {
			b.errorf(fmt.Sprintf("%s[%d]", at, i), "%v", err)
		}
		compiled = append(compiled, p)
	}
	return compiled
}

func (b *builder) compileLicenceException(at string, x LicenseException) licenceException {
	out := licenceException{LicenseException: x, licences: b.compileLicences(at+".licenses", x.Licenses)}
	if len(x.Packages)+len(x.Licenses) == 0 {
		b.errorf(at, "excuses everything; write packages, licenses or both")
	}
	for i, purl := range x.Packages {
		c, err := compileComponent(Component{PURL: purl})
		if err != nil {
			b.errorf(fmt.Sprintf("%s.packages[%d]", at, i), "%v", err)
		}
		out.packages = append(out.packages, c)
	}
	b.require(at+".owner", x.Owner, "who answers for the exception")
	b.require(at+".reason", x.Reason, "why the licence is acceptable")
	if x.Expires.IsZero() {
		b.errorf(at+".expires", "missing; write the last day on which the exception applies: 2026-12-31")
	}
	b.checkGlobs(at+".repositories", x.Repositories)
	return out
}

// covers says whether the exception is about a package; it has to be certain.
func (x licenceException) covers(p Package, repository string) bool {
	if len(x.Repositories) > 0 && !Globs(x.Repositories).Match(repository) {
		return false
	}
	id := p.identity()
	return len(x.packages) == 0 || slices.ContainsFunc(x.packages, func(c component) bool {
		named, certain := c.names(id)
		included, err := c.includes(p.Version)
		return named && certain && included && err == nil
	})
}

// licencesOf is what is known of a package's licences, for people.
func licencesOf(p Package) string {
	known := slices.DeleteFunc(slices.Clone(p.Licenses), isNoLicence)
	slices.Sort(known)
	return cmp.Or(strings.Join(known, " and "), "an unknown licence")
}
