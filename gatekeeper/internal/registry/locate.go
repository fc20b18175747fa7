package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Image is an image reference, taken apart.
type Image struct {
	Registry   string // the name in the configuration
	Repository string
	Tag        string // empty when the reference has only a digest
	Digest     string // empty when the reference has only a tag
}

// Locate takes an image reference as docker push does apart, and finds the
// registry of the configuration that it names.
func (r *Registries) Locate(image string) (Image, error) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return Image{}, fmt.Errorf("%q is no image reference: %w", image, err)
	}
	located := Image{Repository: reference.Path(ref)}
	if tagged, ok := ref.(reference.Tagged); ok {
		located.Tag = tagged.Tag()
	}
	if digested, ok := ref.(reference.Digested); ok {
		located.Digest = digested.Digest().String()
	}
	if located.Tag == "" && located.Digest == "" {
		located.Tag = "latest"
	}
	host := reference.Domain(ref)
	var known []string
	for name, c := range r.clients {
		if c.serves(host) {
			located.Registry = name
		}
		known = append(known, c.registry.RegistryStr())
	}
	if located.Registry == "" {
		slices.Sort(known)
		return Image{}, fmt.Errorf("the registry %s of %q is not in the configuration, which has %s", host, image, strings.Join(slices.Compact(known), ", "))
	}
	return located, nil
}

// serves says whether an image reference with this host means the registry.
// Docker Hub has several names.
func (c *client) serves(host string) bool {
	own := c.registry.RegistryStr()
	hub := []string{"docker.io", "index.docker.io", "registry-1.docker.io"}
	return own == host || slices.Contains(hub, own) && slices.Contains(hub, host)
}
