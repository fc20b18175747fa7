package gatekeeper

import (
	"context"
	"errors"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The interfaces the gate consumes. Implementations live below internal/.
// An error from any of them means "don't know": the push is tried again.

// Descriptor identifies content (OCI image-spec v1.1, descriptor.md).
type Descriptor struct {
	MediaType string
	Digest    string
	Size      int64
}

// ErrNotFound is returned, wrapped, when a registry says that a repository,
// tag, manifest or blob does not exist. It is the only answer that means
// absence; every other failure means that nobody knows.
var ErrNotFound = errors.New("not found")

// ErrInvalidContent is returned, wrapped, when content was read but is not
// what it has to be: it does not hash to its digest, contradicts its media
// type, or breaks a limit. Trying again does not help.
var ErrInvalidContent = errors.New("invalid content")

// Resolver turns a tag into what it points to now.
type Resolver interface {
	// Resolve returns ErrNotFound when the tag does not exist.
	Resolve(ctx context.Context, registry, repository, tag string) (Descriptor, error)
}

// ImageReader reads a subject's manifest, index and configurations.
type ImageReader interface {
	// ReadImage returns ErrInvalidContent when the subject cannot be an
	// image, and ErrNotFound when it is gone.
	ReadImage(ctx context.Context, s policy.Subject) (policy.Image, error)
}

// Signed is everything signed that was found for a subject.
type Signed struct {
	Signatures   []policy.Signature
	Attestations []policy.Attestation
}

// SignatureCollector finds the signatures and attestations of a subject, in
// every form, and verifies each against every authority.
type SignatureCollector interface {
	CollectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (Signed, error)
}

// Scanner looks inside one platform's layers.
type Scanner interface {
	// Scan catalogues the platform's packages and matches them against the
	// vulnerability database. When only the matching was impossible the
	// Scan has no Database, and the Problem says why; the caller records
	// both.
	Scan(ctx context.Context, s policy.Subject, p policy.Platform) (*policy.Scan, *policy.Problem, error)
}

// Promoter writes to golden registries.
type Promoter interface {
	// Copy brings the subject, its children and everything that refers to
	// it to the golden repository and reads it back. It writes no tag of
	// the promotion. It is safe to repeat.
	Copy(ctx context.Context, s policy.Subject, to policy.Promotion) error
	// Tag points one tag of the golden repository at the subject.
	Tag(ctx context.Context, s policy.Subject, to policy.Promotion, tag string) error
}
