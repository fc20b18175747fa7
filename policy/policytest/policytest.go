// Package policytest runs tests that people write beside their policies: what
// a policy makes of evidence, in a table. Like the policies themselves it knows
// no network, storage or clock.
package policytest

import (
	"errors"
	"fmt"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// Kind is the kind of a document with tests.
const Kind = "PolicyTest"

// document is a test file as it is written.
type document struct {
	APIVersion string         `yaml:"apiVersion"`
	Kind       string         `yaml:"kind"`
	Policy     string         `yaml:"policy"`   // the name of the policy that is tested
	Now        string         `yaml:"now"`      // RFC 3339; the moment of every case that names no other
	Evidence   map[string]any `yaml:"evidence"` // that every case starts from
	Cases      []row          `yaml:"cases"`
}

// row is a case as it is written.
type row struct {
	Name string `yaml:"name"`
	Now  string `yaml:"now"`
	// Evidence changes what the case starts from, as a JSON merge patch does
	// (RFC 7396): mappings are merged, everything else is replaced, and null
	// takes something away.
	Evidence map[string]any `yaml:"evidence"`
	Expect   Expectation    `yaml:"expect"`
}

// Expectation is what a case asks for. What it leaves out is not compared.
type Expectation struct {
	Verdict policy.Verdict `yaml:"verdict"`
	// Matches is whether the policy is to have a say about the push at all;
	// true when left out.
	Matches *bool `yaml:"matches"`
	// Findings are those that there have to be, and no others; nil: any.
	// Infos, of exceptions that applied for one, may be left out.
	Findings  []Finding  `yaml:"findings"`
	Promotion *Promotion `yaml:"promotion"`
}

// Finding is a finding that is expected. Fields that are empty are not
// compared; Found is a part of the text.
type Finding struct {
	Check    policy.Check   `yaml:"check"`
	Rule     string         `yaml:"rule"`
	Platform string         `yaml:"platform"`
	Outcome  policy.Outcome `yaml:"outcome"`
	Reason   policy.Reason  `yaml:"reason"`
	Found    string         `yaml:"found"`
}

// Promotion is where a yes is expected to lead. Fields that are empty are not
// compared.
type Promotion struct {
	Registry   string   `yaml:"registry"`
	Repository string   `yaml:"repository"`
	Tags       []string `yaml:"tags"`
	Channels   []string `yaml:"channels"`
	Immutable  *bool    `yaml:"immutable"`
}

// Suite is a document with tests, and the policy that it tests.
type Suite struct {
	File   string
	Policy string
	doc    *strictyaml.Document
	rows   []row
	now    time.Time
	base   map[string]any
}

// Result is what came of one case.
type Result struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Policy   string   `json:"policy"`
	Case     string   `json:"case"`
	Failures []string `json:"failures,omitempty"` // what is not as expected; empty: it passed
	// Findings are what the policy said, for whoever wants to know why.
	Verdict  policy.Verdict   `json:"verdict,omitempty"`
	Findings []policy.Finding `json:"findings,omitempty"`
}

// Passed says whether everything is as expected.
func (r Result) Passed() bool { return len(r.Failures) == 0 }

// Parse reads the tests in a file. The error joins one for each mistake.
func Parse(file string, data []byte) ([]*Suite, error) {
	docs, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, &strictyaml.Error{File: file, Line: 1, Column: 1, Message: "the file holds no tests; write some, or remove it"}
	}
	var suites []*Suite
	var errs []error
	for _, doc := range docs {
		s, err := parse(file, doc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		suites = append(suites, s)
	}
	return suites, errors.Join(errs...)
}

func parse(file string, doc *strictyaml.Document) (*Suite, error) {
	var d document
	if err := doc.Decode(&d); err != nil {
		return nil, err
	}
	s := &Suite{File: file, Policy: d.Policy, doc: doc, rows: d.Cases, base: d.Evidence}
	var errs []error
	wrong := func(path, format string, args ...any) { errs = append(errs, doc.Errorf(path, format, args...)) }
	if d.APIVersion != policy.APIVersion {
		wrong("$.apiVersion", "%q is not known; write %s", d.APIVersion, policy.APIVersion)
	}
	if d.Kind != Kind {
		wrong("$.kind", "%q is no kind of test; write %s", d.Kind, Kind)
	}
	if d.Policy == "" {
		wrong("$.policy", "say which policy is tested: its metadata.name")
	}
	if len(d.Cases) == 0 {
		wrong("$.cases", "there are no cases")
	}
	var err error
	if s.now, err = time.Parse(time.RFC3339, d.Now); err != nil {
		wrong("$.now", "say at which moment the policy is asked, such as 2026-11-20T08:00:00Z")
	}
	names := map[string]bool{}
	for i, c := range d.Cases {
		at := fmt.Sprintf("$.cases[%d]", i)
		if c.Name == "" || names[c.Name] {
			wrong(at+".name", "give each case a name of its own")
		}
		names[c.Name] = true
		if _, err := time.Parse(time.RFC3339, c.Now); c.Now != "" && err != nil {
			wrong(at+".now", "%q is no moment; write one such as 2026-11-20T08:00:00Z", c.Now)
		}
		for _, err := range c.Expect.check() {
			wrong(at+".expect", "%s", err)
		}
	}
	return s, errors.Join(errs...)
}

// Run asks the policy in every case. The error joins one for each case whose
// evidence cannot be read.
func (s *Suite) Run(c *policy.Compiled) ([]Result, error) {
	if _, err := evidence(c, s.now, s.base, nil); err != nil {
		return nil, s.doc.Errorf("$.evidence", "%s", err)
	}
	var results []Result
	var errs []error
	for i, row := range s.rows {
		r, err := s.run(c, i, row)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, r)
	}
	return results, errors.Join(errs...)
}

func (s *Suite) run(c *policy.Compiled, i int, row row) (Result, error) {
	at := fmt.Sprintf("$.cases[%d]", i)
	now := s.now
	if row.Now != "" {
		now, _ = time.Parse(time.RFC3339, row.Now) // checked by Parse
	}
	ev, err := evidence(c, now, s.base, row.Evidence)
	if err != nil {
		return Result{}, s.doc.Errorf(at+".evidence", "case %q: %s", row.Name, err)
	}
	r := Result{File: s.File, Line: line(s.doc, at), Policy: s.Policy, Case: row.Name}
	matches := c.Matches(ev.Subject.Registry, ev.Subject.Repository, ev.Push.Tag)
	if want := row.Expect.Matches == nil || *row.Expect.Matches; matches != want {
		r.Failures = append(r.Failures, fmt.Sprintf("the policy matches %s/%s:%s: %t, want %t", ev.Subject.Registry, ev.Subject.Repository, ev.Push.Tag, matches, want))
		return r, nil
	}
	if !matches {
		return r, nil
	}
	got := policy.Evaluate(c, ev, now)
	r.Verdict, r.Findings = got.Verdict, got.Findings
	r.Failures = row.Expect.compare(got)
	return r, nil
}

// line is where a case is written.
func line(doc *strictyaml.Document, path string) int {
	if at, ok := errors.AsType[*strictyaml.Error](doc.Errorf(path, "")); ok {
		return at.Line
	}
	return 1
}
