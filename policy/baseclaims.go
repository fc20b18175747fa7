package policy

import (
	"cmp"
	"slices"
	"strings"
)

// The labels and annotations that name what an image is built on.
const (
	// The OCI image-spec v1.1, annotations.md.
	claimName   = "org.opencontainers.image.base.name"
	claimDigest = "org.opencontainers.image.base.digest"
	// OpenShift's builds, and source-to-image, which they are made of.
	claimOpenShift = "io.openshift.build.image"
	claimS2I       = "io.openshift.s2i.build.image"
)

// maxClaim bounds what is looked at of a claim, in bytes: a host, a
// repository, a tag and a digest are no longer.
const maxClaim = 1024

// BaseClaim is what an image says about what it is built on.
type BaseClaim struct {
	Key   string // of the label or annotation
	Value string
	// Label says that it is a label and no annotation.
	Label      bool
	Repository string // without a host; empty when none is named
	Digest     string // empty when none is named
}

// BaseClaims lists what a platform of an image says about its base, and what
// its index says about those of all platforms, in an order of their own. Empty
// values, which some builders write where there is no base, say nothing.
func BaseClaims(image Image, p Platform) []BaseClaim {
	var claims []BaseClaim
	for i, from := range []map[string]string{p.Labels, p.Annotations, image.Annotations} {
		for _, key := range []string{claimName, claimDigest, claimOpenShift, claimS2I} {
			if value := from[key]; value != "" {
				claims = append(claims, newBaseClaim(key, value, i == 0))
			}
		}
	}
	slices.SortFunc(claims, func(a, b BaseClaim) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), boolFirst(a.Label, b.Label))
	})
	return slices.Compact(claims) // the index of a single image is the image
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// InheritableClaims are what a platform says about its base that images built on
// it may say, too: all of them inherit its labels, and some build tools copy
// annotations. They are listed by key.
func InheritableClaims(p Platform) map[string][]string {
	claims := map[string][]string{}
	for _, c := range BaseClaims(Image{}, p) {
		if !slices.Contains(claims[c.Key], c.Value) {
			claims[c.Key] = append(claims[c.Key], c.Value)
		}
	}
	if len(claims) == 0 {
		return nil
	}
	return claims
}

func newBaseClaim(key, value string, label bool) BaseClaim {
	c := BaseClaim{Key: key, Value: value, Label: label}
	if len(value) > maxClaim {
		c.Value = strings.ToValidUTF8(value[:maxClaim], "")
	}
	if key == claimDigest {
		c.Digest = c.Value
		return c
	}
	c.Repository, c.Digest = splitReference(c.Value)
	return c
}

// splitReference takes the host and the tag from a reference, as docker pull
// takes it.
func splitReference(reference string) (repository, digest string) {
	repository, digest, _ = strings.Cut(reference, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	if host, rest, ok := strings.Cut(repository, "/"); ok && (host == "" || strings.ContainsAny(host, ".:") || host == "localhost") {
		repository = rest
	}
	return repository, digest
}

// fits says whether a claim can be about a base.
func (c BaseClaim) fits(b Base) bool {
	if c.Digest != "" && c.Digest != b.Digest && c.Digest != b.Manifest {
		return false
	}
	return c.Repository == "" || c.Repository == b.Repository || c.Repository == b.Source
}

// inherited says whether the base says the same, about its own base.
func (c BaseClaim) inherited(b Base) bool { return slices.Contains(b.Claims[c.Key], c.Value) }
