package worker

import (
	"slices"
	"strings"

	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/linux"
	"github.com/anchore/syft/syft/sbom"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// catalogued is what is in an image.
type catalogued struct {
	packages []pkg.Package
	context  pkg.Context
	sbom     *sbom.SBOM
	from     policy.Catalogue
}

// catalogue lists an image's packages the way Grype's own command does.
func catalogue(layout string) (catalogued, error) {
	options := syft.DefaultCreateSBOMConfig().WithParallelism(2)
	options.Packages.Golang = options.Packages.Golang.WithCaptureSymbols(cataloging.SymbolScopeAll)
	options.Compliance.MissingVersion = cataloging.ComplianceActionDrop
	packages, context, found, err := pkg.Provide(layout, pkg.ProviderConfig{
		SyftProviderConfig: pkg.SyftProviderConfig{SBOMOptions: options, Sources: []string{"oci-dir"}},
	})
	if err != nil {
		return catalogued{}, err
	}
	return catalogued{packages, context, found, policy.Catalogue{From: policy.CatalogueLayers}}, nil
}

// scan translates what was found into evidence.
func (c catalogued) scan() *policy.Scan {
	s := &policy.Scan{
		Scanner:         "syft " + syft.DefaultCreateSBOMConfig().ToolVersion, // ours, not that of an SBOM's maker
		Catalogue:       c.from,
		OS:              operatingSystem(c.sbom.Artifacts.LinuxDistribution),
		Packages:        []policy.Package{},
		Vulnerabilities: []policy.Vulnerability{},
	}
	for _, p := range c.packages {
		s.Packages = append(s.Packages, policy.Package{Type: purlType(p), Name: p.Name, Version: p.Version, PURL: p.PURL})
	}
	slices.SortFunc(s.Packages, func(a, b policy.Package) int {
		return strings.Compare(a.Type+" "+a.Name+" "+a.Version+" "+a.PURL, b.Type+" "+b.Name+" "+b.Version+" "+b.PURL)
	})
	s.Packages = slices.Compact(s.Packages)
	s.Runtimes = scan.Runtimes(s.Packages)
	return s
}

// purlType is the package's type as package URLs name it.
func purlType(p pkg.Package) string {
	if u, err := packageurl.FromString(p.PURL); err == nil {
		return u.Type
	}
	return string(p.Type)
}

func operatingSystem(r *linux.Release) *policy.OperatingSystem {
	if r == nil || r.ID == "" {
		return nil
	}
	return &policy.OperatingSystem{
		ID: r.ID, Version: r.VersionID, Name: r.PrettyName,
		EndOfLife: scan.EndOfLife(r.ID, r.VersionID), Rolling: scan.Rolling(r.ID),
	}
}
