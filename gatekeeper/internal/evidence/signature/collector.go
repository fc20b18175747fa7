// Package signature finds what is signed about a subject, in every form that
// clients leave in registries, and has it verified against the authorities
// that policies name. It reports facts; what they mean is the policy's
// business.
//
// Every read is bounded, and the digest decides what counts, so that a second
// read gives the same. Trouble with one piece of evidence is a result about
// that piece; a registry that fails, a limit on how many there are and a
// verification that crashes are errors: then what was found stands, and the
// rest is not known.
package signature

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
	Entries     int   // entries under one tag, referrers, and layers of all referrers together; 100
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

	// large and small bound the bytes of evidence that are held at a time, of
	// all subjects together. Small items have a share of their own: they never
	// wait for large ones.
	large, small *semaphore.Weighted
}

// How many bytes of evidence are held at a time: of items from smallItem on,
// and of those below.
const (
	maxHeld      = 32 << 20
	maxSmallHeld = 8 << 20
	smallItem    = 1 << 20
)

// New returns a collector.
func New(d Deps) *Collector {
	d.Limits.Entries = cmp.Or(d.Limits.Entries, 100)
	d.Limits.Payload = cmp.Or(d.Limits.Payload, 1<<20)
	d.Limits.Attestation = min(cmp.Or(d.Limits.Attestation, 16<<20), maxHeld)
	d.Limits.Predicates = cmp.Or(d.Limits.Predicates, 32<<20)
	return &Collector{Deps: d, large: semaphore.NewWeighted(maxHeld), small: semaphore.NewWeighted(maxSmallHeld)}
}

// concurrency is how many reads about one subject are under way at a time.
const concurrency = 4

// CollectSigned finds the signatures and attestations of a subject and has
// each verified against every authority. With an error, what was found is
// returned too; what else there is is not known.
func (c *Collector) CollectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (gatekeeper.Signed, error) {
	return c.collect(ctx, s, authorities, false)
}

// CollectAttestations is CollectSigned without the image signatures, which are
// not asked for where that can be told before.
func (c *Collector) CollectAttestations(ctx context.Context, s policy.Subject, authorities []policy.Authority) ([]policy.Attestation, error) {
	// The Notary Project signs images, and attests nothing.
	authorities = slices.DeleteFunc(slices.Clone(authorities), func(a policy.Authority) bool { return a.Notary != nil })
	found, err := c.collect(ctx, s, authorities, true)
	return found.Attestations, err
}

func (c *Collector) collect(ctx context.Context, s policy.Subject, authorities []policy.Authority, attestationsOnly bool) (gatekeeper.Signed, error) {
	j := &job{
		Collector: c, repo: registry.Repository{Registry: s.Registry, Name: s.Repository},
		subject: gatekeeper.Descriptor{Digest: s.Digest}, authorities: authorities, attestationsOnly: attestationsOnly,
	}
	if err := j.prepare(ctx); err != nil {
		return gatekeeper.Signed{}, fmt.Errorf("prepare to verify signatures of %s@%s: %w", s.Repository, s.Digest, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	if !attestationsOnly {
		group.Go(func() error { return j.tag(groupCtx, suffixSignature) })
	}
	group.Go(func() error { return j.tag(groupCtx, suffixAttestation) })
	group.Go(func() error { return j.referrers(groupCtx) })
	err := group.Wait()
	slices.SortFunc(j.unknown, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	if err := errors.Join(err, errors.Join(j.unknown...)); err != nil {
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
	// attestationsOnly leaves out image signatures.
	attestationsOnly bool

	mu         sync.Mutex
	found      gatekeeper.Signed
	predicates int64
	unknown    []error // what hides something: limits, trust roots and revocations that are not known
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
	if err := j.prepareRoots(ctx, roots); err != nil {
		return err
	}
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

// prepareRoots adds the trust roots. One that cannot be had is left out, with
// the keys that need it: what others vouch for counts all the same, and what
// nobody else does is not known.
func (j *job) prepareRoots(ctx context.Context, roots map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(roots)) {
		r, err := j.TrustRoots.TrustRoot(ctx, name)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("trust root %s: %w", name, ctx.Err())
		case err != nil:
			j.hides("trust root %s: %w", name, err)
			j.trust.Keys = slices.DeleteFunc(j.trust.Keys, func(k verify.Key) bool { return k.TrustRoot == name })
			continue
		}
		r.Keyless = roots[name]
		j.trust.TrustRoots = append(j.trust.TrustRoots, r)
	}
	return nil
}

// hides records why there may be more than was found.
func (j *job) hides(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unknown = append(j.unknown, fmt.Errorf(format, args...))
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
		j.unknown = append(j.unknown, fmt.Errorf("the attestations have more than %d bytes together; no more are kept", j.Limits.Predicates))
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
			cmp.Compare(a.Result, b.Result), cmp.Compare(a.Reason, b.Reason), slices.Compare(a.VerifiedBy, b.VerifiedBy),
			slices.CompareFunc(a.Identities, b.Identities, compareIdentities))
	})
	slices.SortFunc(j.found.Attestations, func(a, b policy.Attestation) int {
		return cmp.Or(cmp.Compare(a.Form, b.Form), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(a.PredicateType, b.PredicateType), cmp.Compare(a.Result, b.Result), bytes.Compare(a.Predicate, b.Predicate),
			cmp.Compare(a.Reason, b.Reason), slices.Compare(a.VerifiedBy, b.VerifiedBy),
			slices.CompareFunc(a.Identities, b.Identities, compareIdentities))
	})
	return j.found
}

func compareIdentities(a, b policy.Identity) int {
	return cmp.Or(cmp.Compare(a.TrustRoot, b.TrustRoot), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject),
		cmp.Compare(fmt.Sprint(a.Claims), fmt.Sprint(b.Claims))) // maps are printed in the order of their keys
}

// absent says whether an error means that there is nothing.
func absent(err error) bool { return errors.Is(err, gatekeeper.ErrNotFound) }

// unreadable says whether what was found can never be read as evidence.
func unreadable(err error) bool { return errors.Is(err, gatekeeper.ErrInvalidContent) }
