package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
func (a *Attester) appendTo(ctx context.Context, golden registry.Repository, of string, envelope []byte) (carrier string, err error) {
	layer := ocispec.Descriptor{
		MediaType: summary.EnvelopeType, Digest: digest.FromBytes(envelope), Size: int64(len(envelope)), Annotations: summary.LayerAnnotations(),
	}
	c := &job{Promoter: a.Promoter, to: golden}
	if err := c.upload(ctx, descriptor(layer), envelope); err != nil {
		return "", err
	}
	return layer.Digest.String(), c.keepLayers(ctx, summary.AttestationsTag(of), []ocispec.Descriptor{layer}, nil)
}

// addSource adds what the source has under a tag of the older form. The blobs
// go first, so that little time passes between the look at golden's manifest
// and the write of it.
func (c *job) addSource(ctx context.Context, tag string, source registry.Content) error {
	var m ocispec.Manifest
	if err := json.Unmarshal(source.Body, &m); err != nil {
		return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, source.Digest, err)
	}
	golden, err := c.layered(ctx, tag)
	if err != nil {
		return err
	}
	if _, lacks := union(golden.Layers, m.Layers); !lacks {
		return nil // layers only ever come in addition
	}
	if err := c.blobs(ctx, source); err != nil {
		return err
	}
	return c.keepLayers(ctx, tag, m.Layers, &source)
}

// keepLayers adds layers to the manifest under a tag until a look finds them
// there, with every other one that was seen. Source is nil, or a manifest that
// is written as it is where it has all of them.
func (c *job) keepLayers(ctx context.Context, tag string, layers []ocispec.Descriptor, source *registry.Content) error {
	for range maxListRounds {
		began := c.now()
		all, changed, err := c.addLayers(ctx, tag, layers, source)
		if err != nil || !changed {
			return err
		}
		layers = all
		if err := pause(ctx, settling(c.now().Sub(began))); err != nil {
			return err
		}
	}
	return fmt.Errorf("the tag %s is changed by somebody else all the time", tag)
}

// addLayers adds the layers that the manifest under a tag lacks. All is what
// it holds then.
func (c *job) addLayers(
	ctx context.Context, tag string, layers []ocispec.Descriptor, source *registry.Content,
) (all []ocispec.Descriptor, changed bool, err error) {
	release, err := c.alone(ctx)
	if err != nil {
		return nil, false, err
	}
	defer release()
	m, err := c.layered(ctx, tag)
	if err != nil {
		return nil, false, err
	}
	if m.Layers, changed = union(m.Layers, layers); !changed {
		return m.Layers, false, nil
	}
	if source == nil || !holds(*source, m.Layers) {
		return m.Layers, true, c.putLayers(ctx, tag, m)
	}
	listed, err := c.registries.PutManifest(ctx, c.to, tag, *source)
	if err != nil {
		return nil, false, err
	}
	return m.Layers, true, c.list(*source, listed)
}

// layered reads golden's manifest under a tag of the older form; it has no
// layer when there is none.
func (c *job) layered(ctx context.Context, tag string) (ocispec.Manifest, error) {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	content, err := c.registries.ManifestByTag(ctx, c.to, tag)
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
		return m, nil
	case err != nil:
		return m, err
	case isIndex(content.MediaType):
		return m, fmt.Errorf("%w: %s/%s:%s holds an index and no signatures; delete it", gatekeeper.ErrInvalidContent, c.to.Registry, c.to.Name, tag)
	}
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return m, fmt.Errorf("%w: %s/%s:%s: %w", gatekeeper.ErrInvalidContent, c.to.Registry, c.to.Name, tag, err)
	}
	return m, nil
}

// holds says whether a manifest has all of the layers.
func holds(content registry.Content, layers []ocispec.Descriptor) bool {
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return false
	}
	_, lacks := union(m.Layers, layers)
	return !lacks
}

// union appends the layers that are not there. A signature of the older form
// is an annotation: two keys' signatures of one image have one digest.
func union(have, add []ocispec.Descriptor) (all []ocispec.Descriptor, changed bool) {
	all = slices.Clone(have)
	for _, layer := range add {
		same := func(d ocispec.Descriptor) bool {
			return d.Digest == layer.Digest && maps.Equal(d.Annotations, layer.Annotations)
		}
		if !slices.ContainsFunc(all, same) {
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
