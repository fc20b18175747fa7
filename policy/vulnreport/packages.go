package vulnreport

import (
	"strings"

	"github.com/anchore/packageurl-go"
)

// setPackage names the package as the embedded scanner does, so that rules and
// exceptions are about the same thing: the type is the package URL's, and a
// Maven artifact goes without its group.
func (v *Vulnerability) setPackage(name, version, purl string) {
	v.Package, v.Version = artifact(name), version
	u, err := packageurl.FromString(purl)
	if v.Unsaid.Type = err != nil || u.Type == ""; v.Unsaid.Type {
		return
	}
	v.Type = u.Type
}

// artifact leaves out a Maven group, which alone has a colon in a name.
func artifact(name string) string {
	return name[strings.LastIndexByte(name, ':')+1:]
}
