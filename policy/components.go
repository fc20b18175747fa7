package policy

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/anchore/packageurl-go"
)

// Components says which components an image must not contain, and which each
// of its platforms has to.
type Components struct {
	Deny    []Component `yaml:"deny" json:"deny,omitempty"`
	Require []Component `yaml:"require" json:"require,omitempty"`
}

// Component names packages by a package URL (package-url specification),
// alone or with more about them.
type Component struct {
	PURL         PackageURL `yaml:"purl" json:"purl"`
	Versions     string     `yaml:"versions" json:"versions,omitempty"` // ">= 2.0, < 2.17.1 || = 3.0"; every version when empty
	Reason       string     `yaml:"reason" json:"reason,omitempty"`
	Repositories []string   `yaml:"repositories" json:"repositories,omitempty"` // globs as in match; every repository when empty
}

// UnmarshalYAML reads a package URL, or a mapping.
func (c *Component) UnmarshalYAML(decode func(any) error) error {
	if err := decode(&c.PURL); err == nil {
		return nil
	}
	type plain Component
	return decode((*plain)(c))
}

// PackageURL is a package URL (package-url specification) that may have globs
// in namespace and name. What it leaves out, version and qualifiers, is any.
type PackageURL string

// UnmarshalYAML reads the text. Without quotes, in a sequence in brackets, the
// decoder takes it for a mapping of pkg.
func (u *PackageURL) UnmarshalYAML(decode func(any) error) error {
	var text string
	err := decode(&text)
	if err == nil {
		*u = PackageURL(text)
		return nil
	}
	var unquoted struct {
		Rest string `yaml:"pkg"`
	}
	if decode(&unquoted) != nil || unquoted.Rest == "" {
		return err
	}
	*u = PackageURL("pkg:" + unquoted.Rest)
	return nil
}

// maxPURL bounds a package URL, in bytes.
const maxPURL = 1000

// component is a Component made ready.
type component struct {
	Component

	named    identity // its path is a glob
	version  string   // exactly this one; any when empty
	versions versionRange
}

// identity is what tells packages apart, but for their versions, in the form
// that is compared.
type identity struct {
	packageType string
	path        string // namespace and name
	// partial: the namespace is not known, although the type has one, or the
	// qualifiers are not.
	partial    bool
	qualifiers map[string]string
}

// compileComponent makes a Component ready.
func compileComponent(c Component) (component, error) {
	u, err := parsePattern(string(c.PURL))
	if err != nil {
		return component{}, err
	}
	out := component{Component: c, named: identify(u), version: u.Version}
	switch {
	case c.Versions == "" && u.Version == "":
	case c.Versions != "" && u.Version != "":
		return component{}, errors.New("a version in purl, and versions; keep one of them")
	case c.Versions != "":
		out.versions, err = parseVersionRange(u.Type, c.Versions)
	case versionOrders()[u.Type] != nil:
		_, err = compareVersions(u.Type, u.Version, u.Version)
	}
	return out, err
}

// parsePattern reads a package URL that may have globs.
func parsePattern(text string) (packageurl.PackageURL, error) {
	const example = "write for example pkg:maven/log4j/log4j"
	if len(text) > maxPURL {
		return packageurl.PackageURL{}, fmt.Errorf("%d bytes; write at most %d", len(text), maxPURL)
	}
	if !regexp.MustCompile(`^pkg:[A-Za-z][A-Za-z0-9.-]*/[^/]`).MatchString(text) {
		return packageurl.PackageURL{}, fmt.Errorf("%q is no package URL; %s", clean(text), example)
	}
	u, err := packageurl.FromString(text)
	if err != nil {
		return u, fmt.Errorf("%q is no package URL: %w; %s", clean(text), err, example)
	}
	switch id := identify(u); {
	case !slices.Contains(packageTypes(), u.Type):
		return u, fmt.Errorf("%q is no package URL type; write one of %s", u.Type, strings.Join(packageTypes(), ", "))
	case u.Subpath != "":
		return u, errors.New("a subpath, which installed packages do not have; leave out what follows the #")
	case !ValidGlob(id.path) || strings.HasPrefix(id.path, "!"):
		return u, fmt.Errorf("%q is no glob", id.path)
	case id.partial && u.Name != "**":
		return u, fmt.Errorf("packages of type %s have a namespace; write pkg:%s/*/%s for any", u.Type, u.Type, u.Name)
	}
	return u, nil
}

// identify makes a package URL comparable.
func identify(u packageurl.PackageURL) identity {
	return identity{
		packageType: u.Type, path: fold(u.Type, strings.TrimPrefix(u.Namespace+"/"+u.Name, "/")),
		partial: u.Namespace == "" && namespaced(u.Type), qualifiers: u.Qualifiers.Map(),
	}
}

// identity is what is known of an installed package.
func (p Package) identity() identity {
	if u, err := packageurl.FromString(p.PURL); err == nil {
		return identify(u)
	}
	return identity{packageType: p.Type, path: fold(p.Type, p.Name), partial: true}
}

// String names the package for people.
func (p Package) String() string {
	if p.PURL != "" && len(p.PURL) <= maxPURL {
		without, _, _ := strings.Cut(p.PURL, "?")
		return without
	}
	return strings.TrimSpace(p.Type + " " + p.Name + " " + p.Version)
}

// namespaced says whether packages of a type always have a namespace
// (package-url specification, the types' definitions).
func namespaced(packageType string) bool {
	return slices.Contains([]string{"alpm", "apk", "composer", "deb", "github", "maven", "rpm", "swift"}, packageType)
}

// fold gives a name the one form of all that its ecosystem takes for the same.
func fold(packageType, name string) string {
	switch packageType {
	case "pypi": // PEP 503
		between := func(r rune) bool { return strings.ContainsRune("-_.", r) }
		return strings.ToLower(strings.Join(strings.FieldsFunc(name, between), "-"))
	case "alpm", "apk", "bitnami", "cargo", "composer", "deb", "github", "golang", "hex", "luarocks", "nuget", "otp", "pub", "swift", "wordpress-plugin":
		return strings.ToLower(name)
	}
	return name
}

// foldAll folds globs of names. Vulnerabilities name packages of Maven without the
// group, which is left out here too: what is refused is more then, and not less.
func foldAll(packageType string, globs []string) Globs {
	folded := make(Globs, 0, len(globs))
	for _, glob := range globs {
		if packageType == "maven" && !strings.HasPrefix(glob, "!") {
			glob = glob[strings.LastIndexByte(glob, ':')+1:]
		}
		folded = append(folded, fold(packageType, glob))
	}
	return folded
}

// names are those by which policies name a package, folded: its own, and of
// Maven's the one with the group in front, as org.example:library.
func (p Package) names() []string {
	names := []string{fold(p.Type, p.Name)}
	if p.Type != "maven" {
		return names
	}
	if u, err := packageurl.FromString(p.PURL); err == nil && u.Namespace != "" {
		names = append(names, u.Namespace+":"+u.Name)
	}
	return names
}

// isNamed says whether a policy means a package by a type and a name.
func (p Package) isNamed(packageType, name string) bool {
	if p.Type != packageType {
		return false
	}
	folded := fold(packageType, name)
	return folded == fold(p.Type, p.Name) || p.Type == "maven" && slices.Contains(p.names(), folded)
}

// names says whether a package is one of those that are meant. It is not
// certain when too little is known of it to tell.
func (c component) names(id identity) (named, certain bool) {
	if id.packageType != c.named.packageType {
		return false, true
	}
	certain = !id.partial
	if !Globs([]string{c.named.path}).Match(id.path) {
		if certain || !Globs([]string{path.Base(c.named.path)}).Match(path.Base(id.path)) {
			return false, true
		}
	}
	for name, value := range c.named.qualifiers {
		got, known := id.qualifiers[name]
		if got != value && (known || certain) {
			return false, true
		}
	}
	return true, certain
}

// includes says whether a version is one of those that are meant; an error,
// that it cannot be compared.
func (c component) includes(version string) (bool, error) {
	if c.version == "" {
		return c.versions.contains(c.named.packageType, version)
	}
	if versionOrders()[c.named.packageType] == nil || version == c.version {
		return version == c.version, nil
	}
	order, err := compareVersions(c.named.packageType, version, c.version)
	return order == 0 && err == nil, err
}

// applies says whether the entry is about a repository.
func (c component) applies(repository string) bool {
	return len(c.Repositories) == 0 || Globs(c.Repositories).Match(repository)
}

// String is what is meant, as the policy writes it.
func (c component) String() string {
	if c.Versions != "" {
		return string(c.PURL) + " " + c.Versions
	}
	return string(c.PURL)
}

// compileComponents checks spec.components.
func (b *builder) compileComponents() {
	s := b.c.policy.Spec.Components
	if s == nil {
		return
	}
	if len(s.Deny)+len(s.Require) == 0 {
		b.errorf("$.spec.components", "asks for nothing; write deny or require with a list of package URLs")
	}
	b.c.denied = b.compileComponentList("$.spec.components.deny", s.Deny)
	b.c.required = b.compileComponentList("$.spec.components.require", s.Require)
}

func (b *builder) compileComponentList(at string, list []Component) []component {
	compiled := make([]component, 0, len(list))
	for i, c := range list {
		here := fmt.Sprintf("%s[%d]", at, i)
		one, err := compileComponent(c)
		if err != nil {
			b.errorf(here, "%v", err)
			continue
		}
		b.checkGlobs(here+".repositories", c.Repositories)
		compiled = append(compiled, one)
	}
	return compiled
}
