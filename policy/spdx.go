package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"
)

// The bounds of a licence expression: its bytes, and how deep parentheses go.
const (
	maxExpression      = 2000
	maxExpressionDepth = 32
)

// licenseRef begins the names of licences that are not on the list.
const licenseRef = "LicenseRef-"

// licenceTerm is one licence of an expression.
type licenceTerm struct {
	// base is the identifier without -only, -or-later or +: "GPL-2.0",
	// "MIT", "LicenseRef-x".
	base      string
	orLater   bool
	exception string // "Classpath-exception-2.0"; empty when there is none
	listed    bool   // on the SPDX License List; otherwise nobody knows what it says
}

// licenceExpression is an SPDX licence expression (SPDX Specification 2.3,
// annex D): a term, or several of which all or any apply.
type licenceExpression struct {
	term licenceTerm
	any  bool // choice: OR; otherwise AND
	of   []licenceExpression
}

// parseLicence reads an SPDX licence expression.
func parseLicence(text string) (licenceExpression, error) {
	if len(text) > maxExpression {
		return licenceExpression{}, fmt.Errorf("a licence expression of %d bytes; at most %d are read", len(text), maxExpression)
	}
	p := licenceParser{words: licenceWords(text)}
	e, err := p.expression(0)
	if err == nil && len(p.words) > 0 {
		err = fmt.Errorf("%q does not fit where it is", p.words[0])
	}
	return e, err
}

// licenceWords cuts a text at white space and parentheses.
func licenceWords(text string) []string {
	return strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text))
}

// licenceParser reads what is left of the words.
type licenceParser struct{ words []string }

// next takes the next word when it is the given operator, in capitals or small
// letters.
func (p *licenceParser) next(operator string) bool {
	if len(p.words) == 0 || p.words[0] != operator && p.words[0] != strings.ToLower(operator) {
		return false
	}
	p.words = p.words[1:]
	return true
}

// expression reads choices; AND binds closer than OR.
func (p *licenceParser) expression(depth int) (licenceExpression, error) {
	return p.list(depth, "OR", true, func() (licenceExpression, error) {
		return p.list(depth, "AND", false, func() (licenceExpression, error) { return p.single(depth) })
	})
}

func (p *licenceParser) list(depth int, operator string, choice bool, read func() (licenceExpression, error)) (licenceExpression, error) {
	if depth > maxExpressionDepth {
		return licenceExpression{}, fmt.Errorf("parentheses go deeper than %d", maxExpressionDepth)
	}
	first, err := read()
	all := []licenceExpression{first}
	for err == nil && p.next(operator) {
		first, err = read()
		all = append(all, first)
	}
	if len(all) == 1 || err != nil {
		return all[0], err
	}
	return licenceExpression{any: choice, of: all}, nil
}

// single reads one licence, or what is in parentheses.
func (p *licenceParser) single(depth int) (licenceExpression, error) {
	if p.next("(") {
		e, err := p.expression(depth + 1)
		if err == nil && !p.next(")") {
			err = errors.New("a parenthesis is not closed")
		}
		return e, err
	}
	if len(p.words) == 0 {
		return licenceExpression{}, errors.New("a licence is missing")
	}
	term, err := parseTerm(p.words[0])
	if err != nil {
		return licenceExpression{}, err
	}
	p.words = p.words[1:]
	if !p.next("WITH") {
		return licenceExpression{term: term}, nil
	}
	if len(p.words) == 0 || !isLicenceID(p.words[0]) || term.exception != "" {
		return licenceExpression{}, errors.New("WITH is not followed by an exception")
	}
	term.exception = p.words[0]
	if known, id := spdxlicenses.IsException(term.exception); known {
		term.exception = id
	} else {
		term.listed = false
	}
	p.words = p.words[1:]
	return licenceExpression{term: term}, nil
}

// parseTerm reads a licence's identifier. One that is on no list is taken for
// a reference.
func parseTerm(word string) (licenceTerm, error) {
	id, plus := strings.CutSuffix(word, "+")
	reference := id[strings.LastIndexByte(id, ':')+1:] // behind DocumentRef-x:
	document := strings.TrimSuffix(strings.TrimSuffix(id, reference), ":")
	switch {
	case !isLicenceID(reference) || document != "" && !isLicenceID(document):
		return licenceTerm{}, fmt.Errorf("%q is no licence identifier", clean(word))
	case slices.Contains([]string{"AND", "OR", "WITH"}, strings.ToUpper(word)):
		return licenceTerm{}, fmt.Errorf("%q stands where a licence is missing", word)
	}
	term := licenceTerm{base: id, orLater: plus}
	for _, list := range []func(string) (bool, string){spdxlicenses.IsActiveLicense, spdxlicenses.IsDeprecatedLicense} {
		if known, canonical := list(id); known && !term.listed {
			term.base, term.listed = canonical, true
		}
	}
	if !term.listed {
		term.base = asReference(reference)
		return term, nil
	}
	return term.normalised(), nil
}

// normalised gives one licence one form: GPL-2.0, GPL-2.0-only; GPL-2.0+,
// GPL-2.0-or-later; GPL-2.0-with-classpath-exception.
func (t licenceTerm) normalised() licenceTerm {
	for old, exception := range map[string]string{ // as the list itself says what replaces them
		"GPL-2.0-with-autoconf-exception": "Autoconf-exception-2.0", "GPL-2.0-with-bison-exception": "Bison-exception-2.2",
		"GPL-2.0-with-classpath-exception": "Classpath-exception-2.0", "GPL-2.0-with-font-exception": "Font-exception-2.0",
		"GPL-2.0-with-GCC-exception": "GCC-exception-2.0", "GPL-3.0-with-autoconf-exception": "Autoconf-exception-3.0",
		"GPL-3.0-with-GCC-exception": "GCC-exception-3.1",
	} {
		if t.base == old {
			t.base, _, _ = strings.Cut(old, "-with-")
			t.exception = exception
		}
	}
	if base, later := strings.CutSuffix(t.base, "+"); later {
		t.base, t.orLater = base, true
	}
	if base, later := strings.CutSuffix(t.base, "-or-later"); later {
		t.base, t.orLater = base, true
	}
	t.base = strings.TrimSuffix(t.base, "-only")
	return t
}

// versions lists the licences among which "or later" leaves the choice, by
// what they are called without -only; just the one when there is none.
func (t licenceTerm) versions() []string {
	if !t.orLater {
		return []string{t.base}
	}
	for _, family := range spdxlicenses.LicenseRanges() {
		for i, version := range family {
			if slices.ContainsFunc(version, func(id string) bool { return strings.TrimSuffix(id, "-only") == t.base }) {
				later := []string{t.base}
				for _, ids := range family[i+1:] {
					for _, id := range ids {
						if !strings.HasSuffix(id, "-or-later") {
							later = append(later, strings.TrimSuffix(id, "-only"))
						}
					}
				}
				return later
			}
		}
	}
	return []string{t.base}
}

// isLicenceID says whether a text has the characters of an identifier
// (idstring, SPDX Specification 2.3, annex D).
func isLicenceID(s string) bool {
	return s != "" && !strings.ContainsFunc(s, notInLicenceID)
}

func notInLicenceID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
}

// asReference makes a reference of what is on no list, so that policies can
// name it: "public domain" is LicenseRef-public-domain, as SBOMs write it.
func asReference(text string) string {
	text = strings.Map(func(r rune) rune {
		if notInLicenceID(r) {
			return '-'
		}
		return r
	}, strings.TrimSpace(text))
	if len(text) > len(licenseRef) && strings.EqualFold(text[:len(licenseRef)], licenseRef) {
		text = text[len(licenseRef):]
	}
	return licenseRef + text
}
