package vex

import (
	"slices"
	"strings"

	"github.com/anchore/packageurl-go"
)

// Image is an image that a product may be.
type Image struct {
	Digests      []string // "sha256:" and hex: the subject's, and that of the platform
	Repository   string   // without the registry
	Tag          string
	Architecture string
}

// Package is an installed package, or what is known of one.
type Package struct {
	Type, Name, Version string // package URL type; empty when not known
}

// Is says whether a product is the image: something names its digest or its
// repository, and nothing another digest.
func (p Product) Is(image Image) bool {
	named := false
	for algorithm, content := range p.Hashes {
		if strings.EqualFold(algorithm, "sha-256") {
			if !slices.Contains(image.Digests, "sha256:"+strings.ToLower(content)) {
				return false
			}
			named = true
		}
	}
	for _, id := range p.Identifiers {
		is, another := image.identifiedBy(id)
		if another {
			return false
		}
		named = named || is
	}
	return named
}

// identifiedBy says whether an identifier is one of the image, or of another.
func (i Image) identifiedBy(id string) (is, another bool) {
	if !strings.HasPrefix(id, "pkg:") {
		at := strings.LastIndex(id, "sha256:")
		if at < 0 || at > 0 && id[at-1] != '@' {
			return false, false
		}
		is = slices.Contains(i.Digests, id[at:])
		return is, !is
	}
	u, err := packageurl.FromString(id)
	if err != nil || u.Type != "oci" && u.Type != "docker" {
		return false, true
	}
	q := u.Qualifiers.Map()
	if arch := q["arch"]; arch != "" && arch != i.Architecture {
		return false, true
	}
	if tag := q["tag"]; tag != "" && tag != i.Tag {
		return false, true
	}
	if strings.Contains(u.Version, ":") {
		is = slices.Contains(i.Digests, u.Version)
		return is, !is
	}
	is = u.Type == "oci" && u.Version == "" && i.inRepository(q["repository_url"], u.Name)
	return is, !is
}

// inRepository compares the path of a repository_url, which ends with the
// image's name or where that belongs. The host is left out: an image has
// another one in each registry that it passes.
func (i Image) inRepository(url, name string) bool {
	if _, rest, scheme := strings.Cut(url, "://"); scheme {
		url = rest
	}
	host, path, _ := strings.Cut(strings.Trim(url, "/"), "/")
	if url == "" || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return false
	}
	return path == i.Repository && last(path) == name || strings.TrimPrefix(path+"/"+name, "/") == i.Repository
}

func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Covers says whether a statement about the product is about a package in it. What
// is not known of the package fits nothing.
func (p Product) Covers(found Package) bool { return p.covers(found, false) }

// MayCover is Covers where what is not known of the package fits everything: for
// statements that something does harm.
func (p Product) MayCover(found Package) bool { return p.covers(found, true) }

func (p Product) covers(found Package, loosely bool) bool {
	return len(p.Packages) == 0 || slices.ContainsFunc(p.Packages, func(names []string) bool {
		return slices.ContainsFunc(names, func(purl string) bool { return found.isNamed(purl, loosely) })
	})
}

// isNamed says whether a package URL names the package: its type, its name
// and, where there is one, its version.
func (p Package) isNamed(purl string, loosely bool) bool {
	u, err := packageurl.FromString(purl)
	if err != nil {
		return false
	}
	name := u.Name
	switch u.Type { // whose namespace is part of the name, as Syft has it
	case "golang", "npm", "composer", "github", "swift":
		if u.Namespace != "" {
			name = u.Namespace + "/" + u.Name
		}
	}
	fits := func(known, named string) bool { return known == named && known != "" || known == "" && loosely }
	return fits(p.Type, u.Type) && fits(p.Name, name) && (u.Version == "" || fits(p.Version, u.Version))
}
