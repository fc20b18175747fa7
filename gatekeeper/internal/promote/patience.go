package promote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
)

// signTime is how long one signature may take, with all the services that have
// a part in it; it is made while other promotions to the same repository wait.
const signTime = 30 * time.Second

// respite is how long nothing is signed after a signature took too long.
const respite = 15 * time.Second

// patience bounds how long a signer is waited for. Whoever comes after one that
// waited in vain is turned away at once for a while: each waiting in turn, the
// promotions to one repository would take up every worker.
type patience struct {
	signer summary.Signer
	limit  time.Duration
	now    func() time.Time

	mu    sync.Mutex
	until time.Time // nothing is signed before
	last  error     // why
}

// Sign implements summary.Signer.
func (p *patience) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	if err := p.tried(); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	bundle, err := p.signer.Sign(bounded, statement)
	if err == nil || !errors.Is(bounded.Err(), context.DeadlineExceeded) || ctx.Err() != nil {
		return bundle, err
	}
	err = fmt.Errorf("no signature within %s: %w", p.limit, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.last = p.now().Add(respite), err
	return nil, err
}

func (p *patience) tried() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Before(p.until) {
		return fmt.Errorf("tried just now for another image: %w", p.last)
	}
	return nil
}
