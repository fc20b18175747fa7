package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// trivyReport is Trivy's JSON report (aquasecurity/trivy, pkg/types).
type trivyReport struct {
	SchemaVersion int
	CreatedAt     string
	ArtifactType  string
	Results       []trivyResult
}

type trivyResult struct {
	Class           string
	Vulnerabilities []trivyVulnerability
	// What the one who scanned had Trivy leave out, when it shows that.
	Modified []struct {
		Type    string
		Finding json.RawMessage
	} `json:"ExperimentalModifiedFindings"`
}

type trivyVulnerability struct {
	VulnerabilityID  string
	PkgName          string
	PkgIdentifier    struct{ PURL string }
	InstalledVersion string
	FixedVersion     string
	Status           string
	Severity         string
	PrimaryURL       string
	PublishedDate    string
}

// readTrivy reads Trivy's report. It knows no catalogue of exploited
// vulnerabilities, no EPSS, and not since when there is a fix.
func readTrivy(text json.RawMessage, r *Report) error {
	var t trivyReport
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("read Trivy's report: %w", err)
	}
	switch {
	case t.SchemaVersion != 2:
		return fmt.Errorf("a report of Trivy of the schema version %d; version 2 is read", t.SchemaVersion)
	case t.ArtifactType != "container_image":
		return fmt.Errorf("the report of Trivy is about a %q, not about a container_image", cut(t.ArtifactType))
	}
	if err := older(&r.Finished, t.CreatedAt); err != nil {
		return fmt.Errorf("CreatedAt: %w", err)
	}
	looked := false
	for _, result := range t.Results {
		looked = looked || slices.Contains([]string{"os-pkgs", "lang-pkgs"}, result.Class)
		all := result.Vulnerabilities
		for _, m := range result.Modified {
			if m.Type != "vulnerability" {
				continue
			}
			var left trivyVulnerability
			if err := json.Unmarshal(m.Finding, &left); err != nil {
				return fmt.Errorf("read what Trivy left out: %w", err)
			}
			all = append(all, left)
		}
		for _, v := range all {
			r.Vulnerabilities = append(r.Vulnerabilities, v.translate())
		}
	}
	if !looked {
		return errors.New("the report of Trivy lists no packages that were looked at (a result of class os-pkgs or lang-pkgs)")
	}
	return nil
}

func (t trivyVulnerability) translate() Vulnerability {
	v := Vulnerability{
		ID: t.VulnerabilityID, FixState: "not-fixed", PublishedAt: day(t.PublishedDate), URL: t.PrimaryURL,
		Unsaid: Unsaid{Exploited: true},
	}
	v.setPackage(t.PkgName, t.InstalledVersion, t.PkgIdentifier.PURL)
	v.setSeverity(t.Severity)
	switch {
	case t.FixedVersion != "":
		v.FixState, v.FixedIn = "fixed", versions(t.FixedVersion)
	case t.Status == "fixed": // without saying where
		v.FixState = "fixed"
	case t.Status == "will_not_fix", t.Status == "end_of_life":
		v.FixState = "wont-fix"
	}
	return v
}

// versions splits a list as Trivy and SARIF write it.
func versions(list string) []string {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}
