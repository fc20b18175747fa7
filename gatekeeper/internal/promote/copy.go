package promote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// The limits of one promotion.
const (
	blobsAtATime = 4
	maxChildren  = 128
	maxDepth     = 3 // referrers of referrers of referrers
	maxReferrers = 1000
)

// job is one copy from one repository to another.
type job struct {
	*Promoter
	from, to registry.Repository
	children []string // of an index, whose referrers come along
	lists    lists    // what fallback tags have to name
	// referrers counts those that were copied, of all subjects together.
	referrers int
}

// image copies an index or manifest with all that it needs, children first.
func (c *job) image(ctx context.Context, digest string) error {
	content, err := c.registries.Manifest(ctx, c.from, digest)
	if err != nil {
		return err
	}
	if isIndex(content.MediaType) {
		var index ocispec.Index
		if err := json.Unmarshal(content.Body, &index); err != nil {
			return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, digest, err)
		}
		if len(index.Manifests) > maxChildren {
			return fmt.Errorf("%w: the index %s has %d manifests; at most %d are copied", gatekeeper.ErrInvalidContent, digest, len(index.Manifests), maxChildren)
		}
		for _, child := range index.Manifests {
			if isIndex(child.MediaType) {
				return fmt.Errorf("%w: an index within an index is not copied", gatekeeper.ErrInvalidContent)
			}
			if err := c.image(ctx, child.Digest.String()); err != nil {
				return err
			}
			c.children = append(c.children, child.Digest.String())
		}
	}
	return c.manifest(ctx, content, digest)
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// manifest copies the blobs of a manifest and writes it under a reference.
func (c *job) manifest(ctx context.Context, content registry.Content, reference string) error {
	if err := c.blobs(ctx, content); err != nil {
		return err
	}
	listed, err := c.registries.PutManifest(ctx, c.to, reference, content)
	if err != nil {
		return err
	}
	return c.list(content, listed)
}

// blobs copies the configuration and the layers of a manifest.
func (c *job) blobs(ctx context.Context, content registry.Content) error {
	if isIndex(content.MediaType) {
		return nil
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	all := append([]ocispec.Descriptor{m.Config}, m.Layers...)
	for _, d := range all {
		if len(d.URLs) > 0 {
			return fmt.Errorf("%w: the layer %s is to be fetched from elsewhere", gatekeeper.ErrInvalidContent, d.Digest)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(blobsAtATime)
	seen := map[string]bool{}
	for _, d := range all {
		if seen[d.Digest.String()] {
			continue
		}
		seen[d.Digest.String()] = true
		group.Go(func() error { return c.blob(ctx, descriptor(d)) })
	}
	return group.Wait()
}

// blob brings one blob over: shared within one registry, streamed between two.
// What arrives is hashed on the way, and by the registry that takes it.
func (c *job) blob(ctx context.Context, d gatekeeper.Descriptor) (err error) {
	var begun *registry.Upload
	if c.registries.SameRegistry(c.from.Registry, c.to.Registry) {
		upload, mounted, err := c.registries.MountBlob(ctx, c.to, d.Digest, c.from.Name)
		if err != nil || mounted {
			return err
		}
		begun = upload
	} else {
		there, err := c.registries.HasBlob(ctx, c.to, d.Digest)
		if err != nil || there {
			return err
		}
	}
	body, err := c.registries.OpenBlob(ctx, c.from, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return c.registries.PushBlob(ctx, c.to, d, body, begun)
}

// everythingAbout copies what speaks about a digest of the source.
func (c *job) everythingAbout(ctx context.Context, digest string) error {
	if err := c.signed(ctx, digest, 0); err != nil {
		return fmt.Errorf("copy what refers to %s@%s to %s/%s: %w", c.from.Name, digest, c.to.Registry, c.to.Name, err)
	}
	return nil
}

// signed copies what speaks about a digest: the tags of cosign's older form,
// and the referrers with their own referrers.
func (c *job) signed(ctx context.Context, digest string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: referrers of referrers nest deeper than %d", gatekeeper.ErrInvalidContent, maxDepth)
	}
	// None of these depends on another; most find nothing.
	var referrers []registry.Referrer
	group, groupCtx := errgroup.WithContext(ctx)
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		group.Go(func() error { return c.cosignTag(groupCtx, registry.FallbackTag(digest, suffix)) })
	}
	group.Go(func() (err error) {
		referrers, err = c.registries.Referrers(groupCtx, c.from, digest)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range referrers {
		content, err := c.registries.Manifest(ctx, c.from, r.Digest)
		if errors.Is(err, gatekeeper.ErrNotFound) {
			continue // the list names what was deleted since
		}
		if err != nil {
			return err
		}
		if !refersTo(content, digest) || Runnable(content) {
			continue // the list of a fallback tag is anybody's word
		}
		if c.referrers++; c.referrers > maxReferrers {
			return fmt.Errorf("%w: more than %d referrers; no more are copied", gatekeeper.ErrInvalidContent, maxReferrers)
		}
		if err := c.manifest(ctx, content, r.Digest); err != nil {
			return err
		}
		if err := c.signed(ctx, r.Digest, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// cosignTag copies one tag of cosign's older form, when it exists. Signatures
// and attestations are added to those that golden has: our own summaries are
// among them, and what another push of the same image brought. An SBOM has one
// layer, and is replaced.
func (c *job) cosignTag(ctx context.Context, tag string) error {
	content, err := c.registries.ManifestByTag(ctx, c.from, tag)
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return nil
	}
	if err != nil || Runnable(content) {
		return err
	}
	if !strings.HasSuffix(tag, ".sbom") {
		return c.addSource(ctx, tag, content)
	}
	now, err := c.registries.Resolve(ctx, c.to.Registry, c.to.Name, tag)
	if err == nil && now.Digest == content.Digest {
		return nil
	}
	if err != nil && !errors.Is(err, gatekeeper.ErrNotFound) {
		return err
	}
	return c.manifest(ctx, content, tag)
}

// subjectOf returns the digest in a manifest's subject field.
func subjectOf(content registry.Content) string {
	var m struct {
		Subject *ocispec.Descriptor `json:"subject"`
	}
	if err := json.Unmarshal(content.Body, &m); err != nil || m.Subject == nil {
		return ""
	}
	return m.Subject.Digest.String()
}

func refersTo(content registry.Content, digest string) bool {
	return strings.EqualFold(subjectOf(content), digest)
}

// upload writes a blob that was made here.
func (c *job) upload(ctx context.Context, d gatekeeper.Descriptor, content []byte) error {
	there, err := c.registries.HasBlob(ctx, c.to, d.Digest)
	if err != nil || there {
		return err
	}
	return c.registries.PushBlob(ctx, c.to, d, bytes.NewReader(content), nil)
}
