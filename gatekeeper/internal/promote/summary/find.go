package summary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// The annotations that clients of Sigstore put on the manifest of a bundle.
const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// Annotations are those of a summary's manifest.
func Annotations(at time.Time) map[string]string {
	return map[string]string{
		annotationContent: "dsse-envelope", annotationPredicate: PredicateType,
		ocispec.AnnotationCreated: at.UTC().Format(time.RFC3339),
	}
}

// Source reads from a registry.
type Source interface {
	Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error)
	Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error)
	Referrers(ctx context.Context, r registry.Repository, digest string) ([]registry.Referrer, error)
}

// Found is a bundle among the referrers of a digest that is a summary, or
// could be one.
type Found struct {
	Summary
	Manifest string // digest of the manifest that carries it
	Err      error  // why it does not count; nil when it verifies
}

// Find looks through everything that refers to a digest. What is known to be
// something else is left out. An error means that the registry did not answer.
func Find(ctx context.Context, source Source, repo registry.Repository, digest string, trust *Trust) ([]Found, error) {
	list, err := source.Referrers(ctx, repo, digest)
	if err != nil {
		return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
	}
	var all []Found
	for _, r := range list {
		if kind := r.Annotations[annotationPredicate]; kind != "" && kind != PredicateType {
			continue // anybody's word, but ours says otherwise
		}
		s, err := one(ctx, source, repo, digest, r.Digest, trust)
		switch {
		case err == nil:
			all = append(all, Found{Summary: s, Manifest: r.Digest})
		case errors.Is(err, ErrOther), errors.Is(err, gatekeeper.ErrNotFound):
			// Something else, or deleted since.
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrUnknownSigner), errors.Is(err, ErrOtherDigest), errors.Is(err, gatekeeper.ErrInvalidContent):
			all = append(all, Found{Manifest: r.Digest, Err: err})
		default:
			return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
		}
	}
	return all, nil
}

func one(ctx context.Context, source Source, repo registry.Repository, of, manifest string, trust *Trust) (Summary, error) {
	content, err := source.Manifest(ctx, repo, manifest)
	if err != nil {
		return Summary{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return Summary{}, fmt.Errorf("%w: the manifest %s: %w", ErrMalformed, manifest, err)
	}
	if len(m.Layers) != 1 || !strings.HasPrefix(m.Layers[0].MediaType, bundleTypePrefix) || m.Layers[0].Size > MaxBundle {
		return Summary{}, fmt.Errorf("%w: %s holds no bundle of that size", ErrOther, manifest)
	}
	if m.Subject == nil || m.Subject.Digest.String() != of {
		return Summary{}, fmt.Errorf("%w: %s refers to something else", ErrOther, manifest)
	}
	layer := m.Layers[0]
	data, err := source.Blob(ctx, repo, gatekeeper.Descriptor{MediaType: layer.MediaType, Digest: layer.Digest.String(), Size: layer.Size}, MaxBundle)
	if err != nil {
		return Summary{}, err
	}
	return trust.Open(data, of)
}

// bundleTypePrefix begins the media type of a Sigstore bundle of any version.
const bundleTypePrefix = "application/vnd.dev.sigstore.bundle"
