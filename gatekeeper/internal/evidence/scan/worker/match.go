package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anchore/grype/grype"
	v6 "github.com/anchore/grype/grype/db/v6"
	grypematch "github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/matcher"
	"github.com/anchore/grype/grype/matcher/golang"
	"github.com/anchore/grype/grype/matcher/stock"
	"github.com/anchore/grype/grype/version"
	"github.com/anchore/grype/grype/vulnerability"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// match looks the packages up in the database and adds to the scan what is
// known about them. An error means that nobody knows.
func match(ctx context.Context, dir string, found catalogued, s *policy.Scan) (err error) {
	database, err := describe(dir)
	if err != nil {
		return err
	}
	if found.context.DistroDetectionFailed {
		return fmt.Errorf("the distribution %q is unknown to the scanner, so that its packages cannot be matched", s.OS.ID)
	}
	reader, err := v6.NewReader(v6.Config{DBDirPath: v6Dir(dir)})
	if err != nil {
		return fmt.Errorf("open the vulnerability database: %w", err)
	}
	provider := v6.NewVulnerabilityProvider(reader)
	defer func() { err = errors.Join(err, provider.Close()) }()
	m := grype.VulnerabilityMatcher{VulnerabilityProvider: provider, Matchers: matchers(), IncludeMatcherSuppressions: true}
	matches, ignored, err := m.FindMatchesContext(ctx, found.packages, found.context)
	if err != nil {
		return fmt.Errorf("look up vulnerabilities: %w", err)
	}
	for _, hit := range matches.Sorted() {
		s.Vulnerabilities = append(s.Vulnerabilities, translate(hit))
	}
	for _, hit := range ignored {
		v := translate(hit.Match)
		v.Suppressed = suppression(hit.AppliedIgnoreRules)
		s.Vulnerabilities = append(s.Vulnerabilities, v)
	}
	sortVulnerabilities(s)
	noteFixes(s)
	if err := notePublished(reader, s); err != nil {
		return err
	}
	s.Database = database // last: with it, what was found is all there is
	return nil
}

// notePublished adds when each vulnerability was published, by whoever did so
// first of those who call it by this name.
func notePublished(reader v6.VulnerabilityStoreReader, s *policy.Scan) error {
	known := map[string]*time.Time{}
	for i, v := range s.Vulnerabilities {
		if _, asked := known[v.ID]; !asked {
			records, err := reader.GetVulnerabilities(&v6.VulnerabilitySpecifier{Name: v.ID}, nil)
			if err != nil {
				return fmt.Errorf("look up when %s was published: %w", v.ID, err)
			}
			known[v.ID] = firstPublished(records)
		}
		s.Vulnerabilities[i].PublishedAt = known[v.ID]
	}
	return nil
}

func firstPublished(records []v6.VulnerabilityHandle) *time.Time {
	var first *time.Time
	for _, r := range records {
		if at := r.PublishedDate; at != nil && !at.IsZero() && (first == nil || at.Before(*first)) {
			utc := at.UTC()
			first = &utc
		}
	}
	return first
}

// matchers are those of Grype's own command; none of them asks a network.
func matchers() []grypematch.Matcher {
	return matcher.NewDefaultMatchers(matcher.Config{
		Golang: golang.MatcherConfig{AlwaysUseCPEForStdlib: true},
		Stock:  stock.MatcherConfig{UseCPEs: true},
	})
}

func v6Dir(dir string) string {
	return strings.TrimSuffix(scan.DatabaseFile(dir), "/"+v6.VulnerabilityDBFileName)
}

// describe says which database is installed.
func describe(dir string) (*policy.Database, error) {
	checksum := scan.DatabaseChecksum(dir)
	d, err := v6.ReadDescription(scan.DatabaseFile(dir))
	switch {
	case errors.Is(err, v6.ErrDBDoesNotExist) || err == nil && (d == nil || checksum == ""):
		return nil, errors.New("there is no vulnerability database; run gatekeeper db update or gatekeeper db import")
	case err != nil:
		return nil, fmt.Errorf("the vulnerability database cannot be read; run gatekeeper db update: %w", err)
	}
	_, err = os.Stat(scan.SampleMark(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &policy.Database{Built: d.Built.UTC(), Checksum: checksum, Sample: err == nil}, nil
}

func translate(hit grypematch.Match) policy.Vulnerability {
	v := policy.Vulnerability{
		ID: hit.Vulnerability.ID, Severity: policy.SeverityUnknown,
		Package: hit.Package.Name, Version: hit.Package.Version, Type: purlType(hit.Package),
		FixState: fixState(hit.Vulnerability.Fix.State),
	}
	for _, related := range hit.Vulnerability.RelatedVulnerabilities {
		if related.ID != v.ID {
			v.Aliases = append(v.Aliases, related.ID)
		}
	}
	if v.FixState == "fixed" {
		v.FixedIn = hit.Vulnerability.Fix.Versions
		v.FixedAt = firstFix(hit.Vulnerability.Fix.Available)
	}
	if meta := hit.Vulnerability.Metadata; meta != nil {
		if severity := strings.ToLower(meta.Severity); severity != "" {
			v.Severity = policy.Severity(severity)
		}
		v.URL = meta.DataSource
		v.KnownExploited = len(meta.KnownExploited) > 0
		for _, score := range meta.EPSS {
			v.EPSS = max(v.EPSS, score.EPSS)
		}
	}
	return v
}

// suppression is why the scanner leaves a match out of its own reports.
func suppression(rules []grypematch.IgnoreRule) string {
	for _, r := range rules {
		if r.Reason != "" {
			return r.Reason
		}
	}
	return "a rule of the scanner says that the package is not affected"
}

func fixState(s vulnerability.FixState) string {
	switch s {
	case vulnerability.FixStateFixed, vulnerability.FixStateNotFixed, vulnerability.FixStateWontFix:
		return string(s)
	case vulnerability.FixStateUnknown:
		return "unknown"
	}
	return "unknown"
}

// firstFix is when the first fix became available.
func firstFix(available []vulnerability.FixAvailable) *time.Time {
	var first *time.Time
	for _, a := range available {
		if !a.Date.IsZero() && (first == nil || a.Date.Before(*first)) {
			first = &a.Date
		}
	}
	return first
}

func sortVulnerabilities(s *policy.Scan) {
	key := func(v policy.Vulnerability) string { return v.ID + " " + v.Type + " " + v.Package + " " + v.Version }
	// Stable, so that of two equal ones the one that counts stays.
	slices.SortStableFunc(s.Vulnerabilities, func(a, b policy.Vulnerability) int { return strings.Compare(key(a), key(b)) })
	s.Vulnerabilities = slices.CompactFunc(s.Vulnerabilities, func(a, b policy.Vulnerability) bool { return key(a) == key(b) })
}

// noteFixes adds to each package the newest version that fixes something.
func noteFixes(s *policy.Scan) {
	newest := map[[3]string]string{}
	for _, v := range s.Vulnerabilities {
		at := [3]string{v.Type, v.Package, v.Version}
		for _, fix := range v.FixedIn {
			if newest[at] == "" || newer(v.Type, fix, newest[at]) {
				newest[at] = fix
			}
		}
	}
	for i, p := range s.Packages {
		s.Packages[i].FixedIn = newest[[3]string{p.Type, p.Name, p.Version}]
	}
}

// newer compares two versions of an ecosystem; false when they cannot be.
func newer(purlType, a, b string) bool {
	format := version.ParseFormat(purlType)
	order, err := version.New(a, format).Compare(version.New(b, format))
	return err == nil && order > 0
}
