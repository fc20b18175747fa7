package app

import (
	"context"
	"fmt"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// retryKey is how long a failure to load a key counts, so that a service that
// is down is asked once for all that wait for it.
const retryKey = 10 * time.Second

// lateAttester loads its key when it is first needed, and again after a
// failure. Until then nothing is attested, and so nothing is promoted. It
// implements gatekeeper.Attester and is safe for concurrent use.
type lateAttester struct {
	key  string // for errors
	load func(ctx context.Context) (gatekeeper.Attester, error)
	now  func() time.Time
	turn chan struct{} // holds one element while somebody uses what follows

	attester gatekeeper.Attester // nil: not loaded
	failed   error               // why, at the last attempt
	retry    time.Time           // when there may be another
}

// Attest implements gatekeeper.Attester.
func (l *lateAttester) Attest(ctx context.Context, d gatekeeper.Decision, r policy.Result) error {
	attester, err := l.loaded(ctx)
	if err != nil {
		return err
	}
	return attester.Attest(ctx, d, r)
}

// ready says whether the key can be used.
func (l *lateAttester) ready(ctx context.Context) error {
	_, err := l.loaded(ctx)
	return err
}

func (l *lateAttester) loaded(ctx context.Context) (gatekeeper.Attester, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the signing key %s: %w", l.key, context.Cause(ctx))
	}
	if l.attester != nil {
		return l.attester, nil
	}
	if l.failed != nil && l.now().Before(l.retry) {
		return nil, l.failed
	}
	attester, err := l.load(ctx)
	if err != nil {
		err = fmt.Errorf("the signing key cannot be used: %w; see that its key management service is up and lets the gatekeeper read the key and sign", err)
		if ctx.Err() == nil { // else it says nothing about the service
			l.failed, l.retry = err, l.now().Add(retryKey)
		}
		return nil, err
	}
	l.attester, l.failed = attester, nil
	return attester, nil
}
