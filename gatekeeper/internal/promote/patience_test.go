package promote_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
)

// hanging waits for its context as long as it is told to, and counts.
type hanging struct {
	summary.Signer

	silent atomic.Bool
	asked  atomic.Int32
	first  func() // called when it is asked
}

func (h *hanging) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	h.asked.Add(1)
	h.first()
	if !h.silent.Load() {
		return h.Signer.Sign(ctx, statement)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestASignerThatHangsIsNotWaitedForByEverybody(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	var clock atomic.Int64
	s := signing(t)
	h := &hanging{Signer: s.Signer, first: func() {}}
	h.silent.Store(true)
	s.Signer, s.Limit = h, 20*time.Millisecond
	attester := promote.NewAttester(promote.New(b.registries, func() time.Time { return time.Unix(clock.Load(), 0) }), s)
	img := image(t, 1)
	b.push(t, ":v1", img)
	of := digest(t, img)
	if err := b.promoter.Copy(t.Context(), subject(of), to("v1")); err != nil {
		t.Fatal(err)
	}
	d, r := decided(of, to("v1"))
	attest := func() error { return attester.Attest(t.Context(), d, r) }
	if err := attest(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no signature within 20ms") {
		t.Fatalf("while the signer hangs: %v", err)
	}
	h.silent.Store(false)
	if err := attest(); err == nil || !strings.Contains(err.Error(), "tried just now") || h.asked.Load() != 1 {
		t.Errorf("right after: %v, asked %d times", err, h.asked.Load())
	}
	clock.Add(15)
	if err := attest(); err != nil {
		t.Errorf("later: %v", err)
	}

	// Whoever is interrupted says nothing about the signer.
	d, r = decided(of, to("v2"))
	h.silent.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	h.first = cancel
	if err := attester.Attest(ctx, d, r); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	h.silent.Store(false)
	if err := attest(); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// A summary that an audit would refuse is not written, at each attempt anew.
func TestASummaryOfSomebodyElseIsNotWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.WithReferrers(t))
	s := signing(t)
	s.Signer = signing(t).Signer
	attester := promote.NewAttester(b.promoter, s)
	img := image(t, 1)
	b.push(t, ":v1", img)
	of := digest(t, img)
	if err := b.promoter.Copy(t.Context(), subject(of), to("v1")); err != nil {
		t.Fatal(err)
	}
	d, r := decided(of, to("v1"))
	for range 2 {
		if err := attester.Attest(t.Context(), d, r); !errors.Is(err, summary.ErrUnknownSigner) {
			t.Errorf("attest: %v", err)
		}
	}
	if found := b.find(t, goldenRepo(), of, s.Trust); len(found) != 0 {
		t.Errorf("written: %+v", found)
	}
}
