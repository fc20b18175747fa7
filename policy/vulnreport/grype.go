package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// grypeReport is Grype's JSON report (anchore/grype, grype/presenter/models).
type grypeReport struct {
	Matches        *[]grypeMatch `json:"matches"`
	IgnoredMatches []grypeMatch  `json:"ignoredMatches"`
	Source         struct {
		Type string `json:"type"`
	} `json:"source"`
	Descriptor struct {
		Name      string        `json:"name"`
		Version   string        `json:"version"`
		Timestamp string        `json:"timestamp"`
		DB        grypeDatabase `json:"db"`
	} `json:"descriptor"`
}

// grypeDatabase is described under status since Grype 0.88, and directly
// before.
type grypeDatabase struct {
	Built  string `json:"built"`
	Error  any    `json:"error"`
	Status *struct {
		SchemaVersion string `json:"schemaVersion"`
		Built         string `json:"built"`
		Valid         *bool  `json:"valid"`
		Error         any    `json:"error"`
	} `json:"status"`
}

type grypeMatch struct {
	Vulnerability struct {
		ID             string `json:"id"`
		DataSource     string `json:"dataSource"`
		Severity       string `json:"severity"`
		KnownExploited []any  `json:"knownExploited"`
		EPSS           []struct {
			EPSS float64 `json:"epss"`
		} `json:"epss"`
		Fix struct {
			Versions  []string `json:"versions"`
			State     string   `json:"state"`
			Available []struct {
				Date string `json:"date"`
			} `json:"available"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Related []struct {
		ID string `json:"id"`
	} `json:"relatedVulnerabilities"`
	Artifact struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl"`
	} `json:"artifact"`
}

// readGrype reads Grype's report. What the one who scanned had it ignore
// counts like the rest: exceptions are the policy's.
func readGrype(text json.RawMessage, r *Report) error {
	var g grypeReport
	if err := json.Unmarshal(text, &g); err != nil {
		return fmt.Errorf("read Grype's report: %w", err)
	}
	switch {
	case g.Descriptor.Name != "grype":
		return fmt.Errorf("a report of %q, which is not read; write Grype's or Trivy's", cut(g.Descriptor.Name))
	case g.Matches == nil:
		return errors.New("the report of Grype has no list of matches")
	case g.Source.Type != "image":
		return fmt.Errorf("the report of Grype is about a %q, not about an image", cut(g.Source.Type))
	}
	if err := older(&r.Finished, g.Descriptor.Timestamp); err != nil {
		return fmt.Errorf("descriptor.timestamp: %w", err)
	}
	exploited, err := g.Descriptor.DB.read(r)
	if err != nil {
		return err
	}
	for _, m := range append(*g.Matches, g.IgnoredMatches...) {
		v := m.translate()
		v.Unsaid.Exploited = !v.KnownExploited && !exploited
		r.Vulnerabilities = append(r.Vulnerabilities, v)
	}
	return nil
}

// read notes how old the database was, and tells whether it says what is
// exploited, which it does since schema version 6.
func (d grypeDatabase) read(r *Report) (exploited bool, err error) {
	broken, built := d.Error, d.Built
	if s := d.Status; s != nil {
		if s.Valid != nil && !*s.Valid {
			return false, errors.New("the vulnerability database of Grype was not valid")
		}
		broken, built = s.Error, s.Built
		major, _, _ := strings.Cut(strings.TrimPrefix(s.SchemaVersion, "v"), ".")
		version, err := strconv.Atoi(major)
		exploited = err == nil && version >= 6
	}
	if broken != nil && broken != "" {
		return false, errors.New("the scan of Grype had trouble with its vulnerability database")
	}
	if err := older(&r.Database, built); err != nil {
		return false, fmt.Errorf("descriptor.db: built: %w", err)
	}
	return exploited, nil
}

func (m grypeMatch) translate() Vulnerability {
	found := m.Vulnerability
	v := Vulnerability{ID: found.ID, FixState: "unknown", KnownExploited: len(found.KnownExploited) > 0, URL: found.DataSource}
	v.setPackage(m.Artifact.Name, m.Artifact.Version, m.Artifact.PURL)
	v.setSeverity(found.Severity)
	for _, related := range m.Related {
		if related.ID != v.ID {
			v.Aliases = append(v.Aliases, related.ID)
		}
	}
	for _, score := range found.EPSS {
		v.EPSS = max(v.EPSS, score.EPSS)
	}
	switch found.Fix.State {
	case "fixed":
		v.FixState, v.FixedIn = "fixed", found.Fix.Versions
		for _, a := range found.Fix.Available {
			if at := day(a.Date); !at.IsZero() && (v.FixedAt.IsZero() || at.Before(v.FixedAt)) {
				v.FixedAt = at
			}
		}
	case "not-fixed", "wont-fix":
		v.FixState = found.Fix.State
	}
	return v
}
