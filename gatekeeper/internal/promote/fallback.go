package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// lockedIndexes serialises the read, change, write of fallback tags, without
// which concurrent writers lose each other's entries. One lock for a
// golden repository's subject; few are ever held.
type lockedIndexes struct{ locks sync.Map }

func (l *lockedIndexes) lock(key string) func() {
	mu, _ := l.locks.LoadOrStore(key, &sync.Mutex{})
	m := mu.(*sync.Mutex) //nolint:errcheck,forcetypeassert // only mutexes are stored
	m.Lock()
	return m.Unlock
}

// list makes a referrer findable where the registry does not do so itself: it
// adds it to the index under the subject's fallback tag (OCI
// distribution-spec v1.1, "Pushing Manifests with Subject").
func (c *job) list(ctx context.Context, content registry.Content, listed bool) error {
	subject := subjectOf(content)
	if subject == "" || listed {
		return nil
	}
	defer c.fallback.lock(c.to.Registry + "/" + c.to.Name)()
	tag := registry.FallbackTag(subject, "")
	index, err := c.readIndex(ctx, tag)
	if err != nil {
		return err
	}
	entry, err := entryFor(content)
	if err != nil {
		return err
	}
	for _, m := range index.Manifests {
		if m.Digest == entry.Digest {
			return nil
		}
	}
	index.Manifests = append(index.Manifests, entry)
	body, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("write the list of referrers %s: %w", tag, err)
	}
	list := registry.Content{
		Descriptor: gatekeeper.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(body).String(), Size: int64(len(body))},
		Body:       body,
	}
	if _, err := c.registries.PutManifest(ctx, c.to, tag, list); err != nil {
		return err
	}
	now, err := c.registries.Resolve(ctx, c.to.Registry, c.to.Name, tag)
	if err != nil {
		return err
	}
	if now.Digest != list.Digest {
		return fmt.Errorf("the list of referrers %s was changed by somebody else at the same time", tag)
	}
	return nil
}

func (c *job) readIndex(ctx context.Context, tag string) (ocispec.Index, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{},
	}
	content, err := c.registries.ManifestByTag(ctx, c.to, tag)
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return index, nil
	}
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(content.Body, &index); err != nil {
		return index, fmt.Errorf("%w: the list of referrers %s: %w", gatekeeper.ErrInvalidContent, tag, err)
	}
	return index, nil
}

// entryFor describes a referrer as the referrers API would: with its artifact
// type, or else its configuration's media type, and its annotations.
func entryFor(content registry.Content) (ocispec.Descriptor, error) {
	var m struct {
		ArtifactType string             `json:"artifactType"`
		Config       ocispec.Descriptor `json:"config"`
		Annotations  map[string]string  `json:"annotations"`
	}
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	if m.ArtifactType == "" {
		m.ArtifactType = m.Config.MediaType
	}
	return ocispec.Descriptor{
		MediaType: content.MediaType, Digest: digest.Digest(content.Digest), Size: content.Size,
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}, nil
}
