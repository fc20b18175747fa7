package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
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
		Score string `json:"score"`
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
		for _, s := range stated.Severity {
			said, ok := severityOf(s.Score)
			if !ok { // nobody knows how bad that method finds it
				v.Severity = ""
				break
			}
			v.Severity = worse(v.Severity, said)
		}
		v.Unsaid.Severity = v.Severity == ""
		r.Vulnerabilities = append(r.Vulnerabilities, v)
	}
	return nil
}
