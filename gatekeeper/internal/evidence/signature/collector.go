// Package signature finds what is signed about a subject, in every form that
// clients leave in registries, and has it verified against the authorities
// that policies name. It reports facts; what they mean is the policy's
// business.
//
// Every read is bounded, and made once. Trouble with one piece of evidence is
// a result about that piece; a registry that fails, a limit on how many there
// are and a verification that crashes are errors: then what was found stands,
// and the rest is not known.
package signature

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
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

// Verifier judges one piece of evidence. An error is no judgement.
type Verifier interface {
	Verify(ctx context.Context, trust verify.Trust, item verify.Item) (verify.Answer, error)
}

// TrustRoots knows the trust roots of the configuration.
type TrustRoots interface {
	// TrustRoot returns the one of a name, as it is now.
	TrustRoot(ctx context.Context, name string) (verify.TrustRoot, error)
}

// Limits bound what is read about one subject. A zero value means the default.
type Limits struct {
	Entries     int   // entries under one tag, and referrers; 100
	Payload     int64 // bytes of one signature's payload; 1 MiB
	Attestation int64 // bytes of one attestation or bundle; 16 MiB
	Predicates  int64 // bytes of all predicates that are kept; 32 MiB
}

// Deps is what a Collector works with. Every field but Revocation and Limits
// is required.
type Deps struct {
	Source     Source
	Verifier   Verifier
	TrustRoots TrustRoots
	// Revocation is asked about certificates that name a place to ask. Without
	// it, signatures with them cannot be decided.
	Revocation Revocation
	Now        func() time.Time
	Limits     Limits
}

// Collector implements gatekeeper.SignatureCollector.
type Collector struct {
	Deps

	// memory bounds the bytes of evidence that are held at a time, of all
	// subjects together.
	memory *semaphore.Weighted
}

// maxHeld is how many bytes of evidence are held at a time.
const maxHeld = 32 << 20

// New returns a collector.
func New(d Deps) *Collector {
	d.Limits.Entries = cmp.Or(d.Limits.Entries, 100)
	d.Limits.Payload = cmp.Or(d.Limits.Payload, 1<<20)
	d.Limits.Attestation = min(cmp.Or(d.Limits.Attestation, 16<<20), maxHeld)
	d.Limits.Predicates = cmp.Or(d.Limits.Predicates, 32<<20)
	return &Collector{Deps: d, memory: semaphore.NewWeighted(maxHeld)}
}

// concurrency is how many reads about one subject are under way at a time.
const concurrency = 4

// CollectSigned finds the signatures and attestations of a subject and has
// each verified against every authority. With an error, what was found is
// returned too; what else there is is not known.
func (c *Collector) CollectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (gatekeeper.Signed, error) {
	j := &job{
		Collector: c, repo: registry.Repository{Registry: s.Registry, Name: s.Repository},
		subject: gatekeeper.Descriptor{Digest: s.Digest}, authorities: authorities,
	}
	if err := j.prepare(ctx); err != nil {
		return gatekeeper.Signed{}, fmt.Errorf("prepare to verify signatures of %s@%s: %w", s.Repository, s.Digest, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, suffix := range []string{suffixSignature, suffixAttestation} {
		group.Go(func() error { return j.tag(groupCtx, suffix) })
	}
	group.Go(func() error { return j.referrers(groupCtx) })
	err := group.Wait()
	if err := errors.Join(err, errors.Join(j.exceeded...)); err != nil {
		return j.sorted(), fmt.Errorf("collect signatures of %s@%s: %w", s.Repository, s.Digest, err)
	}
	return j.sorted(), nil
}

// job is the collection for one subject.
type job struct {
	*Collector

	repo    registry.Repository
	subject gatekeeper.Descriptor
	trust   verify.Trust
	// authorities are those of the policies that ask.
	authorities []policy.Authority

	mu         sync.Mutex
	found      gatekeeper.Signed
	predicates int64
	exceeded   []error // limits behind which something may be left
}

// prepare turns the authorities into what the verifier needs.
func (j *job) prepare(ctx context.Context) error {
	roots := map[string]bool{} // name to whether its certificates count
	for _, a := range j.authorities {
		switch {
		case a.Keyless != nil:
			roots[a.TrustRoot] = true
		case a.Notary != nil:
			j.trust.Notaries = append(j.trust.Notaries, verify.Notary{ID: a.ID, Notary: *a.Notary})
		default:
			j.trust.Keys = append(j.trust.Keys, verify.Key{ID: a.ID, PublicKey: a.PublicKey, TrustRoot: a.TrustRoot})
			if _, asked := roots[a.TrustRoot]; a.TrustRoot != "" && !asked {
				roots[a.TrustRoot] = false
			}
		}
	}
	for name, keyless := range roots {
		r, err := j.TrustRoots.TrustRoot(ctx, name)
		if err != nil {
			return fmt.Errorf("trust root %s: %w", name, err)
		}
		r.Keyless = keyless
		j.trust.TrustRoots = append(j.trust.TrustRoots, r)
	}
	slices.SortFunc(j.trust.TrustRoots, func(a, b verify.TrustRoot) int { return cmp.Compare(a.Name, b.Name) })
	if len(j.trust.Notaries) == 0 {
		return nil
	}
	// The Notary Project signs the whole descriptor. The manifest is read for
	// other evidence too, once.
	content, err := j.Source.Manifest(ctx, j.repo, j.subject.Digest)
	if err == nil {
		j.subject = content.Descriptor
	}
	return err
}

// exceeds records that a limit hides something.
func (j *job) exceeds(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.exceeded = append(j.exceeded, fmt.Errorf(format, args...))
}

// file adds what an answer says.
func (j *job) file(form, manifest, digest string, a verify.Answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !a.Attestation {
		j.found.Signatures = append(j.found.Signatures, policy.Signature{
			Form: form, Manifest: manifest, Digest: digest, Result: a.Result, VerifiedBy: a.VerifiedBy, Identities: a.Identities, Reason: a.Reason,
			Certificate: a.Certificate,
		})
		return
	}
	if !j.known(a) {
		a.Predicate = nil // a stranger's words are nobody's evidence, and would only take room
	}
	if j.predicates += int64(len(a.Predicate)); j.predicates > j.Limits.Predicates {
		j.exceeded = append(j.exceeded, fmt.Errorf("the attestations have more than %d bytes together; no more are kept", j.Limits.Predicates))
		return
	}
	j.found.Attestations = append(j.found.Attestations, policy.Attestation{
		Form: form, Manifest: manifest, Digest: digest, Result: a.Result, VerifiedBy: a.VerifiedBy, Identities: a.Identities, Reason: a.Reason,
		PredicateType: a.PredicateType, Predicate: a.Predicate,
	})
}

// known says whether one of the authorities stands behind an answer.
func (j *job) known(a verify.Answer) bool {
	return len(a.VerifiedBy) > 0 || slices.ContainsFunc(a.Identities, func(id policy.Identity) bool {
		return slices.ContainsFunc(j.authorities, func(who policy.Authority) bool { return who.Matches(id) })
	})
}

// sorted makes the result independent of which answer came first.
func (j *job) sorted() gatekeeper.Signed {
	slices.SortFunc(j.found.Signatures, func(a, b policy.Signature) int {
		return cmp.Or(cmp.Compare(a.Form, b.Form), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(a.Result, b.Result), cmp.Compare(a.Reason, b.Reason), slices.Compare(a.VerifiedBy, b.VerifiedBy))
	})
	slices.SortFunc(j.found.Attestations, func(a, b policy.Attestation) int {
		return cmp.Or(cmp.Compare(a.Form, b.Form), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(a.PredicateType, b.PredicateType), cmp.Compare(a.Result, b.Result), cmp.Compare(string(a.Predicate), string(b.Predicate)))
	})
	return j.found
}

// absent says whether an error means that there is nothing.
func absent(err error) bool { return errors.Is(err, gatekeeper.ErrNotFound) }

// unreadable says whether what was found can never be read as evidence.
func unreadable(err error) bool { return errors.Is(err, gatekeeper.ErrInvalidContent) }
