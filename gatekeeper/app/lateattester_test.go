package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

type attests struct{ n int }

func (a *attests) Attest(context.Context, gatekeeper.Decision, policy.Result) error {
	a.n++
	return nil
}

// A key management service that is down fails promotions, with the reason, and
// is asked again only after a while.
func TestAKeyIsLoadedAsSoonAsItsServiceIsUp(t *testing.T) {
	t.Parallel()
	now, asked, down, inner := time.Unix(0, 0), 0, errors.New("connection refused"), &attests{}
	l := &lateAttester{key: "hashivault://golden", now: func() time.Time { return now }, turn: make(chan struct{}, 1), load: func(context.Context) (gatekeeper.Attester, error) {
		asked++
		return inner, down
	}}
	attest := func() error { return l.Attest(t.Context(), gatekeeper.Decision{}, policy.Result{}) }
	for range 3 {
		if err := attest(); !errors.Is(err, down) || !strings.Contains(err.Error(), "signing key") {
			t.Errorf("%v", err)
		}
	}
	if err := l.ready(t.Context()); !errors.Is(err, down) || asked != 1 || inner.n != 0 {
		t.Errorf("%v after %d questions, %d attested", err, asked, inner.n)
	}
	now, down = now.Add(retryKey), nil
	for range 3 {
		if err := attest(); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 || inner.n != 3 {
		t.Errorf("%d questions, %d attested", asked, inner.n)
	}
}

// Somebody who gives up is no outage for the others.
func TestACancelledAttemptIsForgotten(t *testing.T) {
	t.Parallel()
	inner := &attests{}
	l := &lateAttester{now: func() time.Time { return time.Unix(0, 0) }, turn: make(chan struct{}, 1), load: func(ctx context.Context) (gatekeeper.Attester, error) {
		return inner, ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := l.ready(t.Context()); err != nil {
		t.Error(err)
	}
}
