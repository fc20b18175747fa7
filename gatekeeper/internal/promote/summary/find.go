package summary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error)
	Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error)
	Referrers(ctx context.Context, r registry.Repository, digest string) ([]registry.Referrer, error)
}

// Found is what is, or could be, a summary of a digest.
type Found struct {
	Summary
	// Carrier is the digest of the manifest of a bundle, or of the layer
	// with the envelope in the older form.
	Carrier string
	Err     error // why it does not count; nil when it verifies
}

// Find looks through everything that refers to a digest, and through the
// attestations of cosign's older form. What is known to be something else is
// left out. An error means that the registry did not answer.
func Find(ctx context.Context, source Source, repo registry.Repository, digest string, trust *Trust) ([]Found, error) {
	list, err := source.Referrers(ctx, repo, digest)
	if err != nil {
		return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
	}
	var all []Found
	for _, r := range list {
		if !mayBeSummary(r) {
			continue
		}
		s, err := one(ctx, source, repo, digest, r.Digest, trust)
		if all, err = sorted(all, s, r.Digest, err); err != nil {
			return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
		}
	}
	envelopes, err := Envelopes(ctx, source, repo, digest)
	if err != nil {
		return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
	}
	for _, layer := range envelopes {
		s, err := envelope(ctx, source, repo, digest, layer, trust)
		if all, err = sorted(all, s, layer.Digest.String(), err); err != nil {
			return nil, fmt.Errorf("look for summaries of %s@%s: %w", repo.Name, digest, err)
		}
	}
	return all, nil
}

// mayBeSummary goes by what a list says about a referrer. It is anybody's word,
// who could leave the entry out as well; ours says what it is. Some registries
// put the type of the configuration, which is empty, for the artifact's.
func mayBeSummary(r registry.Referrer) bool {
	kind, predicate := r.ArtifactType, r.Annotations[annotationPredicate]
	bundle := kind == "" || kind == ocispec.MediaTypeEmptyJSON || strings.HasPrefix(kind, bundleTypePrefix)
	return bundle && (predicate == "" || predicate == PredicateType)
}

// ReadBack opens one summary of a digest by its carrier: as a referrer that is
// listed, or as a layer of the older form. One that nobody can find is
// gatekeeper.ErrNotFound.
func ReadBack(ctx context.Context, source Source, repo registry.Repository, digest, carrier string, older bool, trust *Trust) (Summary, error) {
	if older {
		layers, err := Envelopes(ctx, source, repo, digest)
		if err != nil {
			return Summary{}, err
		}
		i := slices.IndexFunc(layers, func(d ocispec.Descriptor) bool { return d.Digest.String() == carrier })
		if i < 0 {
			return Summary{}, fmt.Errorf("%w: the layer %s below %s", gatekeeper.ErrNotFound, carrier, AttestationsTag(digest))
		}
		return envelope(ctx, source, repo, digest, layers[i], trust)
	}
	list, err := source.Referrers(ctx, repo, digest)
	if err != nil {
		return Summary{}, err
	}
	if !slices.ContainsFunc(list, func(r registry.Referrer) bool { return r.Digest == carrier && mayBeSummary(r) }) {
		return Summary{}, fmt.Errorf("%w: %s is not listed as a referrer", gatekeeper.ErrNotFound, carrier)
	}
	return one(ctx, source, repo, digest, carrier, trust)
}

// sorted appends what was found, unless it is something else, or not there any
// more.
func sorted(all []Found, s Summary, carrier string, err error) ([]Found, error) {
	switch {
	case err == nil:
		return append(all, Found{Summary: s, Carrier: carrier}), nil
	case errors.Is(err, ErrOther), errors.Is(err, gatekeeper.ErrNotFound):
		return all, nil
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrUnknownSigner), errors.Is(err, ErrOtherDigest), errors.Is(err, gatekeeper.ErrInvalidContent):
		return append(all, Found{Carrier: carrier, Err: err}), nil
	}
	return all, err
}

// HasBundle says whether a Sigstore bundle of any kind refers to a digest.
func HasBundle(ctx context.Context, source Source, repo registry.Repository, digest string) (bool, error) {
	list, err := source.Referrers(ctx, repo, digest)
	if err != nil {
		return false, err
	}
	for _, r := range list {
		content, err := source.Manifest(ctx, repo, r.Digest)
		if errors.Is(err, gatekeeper.ErrNotFound) || errors.Is(err, gatekeeper.ErrInvalidContent) {
			continue
		}
		if err != nil {
			return false, err
		}
		var m ocispec.Manifest
		if json.Unmarshal(content.Body, &m) == nil && len(m.Layers) == 1 && strings.HasPrefix(m.Layers[0].MediaType, bundleTypePrefix) {
			return true, nil
		}
	}
	return false, nil
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

// The older form of attestations: one DSSE envelope a layer, below the tag
// sha256-….att, as cosign writes it.
const (
	// EnvelopeType is the media type of a layer.
	EnvelopeType    = "application/vnd.dsse.envelope.v1+json"
	layerPredicate  = "predicateType"
	layerSignature  = "dev.cosignproject.cosign/signature"
	attestationsTag = ".att"
	maxEnvelopes    = 1000
)

// AttestationsTag is the tag that holds a digest's attestations in the older
// form.
func AttestationsTag(digest string) string { return registry.FallbackTag(digest, attestationsTag) }

// LayerAnnotations are those of a summary's layer in the older form.
func LayerAnnotations() map[string]string {
	return map[string]string{layerSignature: "", layerPredicate: PredicateType}
}

// HasOthers says whether a digest has attestations in the older form that are
// no summaries.
func HasOthers(ctx context.Context, source Source, repo registry.Repository, digest string) (bool, error) {
	layers, err := attestations(ctx, source, repo, digest)
	return slices.ContainsFunc(layers, func(d ocispec.Descriptor) bool { return !isSummary(d) }), err
}

func isSummary(layer ocispec.Descriptor) bool {
	return layer.MediaType == EnvelopeType && layer.Annotations[layerPredicate] == PredicateType
}

// attestations lists all layers of the older form.
func attestations(ctx context.Context, source Source, repo registry.Repository, digest string) ([]ocispec.Descriptor, error) {
	content, err := source.ManifestByTag(ctx, repo, AttestationsTag(digest))
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return nil, fmt.Errorf("%w: the attestations %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	return m.Layers, nil
}

// Envelopes lists the layers of the older form that say they are summaries.
func Envelopes(ctx context.Context, source Source, repo registry.Repository, digest string) ([]ocispec.Descriptor, error) {
	all, err := attestations(ctx, source, repo, digest)
	if err != nil {
		return nil, err
	}
	layers := slices.DeleteFunc(all, func(d ocispec.Descriptor) bool { return !isSummary(d) })
	if len(layers) > maxEnvelopes {
		return nil, fmt.Errorf("%w: more than %d summaries", gatekeeper.ErrInvalidContent, maxEnvelopes)
	}
	return layers, nil
}

func envelope(ctx context.Context, source Source, repo registry.Repository, of string, layer ocispec.Descriptor, trust *Trust) (Summary, error) {
	if layer.Size > MaxBundle {
		return Summary{}, fmt.Errorf("%w: an envelope of %d bytes; at most %d are read", ErrMalformed, layer.Size, MaxBundle)
	}
	data, err := source.Blob(ctx, repo, gatekeeper.Descriptor{MediaType: layer.MediaType, Digest: layer.Digest.String(), Size: layer.Size}, MaxBundle)
	if err != nil {
		return Summary{}, err
	}
	return trust.OpenEnvelope(data, of)
}
