package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/packageurl-go"
	"github.com/anchore/syft/syft/format"
	"github.com/anchore/syft/syft/format/cyclonedxjson"
	"github.com/anchore/syft/syft/format/spdxjson"
	"github.com/anchore/syft/syft/linux"
	syftpkg "github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// readSBOM takes the packages out of an SBOM. It fails closed: whatever would
// have vulnerabilities overlooked in silence is an error. The parent has seen
// to the document's size.
func readSBOM(file string) (catalogued, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the parent wrote it
	if err != nil {
		return catalogued{}, err
	}
	if err := strictjson.Check(text); err != nil {
		return catalogued{}, fmt.Errorf("read the SBOM: %w", err)
	}
	id, version, err := identify(text)
	if err != nil {
		return catalogued{}, err
	}
	found, err := decode(text)
	if err != nil {
		return catalogued{}, fmt.Errorf("decode the SBOM (%s %s): %w", id, version, err)
	}
	found.from = policy.Catalogue{From: policy.CatalogueSBOM, Format: string(id) + " " + version}
	if err := checkComplete(text, found.sbom); err != nil {
		return catalogued{}, err
	}
	if err := checkMatchable(&found); err != nil {
		return catalogued{}, err
	}
	return found, nil
}

// identify says which format the library will take the document for, and
// refuses those that are not asked for.
func identify(text []byte) (sbom.FormatID, string, error) {
	id, version := format.Identify(bytes.NewReader(text))
	known := map[sbom.FormatID][]string{cyclonedxjson.ID: {"1.4", "1.5", "1.6"}, spdxjson.ID: {"2.2", "2.3"}}
	if !slices.Contains(known[id], version) {
		return "", "", errors.New("the SBOM is none that is read: CycloneDX JSON 1.4 to 1.6, SPDX JSON 2.2 and 2.3")
	}
	return id, version, nil
}

// decode reads the document the way Grype's own command does.
func decode(text []byte) (catalogued, error) {
	packages, context, found, err := pkg.ProvideFromReader(bytes.NewReader(text), pkg.ProviderConfig{})
	if err != nil {
		return catalogued{}, err
	}
	return catalogued{packages: packages, context: context, sbom: found}, nil
}

// listed is what is read of a document to see whether the library read all.
type listed struct {
	Components []component `json:"components"` // CycloneDX
	Packages   []struct {  // SPDX
		ID           string `json:"SPDXID"`
		ExternalRefs []struct {
			Type    string `json:"referenceType"`
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
	Relationships []struct {
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	} `json:"relationships"`
}

type component struct {
	PURL       string      `json:"purl"`
	Components []component `json:"components"`
}

// checkComplete makes sure that every package URL of the document is among
// the packages: the library drops, in silence, a package with the identifier
// of another.
func checkComplete(text []byte, found *sbom.SBOM) error {
	var document listed
	if err := json.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("read the SBOM: %w", err)
	}
	have := map[string]bool{}
	for p := range found.Artifacts.Packages.Enumerate() {
		if u, err := packageurl.FromString(p.PURL); err == nil {
			have[identity(u)] = true
		}
	}
	for _, purl := range document.packageURLs() {
		u, err := packageurl.FromString(purl)
		switch {
		case err != nil:
			return fmt.Errorf("the SBOM has the package URL %q: %w", purl, err)
		case u.Type == "oci" || u.Type == "docker": // the image itself
		case !have[identity(u)]:
			return fmt.Errorf("the SBOM lists %s, which the scanner does not read from it; is its identifier there twice?", purl)
		}
	}
	return nil
}

// identity is the part of a package URL that vulnerabilities are known by.
func identity(u packageurl.PackageURL) string {
	return u.Type + "/" + u.Namespace + "/" + u.Name + "@" + u.Version
}

func (d listed) packageURLs() []string {
	all := purls(d.Components)
	sources := map[string]bool{} // what packages were built from is not installed
	for _, r := range d.Relationships {
		if r.Type == "GENERATED_FROM" {
			sources[r.To] = true
		}
	}
	for _, p := range d.Packages {
		if sources[p.ID] {
			continue
		}
		for _, ref := range p.ExternalRefs {
			if ref.Type == "purl" {
				all = append(all, ref.Locator)
			}
		}
	}
	return all
}

func purls(components []component) []string {
	var all []string
	for _, c := range components {
		if c.PURL != "" {
			all = append(all, c.PURL)
		}
		all = append(all, purls(c.Components)...)
	}
	return all
}

// checkMatchable refuses a list in which the scanner would find nothing, or
// less than there is, without saying so. It keeps what can be looked up, as
// the cataloguing of layers does.
func checkMatchable(found *catalogued) error {
	found.packages = slices.DeleteFunc(found.packages, func(p pkg.Package) bool {
		return p.Type == syftpkg.UnknownPkg && len(p.CPEs) == 0 && p.PURL == ""
	})
	found.setApart(func(p pkg.Package) bool {
		return p.Type == syftpkg.UnknownPkg && len(p.CPEs) == 0 || p.Version == "" && !isSystemPackage(p)
	})
	if len(found.packages) == 0 {
		return errors.New("the SBOM has no package with a package URL and a version")
	}
	for _, p := range found.packages {
		if !isSystemPackage(p) {
			continue
		}
		if err := checkDistribution(p, found.context.Distro); err != nil {
			return fmt.Errorf("the SBOM has the package %s %s, %w, so that it cannot be matched", p.Name, p.Version, err)
		}
		if p.Version == "" {
			return fmt.Errorf("the SBOM has the package %s without a version, so that it cannot be matched", p.Name)
		}
	}
	return nameSystem(found)
}

// nameSystem takes the operating system from the packages where the document
// does not name it apart.
func nameSystem(found *catalogued) error {
	system := &found.sbom.Artifacts.LinuxDistribution
	switch d := found.context.Distro; {
	case *system != nil && (*system).ID == "":
		return errors.New("the SBOM has an operating system without a name")
	case *system == nil && d != nil:
		*system = &linux.Release{ID: d.ID(), VersionID: d.Version, PrettyName: d.String()}
	}
	return nil
}

// checkDistribution makes sure that a package is looked up in the advisories
// of a release that the scanner knows, and of the same one as all others.
func checkDistribution(p pkg.Package, of *distro.Distro) error {
	switch d := p.Distro; {
	case d == nil || of == nil:
		return errors.New("but no operating system, or several")
	case !slices.Contains(distro.All, d.Type):
		return fmt.Errorf("of the distribution %q, which the scanner does not know", d.Type)
	case d.Version == "" && d.Codename == "" && !scan.Rolling(d.ID()):
		return fmt.Errorf("of a release of %s that is not named", d.ID())
	case d.Type != of.Type || d.MajorVersion() != of.MajorVersion() && d.MajorVersion() != "" && of.MajorVersion() != "":
		return fmt.Errorf("of %s in an image of %s", d, of)
	}
	return nil
}

// isSystemPackage says whether a package's advisories are those of a
// distribution's release.
func isSystemPackage(p pkg.Package) bool {
	return slices.Contains([]syftpkg.Type{syftpkg.DebPkg, syftpkg.RpmPkg, syftpkg.ApkPkg, syftpkg.AlpmPkg, syftpkg.PortagePkg}, p.Type)
}
