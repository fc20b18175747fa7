// Package vulnreport reads what vulnerability scanners report in signed
// attestations: in-toto's predicate, and cosign's with Trivy's, Grype's or
// SARIF's report inside. It fails closed: what is not understood is an error,
// never a report without vulnerabilities, and what a format cannot say is
// marked as unsaid, never taken for harmless.
//
// That no object has a key twice was checked when the signed statement around
// the predicate was read.
package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The limits of one report.
const (
	maxBytes           = 16 << 20
	maxVulnerabilities = 50_000
	maxList            = 200  // entries of one list of a vulnerability
	maxText            = 1024 // bytes of one identifier, name or version
)

// The predicate types that are read.
const (
	PredicateInTotoV01 = "https://in-toto.io/attestation/vulns/v0.1"
	PredicateInTotoV02 = "https://in-toto.io/attestation/vulns/v0.2"
	PredicateCosign    = "https://cosign.sigstore.dev/attestation/vuln/v1"
)

// PredicateTypes lists the predicate types that are read.
func PredicateTypes() []string {
	return []string{PredicateInTotoV01, PredicateInTotoV02, PredicateCosign}
}

// Report is what one scan of an image found.
type Report struct {
	Scanner  string    // name and version, as the report gives them
	Finished time.Time // when the scan ended; of several times the report gives, the earliest
	// Database is when the scanner's vulnerability database was made; of
	// several times the earliest, zero when the report does not say.
	Database        time.Time
	Vulnerabilities []Vulnerability
}

// Vulnerability is one known vulnerability in one package.
type Vulnerability struct {
	ID             string
	Aliases        []string
	Severity       string // critical, high, medium, low, negligible, unknown; empty when Unsaid
	Package        string // as Syft names it: Maven's without its group
	Version        string
	Type           string    // package URL type
	FixState       string    // fixed, not-fixed, wont-fix, unknown; empty when Unsaid
	FixedIn        []string  // versions
	FixedAt        time.Time // when the first fix was published; zero when not known
	PublishedAt    time.Time // when the vulnerability was; zero when not known
	KnownExploited bool
	EPSS           float64 // 0 to 1; 0 when not known
	URL            string
	Unsaid         Unsaid
}

// Unsaid says what a report leaves open about a vulnerability.
type Unsaid struct {
	Severity  bool
	Package   bool // and its version
	Type      bool
	Fix       bool
	Exploited bool // whether it is in a catalogue of exploited vulnerabilities
}

// predicate is the frame that in-toto's and cosign's predicates share
// (in-toto/attestation, spec/predicates/vuln.md; sigstore/cosign,
// specs/COSIGN_VULN_ATTESTATION_SPEC.md).
type predicate struct {
	Scanner *struct {
		URI     string `json:"uri"`
		Version string `json:"version"`
		DB      struct {
			LastUpdate string `json:"lastUpdate"`
		} `json:"db"`
		Result json.RawMessage `json:"result"`
	} `json:"scanner"`
	Metadata struct {
		Finished string `json:"scanFinishedOn"`
	} `json:"metadata"`
}

// Parse reads the report in the predicate of an attestation.
func Parse(predicateType string, text []byte) (Report, error) {
	if !slices.Contains(PredicateTypes(), predicateType) {
		return Report{}, fmt.Errorf("the predicate type %q is none of a report that is read", predicateType)
	}
	if len(text) > maxBytes {
		return Report{}, fmt.Errorf("the report has %d bytes; at most %d are read", len(text), maxBytes)
	}
	var p predicate
	if err := json.Unmarshal(text, &p); err != nil {
		return Report{}, fmt.Errorf("read the predicate: %w", err)
	}
	r, err := p.frame()
	if err != nil {
		return Report{}, err
	}
	read := readResult
	if predicateType != PredicateCosign {
		read = readInToto
	}
	if err := read(p.Scanner.Result, &r); err != nil {
		return Report{}, err
	}
	return r, r.check()
}

// frame reads who scanned, and when.
func (p predicate) frame() (r Report, err error) {
	if p.Scanner == nil || p.Scanner.URI == "" {
		return r, errors.New("the report does not say which scanner made it (scanner.uri)")
	}
	if r.Scanner = strings.TrimSpace(p.Scanner.URI + " " + p.Scanner.Version); len(r.Scanner) > maxText {
		return r, fmt.Errorf("a scanner with a name of %d bytes; at most %d are read", len(r.Scanner), maxText)
	}
	if p.Metadata.Finished == "" {
		return r, errors.New("the report does not say when the scan ended (metadata.scanFinishedOn)")
	}
	if r.Finished, err = moment(p.Metadata.Finished); err != nil {
		return r, fmt.Errorf("metadata.scanFinishedOn: %w", err)
	}
	if p.Scanner.DB.LastUpdate != "" {
		if r.Database, err = moment(p.Scanner.DB.LastUpdate); err != nil {
			return r, fmt.Errorf("scanner.db.lastUpdate: %w", err)
		}
	}
	return r, nil
}

// format is what tells the reports of scanners apart.
type format struct {
	SchemaVersion *int            `json:"SchemaVersion"` // Trivy
	Descriptor    json.RawMessage `json:"descriptor"`    // Grype
	Version       json.RawMessage `json:"version"`       // SARIF
	Runs          json.RawMessage `json:"runs"`          // SARIF
}

// readResult reads the report that a scanner wrote.
func readResult(text json.RawMessage, r *Report) error {
	var f format
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("read scanner.result: %w", err)
	}
	var readers []func(json.RawMessage, *Report) error
	if f.SchemaVersion != nil {
		readers = append(readers, readTrivy)
	}
	if f.Descriptor != nil {
		readers = append(readers, readGrype)
	}
	if f.Runs != nil {
		readers = append(readers, readSARIF)
	}
	if len(readers) != 1 {
		return errors.New("scanner.result is the report of no scanner that is read: Trivy's JSON, Grype's JSON, or SARIF of either")
	}
	return readers[0](text, r)
}

// older keeps the earlier of two times of the same thing.
func older(have *time.Time, text string) error {
	if text == "" {
		return nil
	}
	t, err := moment(text)
	if err == nil && (have.IsZero() || t.Before(*have)) {
		*have = t
	}
	return err
}

// moment reads a time, which no report has from before there were any.
func moment(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", cut(text))
	}
	if t.Year() < 2000 {
		return time.Time{}, fmt.Errorf("%s cannot be", t.UTC().Format(time.DateTime))
	}
	return t.UTC(), nil
}

// day reads a date or a time; zero when it is neither, so that nobody knows.
func day(text string) time.Time {
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// check refuses reports that are too large or name things without a name.
func (r *Report) check() error {
	if len(r.Vulnerabilities) > maxVulnerabilities {
		return fmt.Errorf("the report has %d vulnerabilities; at most %d are read", len(r.Vulnerabilities), maxVulnerabilities)
	}
	for i := range r.Vulnerabilities {
		if err := r.Vulnerabilities[i].check(); err != nil {
			return fmt.Errorf("vulnerability %d: %w", i, err)
		}
	}
	return nil
}

func (v *Vulnerability) check() error {
	if len(v.Aliases) > maxList || len(v.FixedIn) > maxList {
		return fmt.Errorf("more than %d aliases or fixed versions", maxList)
	}
	for _, text := range append(slices.Concat(v.Aliases, v.FixedIn), v.ID, v.Package, v.Version, v.Type) {
		if len(text) > maxText {
			return fmt.Errorf("a name of %d bytes; at most %d are read", len(text), maxText)
		}
	}
	switch {
	case strings.TrimSpace(v.ID) == "":
		return errors.New("it has no identifier")
	case !v.Unsaid.Package && strings.TrimSpace(v.Package) == "":
		return fmt.Errorf("%s is in no package", v.ID)
	case v.EPSS < 0 || v.EPSS > 1:
		return fmt.Errorf("%s has an EPSS score of %v", v.ID, v.EPSS)
	}
	return nil
}

// cut bounds what is quoted of a report.
func cut(text string) string { return text[:min(len(text), 100)] }
