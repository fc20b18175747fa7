package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// appendTo adds an envelope to the attestations of cosign's older form, which
// are the layers of one manifest under a tag. As with the lists of referrers,
// somebody else may write at the same time: it looks until it stays.
func (a *Attester) appendTo(ctx context.Context, golden registry.Repository, of string, envelope []byte) error {
	layer := ocispec.Descriptor{
		MediaType: summary.EnvelopeType, Digest: digest.FromBytes(envelope), Size: int64(len(envelope)), Annotations: summary.LayerAnnotations(),
	}
	c := &job{Promoter: a.Promoter, to: golden}
	if err := c.upload(ctx, descriptor(layer), envelope); err != nil {
		return err
	}
	tag := summary.AttestationsTag(of)
	seen := []ocispec.Descriptor{layer}
	for range maxListRounds {
		began := a.now()
		all, changed, err := c.addLayers(ctx, tag, seen)
		if err != nil || !changed {
			return err
		}
		seen = all
		if err := pause(ctx, settling(a.now().Sub(began))); err != nil {
			return err
		}
	}
	return fmt.Errorf("the attestations %s are changed by somebody else all the time", tag)
}

// addLayers adds the layers that the manifest under a tag lacks. All is what
// it holds then.
func (c *job) addLayers(ctx context.Context, tag string, layers []ocispec.Descriptor) (all []ocispec.Descriptor, changed bool, err error) {
	defer c.fallback.lock(c.to.Registry + "/" + c.to.Name)()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	content, err := c.registries.ManifestByTag(ctx, c.to, tag)
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
	case err != nil:
		return nil, false, err
	default:
		if isIndex(content.MediaType) {
			return nil, false, fmt.Errorf("%w: %s holds an index and no attestations", gatekeeper.ErrInvalidContent, tag)
		}
		if err := json.Unmarshal(content.Body, &m); err != nil {
			return nil, false, fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, tag, err)
		}
	}
	if m.Layers, changed = union(m.Layers, layers); !changed {
		return m.Layers, false, nil
	}
	return m.Layers, true, c.putLayers(ctx, tag, m)
}

// union appends the layers that are not there.
func union(have, add []ocispec.Descriptor) (all []ocispec.Descriptor, changed bool) {
	all = slices.Clone(have)
	for _, layer := range add {
		if !slices.ContainsFunc(all, func(d ocispec.Descriptor) bool { return d.Digest == layer.Digest }) {
			all, changed = append(all, layer), true
		}
	}
	return all, changed
}

// putLayers writes a manifest of cosign's older form with the configuration
// that belongs to its layers: an image's (OCI image-spec v1.1, config.md).
func (c *job) putLayers(ctx context.Context, tag string, m ocispec.Manifest) error {
	config := ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	for _, layer := range m.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encode the configuration of %s: %w", tag, err)
	}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if err := c.upload(ctx, descriptor(m.Config), text); err != nil {
		return err
	}
	m.MediaType = ocispec.MediaTypeImageManifest
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", tag, err)
	}
	_, err = c.registries.PutManifest(ctx, c.to, tag, contentOf(ocispec.MediaTypeImageManifest, body))
	return err
}

// replace writes the source's content under a tag of the older form, and keeps
// the summaries that golden has there.
func (c *job) replace(ctx context.Context, tag, now string, content registry.Content) error {
	present, err := c.registries.Manifest(ctx, c.to, now)
	if err != nil {
		return err
	}
	own, err := summary.Layers(present)
	if err != nil {
		return err
	}
	var source ocispec.Manifest
	if err := json.Unmarshal(content.Body, &source); err != nil {
		return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	all, changed := union(source.Layers, own)
	if !changed {
		return c.manifest(ctx, content, tag)
	}
	var golden ocispec.Manifest
	if err := json.Unmarshal(present.Body, &golden); err == nil && slices.EqualFunc(golden.Layers, all, sameDigest) {
		return nil
	}
	if err := c.blobs(ctx, content); err != nil {
		return err
	}
	source.Layers = all
	defer c.fallback.lock(c.to.Registry + "/" + c.to.Name)()
	return c.putLayers(ctx, tag, source)
}

func sameDigest(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest }
