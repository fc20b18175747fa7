// Package sampledb builds a small vulnerability database in the scanner's own
// format from a list of real advisories. It is for demonstrations and tests,
// and marked as such: policies do not accept it unless they say so.
package sampledb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/spf13/afero"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// Write installs the sample in a database folder, in place of what is there.
func Write(dir string) error {
	target := filepath.Dir(scan.DatabaseFile(dir))
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("remove the old database: %w", err)
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return fmt.Errorf("make the database folder: %w", err)
	}
	if err := fill(target); err != nil {
		return fmt.Errorf("write the sample database: %w", err)
	}
	if err := v6.Hydrater()(target); err != nil {
		return fmt.Errorf("index the sample database: %w", err)
	}
	if err := os.WriteFile(scan.SampleMark(dir), []byte("A sample for demonstrations; not for judging images.\n"), 0o600); err != nil {
		return fmt.Errorf("mark the sample database: %w", err)
	}
	if _, err := v6.WriteImportMetadata(afero.NewOsFs(), target, "gatekeeper sample"); err != nil {
		return fmt.Errorf("write the sample database: %w", err)
	}
	return nil
}

func fill(dir string) (err error) {
	w, err := v6.NewWriter(v6.Config{DBDirPath: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, a := range advisories {
		if err := add(w, a); err != nil {
			return fmt.Errorf("%s: %w", a.id, err)
		}
	}
	return w.SetDBMetadata()
}

func add(w v6.ReadWriter, a advisory) error {
	published, err := time.Parse(time.DateOnly, a.date)
	if err != nil {
		return err
	}
	captured := captured() // the same for all advisories of a provider
	v := &v6.VulnerabilityHandle{
		Name: a.id, Status: v6.VulnerabilityActive, PublishedDate: &published,
		ProviderID: a.provider,
		Provider:   &v6.Provider{ID: a.provider, Version: "1", Processor: "gatekeeper-sample", DateCaptured: &captured},
		BlobValue: &v6.VulnerabilityBlob{
			ID:         a.id,
			References: []v6.Reference{{URL: reference(a)}},
			Severities: []v6.Severity{{Scheme: v6.SeveritySchemeCHMLN, Value: a.severity, Rank: 1}},
		},
	}
	if a.cve != "" {
		v.BlobValue.Aliases = []string{a.cve}
	}
	if err := w.AddVulnerabilities(v); err != nil {
		return err
	}
	affected := &v6.AffectedPackageHandle{
		Vulnerability:   v,
		OperatingSystem: operatingSystem(a),
		Package:         &v6.Package{Ecosystem: a.ecosystem, Name: a.pkg},
		BlobValue:       &v6.PackageBlob{CVEs: cves(a), Ranges: []v6.Range{affectedRange(a, published)}},
	}
	if err := w.AddAffectedPackages(affected); err != nil {
		return err
	}
	if !a.exploited {
		return nil
	}
	return w.AddKnownExploitedVulnerabilities(&v6.KnownExploitedVulnerabilityHandle{
		Cve: cves(a)[0], BlobValue: &v6.KnownExploitedVulnerabilityBlob{Cve: cves(a)[0]},
	})
}

// captured is when the advisories were collected.
func captured() time.Time { return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC) }

func cves(a advisory) []string {
	if a.cve != "" {
		return []string{a.cve}
	}
	return []string{a.id}
}

func reference(a advisory) string {
	switch a.provider {
	case "debian":
		return "https://security-tracker.debian.org/tracker/" + a.id
	case "alpine":
		return "https://security.alpinelinux.org/vuln/" + a.id
	}
	return "https://github.com/advisories/" + a.id
}

func operatingSystem(a advisory) *v6.OperatingSystem {
	if a.release == "" {
		return nil
	}
	major, minor, _ := strings.Cut(a.release, ".")
	return &v6.OperatingSystem{Name: a.provider, MajorVersion: major, MinorVersion: minor}
}

// affectedRange has a version format and a constraint that Grype understands.
func affectedRange(a advisory, published time.Time) v6.Range {
	formats := map[string]string{deb: "dpkg", apk: "apk", "npm": "semver", "go-module": "go", "python": "python", "java-archive": "maven"}
	if a.fixed == "" {
		return v6.Range{Version: v6.Version{Type: formats[a.ecosystem]}, Fix: &v6.Fix{State: v6.WontFixStatus}}
	}
	return v6.Range{
		Version: v6.Version{Type: formats[a.ecosystem], Constraint: "< " + a.fixed},
		Fix: &v6.Fix{
			Version: a.fixed, State: v6.FixedStatus,
			Detail: &v6.FixDetail{Available: &v6.FixAvailability{Date: &published, Kind: "advisory"}},
		},
	}
}
