package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// finding is one of in-toto's results. Version 0.1 has what version 0.2 says
// about a vulnerability one level further down, in its text but not in its
// example; either is taken.
type finding struct {
	statedVulnerability

	Vulnerability *statedVulnerability `json:"vulnerability"`
}

type statedVulnerability struct {
	ID       string `json:"id"`
	Severity []struct {
		Method string `json:"method"`
		Score  string `json:"score"`
	} `json:"severity"`
}

// readInToto reads in-toto's own list. It names no packages and no fixes.
func readInToto(text json.RawMessage, r *Report) error {
	var list *[]finding
	if len(text) > 0 {
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("read scanner.result: %w", err)
		}
	}
	if list == nil {
		return errors.New("scanner.result is no list of vulnerabilities; an empty list says that there are none")
	}
	for i, f := range *list {
		stated := f.statedVulnerability
		if f.Vulnerability != nil {
			if stated.ID != "" {
				return fmt.Errorf("vulnerability %d has two identifiers", i)
			}
			stated = *f.Vulnerability
		}
		v := Vulnerability{ID: stated.ID, Unsaid: Unsaid{Package: true, Type: true, Fix: true, Exploited: true}}
		v.Severity = stated.worst()
		v.Unsaid.Severity = v.Severity == ""
		r.Vulnerabilities = append(r.Vulnerabilities, v)
	}
	return nil
}

// worst is the worst of the severities, by whatever method. It is empty when
// there is none, or one of which nobody knows how bad it is.
func (s statedVulnerability) worst() (severity string) {
	for _, one := range s.Severity {
		method := strings.ToLower(one.Method)
		if strings.Contains(method, "epss") { // how likely, not how bad
			continue
		}
		said, ok := severityOf(one.Score)
		if scored := strings.Contains(method, "cvss") || strings.Contains(method, "nvd"); !ok || !scored && !isWord(one.Score) {
			return ""
		}
		severity = worse(severity, said)
	}
	return severity
}
