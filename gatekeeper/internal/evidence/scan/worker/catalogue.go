package worker

import (
	"cmp"
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
	packages  []pkg.Package
	unmatched []pkg.Package // that cannot be looked up, most for lack of a version
	context   pkg.Context
	sbom      *sbom.SBOM
	from      policy.Catalogue
}

// catalogue lists an image's packages the way Grype's own command does.
func catalogue(layout string) (catalogued, error) {
	options := syft.DefaultCreateSBOMConfig().WithParallelism(2)
	options.Packages.Golang = options.Packages.Golang.WithCaptureSymbols(cataloging.SymbolScopeAll)
	options.Compliance.MissingVersion = cataloging.ComplianceActionKeep
	packages, context, found, err := pkg.Provide(layout, pkg.ProviderConfig{
		SyftProviderConfig: pkg.SyftProviderConfig{SBOMOptions: options, Sources: []string{"oci-dir"}},
	})
	if err != nil {
		return catalogued{}, err
	}
	c := catalogued{packages: packages, context: context, sbom: found, from: policy.Catalogue{From: policy.CatalogueLayers}}
	c.setApart(func(p pkg.Package) bool { return p.Version == "" })
	return c, nil
}

// setApart keeps packages that cannot be looked up from being so. They are
// listed all the same: a policy may deny them whatever their version.
func (c *catalogued) setApart(useless func(pkg.Package) bool) {
	c.packages = slices.DeleteFunc(c.packages, func(p pkg.Package) bool {
		if !useless(p) {
			return false
		}
		c.unmatched = append(c.unmatched, p)
		return true
	})
}

// scan translates what was found into evidence.
func (c catalogued) scan() *policy.Scan {
	s := &policy.Scan{
		Scanner:         "syft " + syft.DefaultCreateSBOMConfig().ToolVersion, // ours, not that of an SBOM's maker
		Catalogue:       c.from,
		OS:              operatingSystem(c.sbom.Artifacts.LinuxDistribution),
		Packages:        []policy.Package{},
		LicensesRead:    true,
		Vulnerabilities: []policy.Vulnerability{},
	}
	for _, p := range slices.Concat(c.packages, c.unmatched) {
		s.Packages = append(s.Packages, policy.Package{
			Type: purlType(p), Name: p.Name, Version: p.Version, PURL: p.PURL, Licenses: licensesOf(p, c.sbom),
		})
	}
	slices.SortFunc(s.Packages, comparePackages)
	s.Packages = slices.CompactFunc(s.Packages, func(a, b policy.Package) bool { return comparePackages(a, b) == 0 })
	s.Runtimes = scan.Runtimes(s.Packages)
	return s
}

func comparePackages(a, b policy.Package) int {
	return cmp.Or(
		strings.Compare(a.Type+" "+a.Name+" "+a.Version+" "+a.PURL, b.Type+" "+b.Name+" "+b.Version+" "+b.PURL),
		slices.Compare(a.Licenses, b.Licenses),
	)
}

// purlType is the package's type as package URLs name it.
func purlType(p pkg.Package) string {
	if u, err := packageurl.FromString(p.PURL); err == nil {
		return u.Type
	}
	if t := p.Type.PackageURLType(); t != "" {
		return t
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
