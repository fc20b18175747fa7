package registry

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// Names become parts of URLs. They are checked before any request, because a
// digest, tag or repository such as "sha256:../../x" would lead to another
// place of the registry (CVE-2024-3727).

// isDigest knows the one form of digest that is used: sha256, in lower case
// (OCI image-spec v1.1, descriptor.md "Registered algorithms").
func isDigest(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

func checkDigest(digest string) error {
	if !isDigest(digest) {
		return fmt.Errorf("%w: %q is no sha256 digest", gatekeeper.ErrInvalidContent, clean(digest))
	}
	return nil
}

// checkDescriptor refuses what describes no content.
func checkDescriptor(d gatekeeper.Descriptor) error {
	if err := checkDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("%w: the blob %s has the size %d", gatekeeper.ErrInvalidContent, d.Digest, d.Size)
	}
	return nil
}

// named is a repository with some host, for the grammar of reference.
func named(repository string) (reference.Named, error) {
	ref, err := reference.WithName("registry.invalid/" + repository)
	if err != nil || reference.Path(ref) != repository {
		return nil, fmt.Errorf("%w: %q is no repository's name", gatekeeper.ErrInvalidContent, clean(repository))
	}
	return ref, nil
}

// checkRepository keeps to the grammar of <name> (OCI distribution-spec v1.1,
// "Pulling manifests").
func checkRepository(repository string) error {
	_, err := named(repository)
	return err
}

// checkTag keeps to the grammar of a tag (OCI distribution-spec v1.1, "Pulling
// manifests").
func checkTag(tag string) error {
	ref, err := named("any")
	if err != nil {
		return err
	}
	if _, err := reference.WithTag(ref, tag); err != nil {
		return fmt.Errorf("%w: %q is no tag", gatekeeper.ErrInvalidContent, clean(tag))
	}
	return nil
}

// SubjectOfTag returns the digest that a tag of the form of FallbackTag belongs
// to: what is under it is evidence, and no image.
func SubjectOfTag(tag string) (digest string, ok bool) {
	base, suffix, cut := strings.Cut(tag, ".")
	if cut && suffix != "sig" && suffix != "att" && suffix != "sbom" {
		return "", false
	}
	digest = strings.Replace(base, "sha256-", "sha256:", 1)
	if base == digest || !isDigest(digest) {
		return "", false
	}
	return digest, true
}

// checkReference takes a tag or a digest.
func checkReference(ref string) error {
	if isDigest(ref) {
		return nil
	}
	return checkTag(ref)
}
