package signature

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

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

// judge has an item verified. The verifier has no network: what it needs to
// know about revocations is looked up here, once, and the item judged again.
func (j *job) judge(ctx context.Context, item verify.Item) (verify.Answer, error) {
	answer, err := j.Verifier.Verify(ctx, j.trust, item)
	if err != nil || len(answer.Lookups) == 0 {
		return answer, err
	}
	known, unknown, err := j.lookUp(ctx, answer.Lookups)
	if err != nil {
		return verify.Answer{}, fmt.Errorf("look up revocations: %w", err)
	}
	// One that is revoked decides, whatever is not known about others.
	item.Revoked = known
	answer, err = j.Verifier.Verify(ctx, j.trust, item)
	switch {
	case err != nil || len(answer.Lookups) == 0:
		return answer, err
	case unknown != nil:
		return verify.Answer{}, fmt.Errorf("could not decide: %w", unknown)
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
