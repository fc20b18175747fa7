package gatekeeper

import (
	"context"
	"errors"
	"time"

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

// ConflictError says that an immutable golden tag holds another digest.
type ConflictError struct {
	Reference string // registry/repository:tag of the golden tag
	Have      string // the digest it holds
	Want      string // the digest that was to be promoted
}

// Error names the tag and both digests.
func (e *ConflictError) Error() string {
	return e.Reference + " is immutable and holds " + e.Have + ", not " + e.Want
}

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

// TrustRoots tells what the trust roots of the configuration hold.
type TrustRoots interface {
	// Fingerprint names what a trust root holds now, as it would be believed.
	Fingerprint(ctx context.Context, name string) (string, error)
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
	// CollectAttestations finds the attestations alone, with fewer requests.
	CollectAttestations(ctx context.Context, s policy.Subject, authorities []policy.Authority) ([]policy.Attestation, error)
}

// Scanner looks inside one platform's layers, or at an SBOM that stands in for
// them.
type Scanner interface {
	// Scan catalogues the platform's packages and matches them against the
	// vulnerability database. When only the matching was impossible the
	// Scan has no Database, and the Problem says why; the caller records
	// both.
	Scan(ctx context.Context, s policy.Subject, p policy.Platform) (*policy.Scan, *policy.Problem, error)
	// ScanSBOM matches the packages that an SBOM lists, and answers as Scan
	// does. An SBOM from which the scanner cannot tell every vulnerability
	// that it would find in the packages is an error.
	ScanSBOM(ctx context.Context, s policy.SBOM) (*policy.Scan, *policy.Problem, error)
}

// Ledger is what the gate needs of the journal.
type Ledger interface {
	// Overtaken reports a newer push of the same tag with another digest.
	Overtaken(ctx context.Context, p Push) (by Push, overtaken bool, err error)
	// RecordDecision stores a decision with its evidence, before any effect.
	RecordDecision(ctx context.Context, d Decision) (id int64, err error)
	// RecordGolden completes a decision with what was written.
	RecordGolden(ctx context.Context, decision int64, refs []GoldenReference) error
}

// History is what the gate needs to know of earlier judgements.
type History interface {
	// LastDecision returns ErrNotFound when the push was never judged. The
	// decision comes without its evidence.
	LastDecision(ctx context.Context, push int64) (Decision, error)
	// Golden returns the newest promotion of a golden tag.
	Golden(ctx context.Context, registry, repository, tag string) (GoldenReference, bool, error)
	// Decision returns a decision with its evidence.
	Decision(ctx context.Context, id int64) (Decision, error)
	// SetDigest records what a push's tag was resolved to, once.
	SetDigest(ctx context.Context, push int64, d Descriptor) error
}

// Waker has subjects judged that nobody was told about.
type Waker interface {
	// Wake has a subject judged again because evidence arrived.
	Wake(ctx context.Context, source, repository, digest string) (int, error)
	// Watch has what arrives about the platforms of an index, by their digests,
	// wake the index too.
	Watch(ctx context.Context, s policy.Subject, platforms []string) error
	// Notice has what the tag of a push was found to point to judged, unless
	// a newer push of the tag is known.
	Notice(ctx context.Context, p Push, now Descriptor) error
}

// Turns keep promotions apart that other processes carry out.
type Turns interface {
	// Turn waits until no other process has the key's turn, as long as ctx
	// allows. Nobody asks for a key that this process has.
	Turn(ctx context.Context, key string) (release func(), err error)
}

// SubjectFinder tells what an untagged manifest refers to.
type SubjectFinder interface {
	// SubjectOf returns the digest in the manifest's subject field (OCI
	// image-spec v1.1), or an empty string when it has none.
	SubjectOf(ctx context.Context, registry, repository, digest string) (string, error)
}

// The stages of a judgement that an Observer is told about.
const (
	StageEvidence   = "evidence"   // all of the evidence
	StageImage      = "image"      // manifest, index and configurations
	StageSignatures = "signatures" // signatures and attestations
	StageScan       = "scan"       // all platforms
	StagePolicy     = "policy"     // the evaluation
	StagePromotion  = "promotion"  // copy and tags
)

// Stages lists every stage, for metrics.
func Stages() []string {
	return []string{StageEvidence, StageImage, StageSignatures, StageScan, StagePolicy, StagePromotion}
}

// Observer is told what happened, for metrics and the audit log.
type Observer interface {
	Stage(stage string, took time.Duration)
	Decided(ctx context.Context, d Decision)
}

// Promoter writes to golden registries.
type Promoter interface {
	// Free says whether the tags of the promotion can be given to the
	// subject: a *ConflictError as from Tag when not. It writes nothing.
	Free(ctx context.Context, s policy.Subject, to policy.Promotion) error
	// Copy brings the subject, its children and everything that refers to
	// it to the golden repository and reads it back. It writes no tag of
	// the promotion. It is safe to repeat. A *ConflictError comes before
	// anything is written.
	Copy(ctx context.Context, s policy.Subject, to policy.Promotion) error
	// Tag points one tag of the golden repository at the subject; a
	// *ConflictError when the promotion is immutable, the tag is none of
	// its channels, and it holds another digest.
	Tag(ctx context.Context, s policy.Subject, to policy.Promotion, tag string) error
}

// Attester leaves the gatekeeper's own word in golden repositories.
type Attester interface {
	// Attest writes, signed, that a recorded decision approved a result's
	// promotion: its digest under its tags and channels. It comes after the
	// copy and before the first tag. It is safe to repeat: one decision
	// leaves one statement. A *ConflictError as from Promoter.Tag.
	Attest(ctx context.Context, d Decision, approved policy.Result) error
}
