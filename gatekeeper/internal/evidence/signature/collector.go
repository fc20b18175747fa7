// Package signature finds what is signed about a subject, in every form that
// cosign leaves in registries, and verifies it against the keys that policies
// name. It reports facts; what they mean is the policy's business.
//
// The reads are bounded and hashed; sigstore-go decides about bundles. cosign's
// own verification is not used: it can crash on what a registry serves and
// reads without limits.
package signature

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Source reads from a registry.
type Source interface {
	Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error)
	ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error)
	Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error)
	Referrers(ctx context.Context, r registry.Repository, digest string) ([]registry.Referrer, error)
}

// Limits bound what is read about one subject. A zero value means the default.
type Limits struct {
	Entries     int   // signatures and attestations of each form; 100
	Payload     int64 // bytes of one signature's payload; 1 MiB
	Attestation int64 // bytes of one attestation or bundle; 16 MiB
}

// Collector implements gatekeeper.SignatureCollector.
type Collector struct {
	source Source
	limits Limits
}

// New returns a collector.
func New(source Source, limits Limits) *Collector {
	limits.Entries = cmp.Or(limits.Entries, 100)
	limits.Payload = cmp.Or(limits.Payload, 1<<20)
	limits.Attestation = cmp.Or(limits.Attestation, 16<<20)
	return &Collector{source: source, limits: limits}
}

// concurrency is how many reads about one subject are under way at a time.
const concurrency = 4

// CollectSigned finds the signatures and attestations of a subject and
// verifies each against every authority. An error means that the registry did
// not answer or that a limit was exceeded: then nothing is known.
func (c *Collector) CollectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (gatekeeper.Signed, error) {
	keys, err := loadKeys(authorities)
	if err != nil {
		return gatekeeper.Signed{}, err
	}
	j := &job{Collector: c, repo: registry.Repository{Registry: s.Registry, Name: s.Repository}, digest: s.Digest, keys: keys}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	group.Go(func() error { return j.signatureTag(ctx) })
	group.Go(func() error { return j.attestationTag(ctx) })
	group.Go(func() error { return j.referrers(ctx) })
	if err := group.Wait(); err != nil {
		return gatekeeper.Signed{}, fmt.Errorf("collect signatures of %s@%s: %w", s.Repository, s.Digest, err)
	}
	return j.sorted(), nil
}

// job is the collection for one subject.
type job struct {
	*Collector
	repo   registry.Repository
	digest string
	keys   []key

	mu    sync.Mutex
	found gatekeeper.Signed
}

func (j *job) addSignature(s policy.Signature) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.found.Signatures = append(j.found.Signatures, s)
}

func (j *job) addAttestation(a policy.Attestation) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.found.Attestations = append(j.found.Attestations, a)
}

// sorted makes the result independent of which answer came first.
func (j *job) sorted() gatekeeper.Signed {
	slices.SortFunc(j.found.Signatures, func(a, b policy.Signature) int {
		return cmp.Or(cmp.Compare(a.Form, b.Form), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Result, b.Result),
			cmp.Compare(a.Reason, b.Reason), slices.Compare(a.VerifiedBy, b.VerifiedBy))
	})
	slices.SortFunc(j.found.Attestations, func(a, b policy.Attestation) int {
		return cmp.Or(cmp.Compare(a.Form, b.Form), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.PredicateType, b.PredicateType),
			cmp.Compare(a.Result, b.Result), cmp.Compare(string(a.Predicate), string(b.Predicate)))
	})
	return j.found
}

// judgement is the outcome of looking at one piece of evidence.
type judgement struct {
	result policy.Verification
	by     []string // key IDs
	reason string
}

func malformed(format string, args ...any) judgement {
	return judgement{result: policy.Malformed, reason: clean(fmt.Sprintf(format, args...))}
}

func invalid(format string, args ...any) judgement {
	return judgement{result: policy.Invalid, reason: clean(fmt.Sprintf(format, args...))}
}

// signedBy judges evidence that is sound but for the question whose it is.
func signedBy(ids []string) judgement {
	if len(ids) == 0 {
		return judgement{result: policy.UnknownSigner, reason: "none of the policies' keys verifies it"}
	}
	slices.Sort(ids)
	return judgement{result: policy.Verified, by: slices.Compact(ids)}
}

// contained runs a verification so that a crash in it ends as an error about
// this subject: it is not known whether the evidence is good, so nothing is
// let through, and the process lives.
func contained(verify func() judgement) (out judgement, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the verification crashed: %v", r)
		}
	}()
	return verify(), nil
}

// limitError says which limit was exceeded: what lies behind it is not known.
type limitError struct {
	what     string
	n, limit int
}

// Error names the limit.
func (e *limitError) Error() string {
	return fmt.Sprintf("%d %s; at most %d are judged", e.n, e.what, e.limit)
}

// unreadable says whether what was found can never be read as evidence.
func unreadable(err error) bool { return errors.Is(err, gatekeeper.ErrInvalidContent) }

// absent says whether an error means that there is nothing.
func absent(err error) bool { return errors.Is(err, gatekeeper.ErrNotFound) }
