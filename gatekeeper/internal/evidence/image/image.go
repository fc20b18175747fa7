// Package image reads what a subject's manifest, index and configurations say.
package image

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of one subject.
const (
	maxPlatforms = 64
	maxLayers    = 1000
	maxConfig    = 8 << 20 // bytes
	concurrency  = 4
)

// Source reads from a registry.
type Source interface {
	Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error)
	Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error)
}

// Reader implements gatekeeper.ImageReader.
type Reader struct{ source Source }

// New returns a reader.
func New(source Source) *Reader { return &Reader{source: source} }

// ReadImage reads the subject and every platform in it.
func (r *Reader) ReadImage(ctx context.Context, s policy.Subject) (policy.Image, error) {
	repo := registry.Repository{Registry: s.Registry, Name: s.Repository}
	content, err := r.source.Manifest(ctx, repo, s.Digest)
	if err != nil {
		return policy.Image{}, err
	}
	if !isIndex(content.MediaType) {
		return r.readSingle(ctx, repo, content)
	}
	var index ocispec.Index
	if err := decode(content, &index); err != nil {
		return policy.Image{}, err
	}
	img := policy.Image{MediaType: content.MediaType, Size: content.Size, Annotations: maskIndex(index.Annotations)}
	children, err := platforms(index)
	if err != nil {
		return policy.Image{}, err
	}
	img.Platforms = make([]policy.Platform, len(children))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, child := range children {
		group.Go(func() error {
			p, err := r.readChild(ctx, repo, child, index.Annotations)
			img.Platforms[i] = p
			return err
		})
	}
	return img, group.Wait()
}

func (r *Reader) readSingle(ctx context.Context, repo registry.Repository, content registry.Content) (policy.Image, error) {
	p, err := r.readPlatform(ctx, repo, content, nil)
	if err != nil {
		return policy.Image{}, err
	}
	return policy.Image{
		MediaType: content.MediaType, Size: content.Size, Annotations: p.Annotations, Platforms: []policy.Platform{p},
	}, nil
}

// platforms lists the images of an index. BuildKit's attestation manifests
// describe other children and run nowhere.
func platforms(index ocispec.Index) ([]ocispec.Descriptor, error) {
	var children []ocispec.Descriptor
	for _, d := range index.Manifests {
		switch {
		case isAttestation(d):
			continue
		case isIndex(d.MediaType):
			return nil, invalid("an index within an index is not supported")
		}
		children = append(children, d)
	}
	if len(children) > maxPlatforms {
		return nil, invalid("the index has %d platforms; at most %d are judged", len(children), maxPlatforms)
	}
	return children, nil
}

func isAttestation(d ocispec.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" &&
		d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// readChild reads one platform of an index and compares it with what the
// index says about it.
func (r *Reader) readChild(ctx context.Context, repo registry.Repository, d ocispec.Descriptor, index map[string]string) (policy.Platform, error) {
	content, err := r.source.Manifest(ctx, repo, d.Digest.String())
	if err != nil {
		return policy.Platform{}, err
	}
	if content.MediaType != d.MediaType || content.Size != d.Size {
		return policy.Platform{}, invalid("the index says that %s is %s of %d bytes; it is %s of %d",
			d.Digest, d.MediaType, d.Size, content.MediaType, content.Size)
	}
	p, err := r.readPlatform(ctx, repo, content, index)
	if err != nil {
		return policy.Platform{}, err
	}
	if d.Platform == nil {
		return p, nil
	}
	if contradicts(p.OS, d.Platform.OS) || contradicts(p.Architecture, d.Platform.Architecture) {
		return policy.Platform{}, invalid("the index says that %s is for %s/%s; its configuration says %s",
			d.Digest, d.Platform.OS, d.Platform.Architecture, p.Name)
	}
	p.OS, p.Architecture = cmp.Or(p.OS, d.Platform.OS), cmp.Or(p.Architecture, d.Platform.Architecture)
	p.Name = nameOf(p)
	return p, nil
}

// contradicts says whether a configuration's word is another than the index's.
// Some builders leave the platform out of the configuration, although the OCI
// image-spec v1.1 (config.md) asks for it; that is no contradiction.
func contradicts(config, index string) bool { return config != "" && config != index }

// nameOf is how a platform is named in findings: os/architecture[/variant].
func nameOf(p policy.Platform) string {
	name := cmp.Or(p.OS, "unknown") + "/" + cmp.Or(p.Architecture, "unknown")
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}

// readPlatform reads an image manifest and its configuration. index are the
// annotations of the index that it is in.
func (r *Reader) readPlatform(ctx context.Context, repo registry.Repository, content registry.Content, index map[string]string) (policy.Platform, error) {
	var m ocispec.Manifest
	if err := decode(content, &m); err != nil {
		return policy.Platform{}, err
	}
	if err := checkShape(m); err != nil {
		return policy.Platform{}, fmt.Errorf("%s: %w", content.Digest, err)
	}
	data, err := r.source.Blob(ctx, repo, gatekeeper.Descriptor{
		MediaType: m.Config.MediaType, Digest: m.Config.Digest.String(), Size: m.Config.Size,
	}, maxConfig)
	if err != nil {
		return policy.Platform{}, fmt.Errorf("read the configuration of %s: %w", content.Digest, err)
	}
	var config ocispec.Image
	if err := strictjson.Unmarshal(data, &config); err != nil {
		return policy.Platform{}, invalid("the configuration of %s: %v", content.Digest, err)
	}
	p, err := describe(content.Digest, m, config)
	inspect(&p, config.History, index)
	return p, err
}

// checkShape refuses what is no container image and layers that come from
// somewhere else than the registry.
func checkShape(m ocispec.Manifest) error {
	switch m.Config.MediaType {
	case ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
	default:
		what := m.ArtifactType
		if what == "" {
			what = m.Config.MediaType
		}
		return invalid("not a container image but an artifact of type %q", what)
	}
	if len(m.Layers) > maxLayers {
		return invalid("%d layers; at most %d are read", len(m.Layers), maxLayers)
	}
	for _, l := range m.Layers {
		if len(l.URLs) > 0 || strings.Contains(l.MediaType, "nondistributable") || strings.Contains(l.MediaType, "foreign") {
			return invalid("the layer %s is to be fetched from elsewhere (foreign layers are not promoted)", l.Digest)
		}
	}
	return nil
}

func describe(digest string, m ocispec.Manifest, config ocispec.Image) (policy.Platform, error) {
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		return policy.Platform{}, invalid("%s has %d layers but its configuration describes %d", digest, len(m.Layers), len(config.RootFS.DiffIDs))
	}
	p := policy.Platform{
		Digest: digest, OS: config.OS, Architecture: config.Architecture, Variant: config.Variant,
		Created:     config.Created,
		Annotations: m.Annotations, Labels: config.Config.Labels,
		Config: policy.Config{
			User: config.Config.User, WorkingDir: config.Config.WorkingDir, Entrypoint: config.Config.Entrypoint,
			Cmd: config.Config.Cmd, Env: config.Config.Env, StopSignal: config.Config.StopSignal,
			ExposedPorts: sortedKeys(config.Config.ExposedPorts), Volumes: sortedKeys(config.Config.Volumes),
		},
	}
	p.Name = nameOf(p)
	for i, l := range m.Layers {
		p.Layers = append(p.Layers, policy.Layer{
			MediaType: l.MediaType, Digest: l.Digest.String(), Size: l.Size, DiffID: config.RootFS.DiffIDs[i].String(),
		})
	}
	return p, nil
}

func sortedKeys(set map[string]struct{}) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func decode(content registry.Content, v any) error {
	if err := json.Unmarshal(content.Body, v); err != nil {
		return invalid("%s: %v", content.Digest, err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{gatekeeper.ErrInvalidContent}, args...)...)
}
