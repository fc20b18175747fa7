// Package vex reads statements about whether a product is affected by a
// vulnerability (VEX): OpenVEX documents, and the analyses in CycloneDX
// documents. It decides nothing; it only says what was stated, about what, and
// when. What is not understood is about nothing.
//
// That no object has a key twice was checked when the signed statement around
// the document was read.
package vex

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The limits of one document.
const (
	maxBytes      = 16 << 20
	maxStatements = 10_000
	maxList       = 1_000   // entries of one list
	maxTotal      = 200_000 // entries of all lists together
	maxText       = 4096    // bytes of one identifier
)

// The predicate types of documents that are read; a version may follow either
// after a slash.
const (
	PredicateOpenVEX   = "https://openvex.dev/ns"
	PredicateCycloneDX = "https://cyclonedx.org/bom"
)

// IsPredicateType says whether documents of a predicate type are read.
func IsPredicateType(predicateType string) bool {
	return is(predicateType, PredicateOpenVEX) || is(predicateType, PredicateCycloneDX)
}

func is(predicateType, known string) bool {
	return predicateType == known || strings.HasPrefix(predicateType, known+"/v")
}

// Status is what a statement says of a product and a vulnerability.
type Status string

// The statuses (OpenVEX specification, "Status Labels").
const (
	NotAffected        Status = "not_affected"
	Affected           Status = "affected"
	Fixed              Status = "fixed"
	UnderInvestigation Status = "under_investigation"
)

// Document is what one author stated.
type Document struct {
	Author     string // as the document says, not proven
	Statements []Statement
}

// Statement is about one vulnerability in some products.
type Statement struct {
	Vulnerabilities []string // its names
	Products        []Product
	// Inherits says that the statement names no product, so that it is about
	// the subject of the attestation around it (OpenVEX specification,
	// "Inheritance Flow").
	Inherits  bool
	Status    Status
	Why       string    // the justification, or the impact in words; for not_affected
	Timestamp time.Time // zero when nothing says when
}

// Excuses says whether the status is one that needs nothing done about the
// vulnerability, and is stated as it has to be: not_affected with a reason.
func (s Statement) Excuses() bool {
	return !s.Timestamp.IsZero() && (s.Status == Fixed || s.Status == NotAffected && s.Why != "")
}

// Product is what a statement is about.
type Product struct {
	Identifiers []string          // package URLs and others
	Hashes      map[string]string // algorithm to hexadecimal digest
	// Packages are what the statement is restricted to inside the product;
	// all of it when empty. Each has one name or more.
	Packages [][]string
}

// Parse reads the document in the predicate of an attestation.
func Parse(predicateType string, text []byte) (Document, error) {
	if len(text) > maxBytes {
		return Document{}, fmt.Errorf("the document has %d bytes; at most %d are read", len(text), maxBytes)
	}
	read := parseOpenVEX
	switch {
	case is(predicateType, PredicateCycloneDX):
		read = parseCycloneDX
	case !is(predicateType, PredicateOpenVEX):
		return Document{}, fmt.Errorf("the predicate type %q is none of a VEX document that is read", predicateType)
	}
	d, err := read(text)
	if err != nil {
		return Document{}, err
	}
	return d, d.check()
}

func (d Document) check() error {
	if len(d.Statements) > maxStatements {
		return fmt.Errorf("%d statements; at most %d are read", len(d.Statements), maxStatements)
	}
	total := 0
	for i, s := range d.Statements {
		n, err := s.check()
		if err != nil {
			return fmt.Errorf("statement %d: %w", i, err)
		}
		if total += n; total > maxTotal {
			return fmt.Errorf("the statements name more than %d things together", maxTotal)
		}
	}
	return nil
}

// check counts what the statement names.
func (s Statement) check() (n int, err error) {
	names := slices.Clone(s.Vulnerabilities)
	if len(s.Products) > maxList {
		return 0, fmt.Errorf("%d products; at most %d are read", len(s.Products), maxList)
	}
	for _, p := range s.Products {
		if len(p.Packages) > maxList || len(p.Identifiers) > maxList || len(p.Hashes) > maxList {
			return 0, fmt.Errorf("a product with more than %d names or components", maxList)
		}
		names = append(names, p.Identifiers...)
		names = append(names, slices.Concat(p.Packages...)...)
	}
	if slices.ContainsFunc(names, func(name string) bool { return len(name) > maxText }) {
		return 0, fmt.Errorf("a name of more than %d bytes", maxText)
	}
	if len(s.Vulnerabilities) == 0 || len(s.Vulnerabilities) > maxList {
		return 0, fmt.Errorf("%d names of the vulnerability; write at least one, and at most %d", len(s.Vulnerabilities), maxList)
	}
	switch s.Status {
	case NotAffected, Affected, Fixed, UnderInvestigation:
		return len(names), nil
	}
	return 0, fmt.Errorf("the status %q is none of VEX", s.Status[:min(len(s.Status), 100)])
}

// moment reads a time; zero when there is none.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", text[:min(len(text), 100)])
	}
	return t.UTC(), nil
}

// firstMoment reads the first of several times that is there.
func firstMoment(texts ...string) (time.Time, error) {
	for _, text := range texts {
		if text != "" {
			return moment(text)
		}
	}
	return time.Time{}, nil
}

// textOr reads what may be a text in place of an object.
func textOr(data []byte, text *string, object any) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, text)
	}
	return json.Unmarshal(data, object)
}

// nonEmpty leaves out empty texts and repetitions.
func nonEmpty(texts ...string) []string {
	var all []string
	for _, text := range texts {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}
