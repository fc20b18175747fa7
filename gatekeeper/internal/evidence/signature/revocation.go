package signature

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// Revocation knows which certificates their issuers withdrew.
type Revocation interface {
	// Revoked says whether the issuer has revoked the certificate. An error
	// means that it is not known, and says whom to ask.
	Revoked(ctx context.Context, certificate, issuer *x509.Certificate) (bool, error)
}

// lookupTime bounds all lookups for one piece of evidence together.
const lookupTime = 45 * time.Second

// undecidedError says that what is not known about revocations decides about
// a piece of evidence.
type undecidedError struct{ cause error }

// Error says whom nobody could ask.
func (e *undecidedError) Error() string { return "could not decide: " + e.cause.Error() }

// Unwrap returns the causes.
func (e *undecidedError) Unwrap() error { return e.cause }

// judge has a layer verified. The verifier has no network: what it needs to
// know about revocations is looked up here, once, while no memory is held, and
// the layer judged again.
func (j *job) judge(ctx context.Context, d ocispec.Descriptor, limit int64) (verify.Answer, error) {
	answer, err := j.verified(ctx, d, limit, nil)
	if err != nil || len(answer.Lookups) == 0 {
		return answer, err
	}
	known, unknown, err := j.lookUp(ctx, answer.Lookups)
	if err != nil {
		return verify.Answer{}, fmt.Errorf("look up revocations: %w", err)
	}
	// One that is revoked decides, whatever is not known about others.
	answer, err = j.verified(ctx, d, limit, known)
	switch {
	case err != nil || len(answer.Lookups) == 0:
		return answer, err
	case unknown != nil:
		return verify.Answer{}, &undecidedError{unknown}
	}
	return verify.Answer{}, errors.New("could not decide: the verifier asks for revocations again")
}

// lookUp asks about certificates of which each leads to one of the policies'
// own. What is not known is the second result; the error is for lookups that
// nobody should have asked for.
func (j *job) lookUp(ctx context.Context, lookups []verify.Lookup) (known map[string]bool, unknown, err error) {
	if len(lookups) > verify.MaxLookups {
		return nil, nil, fmt.Errorf("%d certificates; at most %d are looked up", len(lookups), verify.MaxLookups)
	}
	if j.Revocation == nil {
		return nil, errors.New("nobody can be asked whether the certificates are revoked"), nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	questions := make([][2]*x509.Certificate, len(lookups))
	for i, l := range lookups {
		if questions[i][0], questions[i][1], err = j.trust.Vouched(l); err != nil {
			return nil, nil, err
		}
	}
	var (
		group errgroup.Group
		mu    sync.Mutex
	)
	group.SetLimit(concurrency)
	known = map[string]bool{}
	for _, q := range questions {
		group.Go(func() error {
			revoked, err := j.Revocation.Revoked(ctx, q[0], q[1])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unknown = errors.Join(unknown, err)
				return nil
			}
			known[verify.Fingerprint(q[0].Raw)] = revoked
			return nil
		})
	}
	err = group.Wait()
	return known, unknown, err
}
