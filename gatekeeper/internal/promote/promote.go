// Package promote copies what was approved to a golden registry: by digest,
// with everything that refers to it, and the tag last.
package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Registries is what a Promoter needs of the registries.
type Registries interface {
	reader
	writer
	SameRegistry(a, b string) bool
	Host(registry string) (string, error)
}

type reader interface {
	Resolve(ctx context.Context, registry, repository, tag string) (gatekeeper.Descriptor, error)
	Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error)
	ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error)
	Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error)
	OpenBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor) (io.ReadCloser, error)
	Referrers(ctx context.Context, r registry.Repository, digest string) ([]registry.Referrer, error)
}

type writer interface {
	HasBlob(ctx context.Context, r registry.Repository, digest string) (bool, error)
	MountBlob(ctx context.Context, r registry.Repository, digest, from string) (*registry.Upload, bool, error)
	PushBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, body io.Reader, begun *registry.Upload) error
	PutManifest(ctx context.Context, r registry.Repository, reference string, content registry.Content) (bool, error)
}

// Promoter implements gatekeeper.Promoter. It is safe for concurrent use.
type Promoter struct {
	// Turns keeps other processes from the lists in golden repositories; nil:
	// there are none. It is set before first use.
	Turns      gatekeeper.Turns
	registries Registries
	now        func() time.Time
	fallback   lockedIndexes
}

// New returns a promoter. The clock measures how long registries take.
func New(registries Registries, now func() time.Time) *Promoter {
	return &Promoter{registries: registries, now: now}
}

// Free says whether the promotion's tags can be given to the subject.
func (p *Promoter) Free(ctx context.Context, s policy.Subject, to policy.Promotion) error {
	for _, tag := range to.Tags {
		if _, err := p.free(ctx, s, to, tag); err != nil {
			return err
		}
	}
	return nil
}

// Copy brings the subject, its children and everything that refers to them to
// the golden repository. No tag of the promotion is written, and nothing is
// read back: registries check what they take by its digest, and Tag reads the
// manifest that it writes the tag for. It is safe to repeat: what is there is
// not sent again.
func (p *Promoter) Copy(ctx context.Context, s policy.Subject, to policy.Promotion) error {
	if err := p.Free(ctx, s, to); err != nil {
		return err
	}
	c := &job{
		Promoter: p,
		from:     registry.Repository{Registry: s.Registry, Name: s.Repository},
		to:       registry.Repository{Registry: to.Registry, Name: to.Repository},
	}
	if c.from == c.to {
		return nil // promotion within a repository is a matter of tags
	}
	// What refers to the image does not need the image to be there first: only
	// the tag comes last.
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := c.image(groupCtx, s.Digest); err != nil {
			return fmt.Errorf("copy %s@%s to %s/%s: %w", s.Repository, s.Digest, to.Registry, to.Repository, err)
		}
		return nil
	})
	group.Go(func() error { return c.everythingAbout(groupCtx, s.Digest) })
	if err := group.Wait(); err != nil {
		return err
	}
	for _, child := range c.children {
		if err := c.everythingAbout(ctx, child); err != nil {
			return err
		}
	}
	return c.publish(ctx)
}

// Tag points one tag of the golden repository at the subject.
func (p *Promoter) Tag(ctx context.Context, s policy.Subject, to policy.Promotion, tag string) error {
	there, err := p.free(ctx, s, to, tag)
	if err != nil || there {
		return err
	}
	golden := registry.Repository{Registry: to.Registry, Name: to.Repository}
	content, err := p.registries.Manifest(ctx, golden, s.Digest)
	if err != nil {
		return fmt.Errorf("read back %s/%s@%s: %w", to.Registry, to.Repository, s.Digest, err)
	}
	if _, err := p.registries.PutManifest(ctx, golden, tag, content); err != nil {
		return fmt.Errorf("tag %s/%s:%s: %w", to.Registry, to.Repository, tag, err)
	}
	return nil
}

// free says whether the tag holds the subject already; it is a conflict when
// the tag is immutable and holds something else.
func (p *Promoter) free(ctx context.Context, s policy.Subject, to policy.Promotion, tag string) (there bool, err error) {
	now, err := p.registries.Resolve(ctx, to.Registry, to.Repository, tag)
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case now.Digest == s.Digest:
		return true, nil
	case to.Immutable && !slices.Contains(to.Channels, tag):
		return false, &gatekeeper.ConflictError{
			Reference: to.Registry + "/" + to.Repository + ":" + tag, Have: now.Digest, Want: s.Digest,
		}
	}
	return false, nil
}

// descriptor translates a descriptor of the image-spec.
func descriptor(d ocispec.Descriptor) gatekeeper.Descriptor {
	return gatekeeper.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}
}
