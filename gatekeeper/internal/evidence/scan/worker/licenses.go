package worker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/syft/syft/artifact"
	syftpkg "github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"
)

// The bounds of what is recorded of a package's licences. What is cut is no
// licence expression any more, so that nobody takes it for all there is.
const (
	maxLicenses = 100
	maxLicense  = 1000 // bytes
)

// licensesOf lists what was found about a package's licences, as SPDX
// expressions where that is what they are. The scanner's own package has only
// texts, so that the catalogue's is asked.
func licensesOf(p pkg.Package, found *sbom.SBOM) []string {
	all := slices.Clone(p.Licenses)
	if source := found.Artifacts.Packages.Package(artifact.ID(p.ID)); source != nil {
		all = nil
		for _, l := range source.Licenses.ToSlice() {
			all = append(all, licenseText(l))
		}
	}
	for i := range all {
		all[i] = strings.ToValidUTF8(strings.TrimSpace(all[i]), "?")
		if len(all[i]) > maxLicense {
			all[i] = strings.ToValidUTF8(all[i][:maxLicense], "") + "…"
		}
	}
	all = slices.DeleteFunc(all, func(text string) bool { return text == "" })
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > maxLicenses {
		all = append(all[:maxLicenses], fmt.Sprintf("… and %d more", len(all)-maxLicenses))
	}
	return all
}

// licenseText is the best that is known of a licence. Of a whole text, nobody
// says here which licence it is.
func licenseText(l syftpkg.License) string {
	switch {
	case l.SPDXExpression != "":
		return l.SPDXExpression
	case l.Value != "":
		return l.Value
	case l.Contents != "":
		return "a licence text"
	}
	return ""
}
