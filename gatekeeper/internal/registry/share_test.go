package registry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// together asks n times at once and returns how long that took.
func (p piped) together(t *testing.T, n int) time.Duration {
	t.Helper()
	begun := time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := p.ask(t.Context(), "golden"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return time.Since(begun)
}

// The limits are the service's: each replica keeps to its part of them.
func TestReplicasShareTheLimits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		replicas      []int // what is told, one after the other
		most          int   // requests at a time
		least, atMost time.Duration
	}{
		"one":                        {nil, 8, 9 * time.Second, 12 * time.Second}, // 100 requests, of which 8 at once and 10 a second
		"two":                        {[]int{2}, 4, 19 * time.Second, 22 * time.Second},
		"more than requests":         {[]int{20}, 1, 198 * time.Second, 204 * time.Second}, // the last ones may come together
		"one again":                  {[]int{5, 1}, 8, 9 * time.Second, 12 * time.Second},
		"none, which there never is": {[]int{0}, 8, 9 * time.Second, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent, s.Limits.RequestsPerSecond = 8, 10 })
				for _, n := range tt.replicas {
					p.Share(n)
				}
				p.golden.from(reply{delay: 400 * time.Millisecond})
				took := p.together(t, 100)
				if took < tt.least || took > tt.atMost {
					t.Errorf("took %s, want %s to %s", took, tt.least, tt.atMost)
				}
				if p.golden.most > tt.most {
					t.Errorf("%d requests at a time, want at most %d", p.golden.most, tt.most)
				}
			})
		})
	}
}

// Without a rate there is none to share, and requests that are under way when
// the number of replicas changes end as ever.
func TestSharingWhileRequestsAreUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent = 4 })
		p.golden.from(reply{delay: time.Second})
		time.AfterFunc(1500*time.Millisecond, func() { p.Share(2) })
		if took := p.together(t, 40); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("took %s", took)
		}
		p.golden.most = 0
		if took := p.together(t, 4); took != 2*time.Second || p.golden.most != 2 {
			t.Errorf("took %s, %d at a time", took, p.golden.most)
		}
	})
}

// To wait for one's turn is not the registry's slowness.
func TestWaitingForATurnIsNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent = 1 })
		p.golden.from(reply{delay: 50 * time.Second}) // a minute is allowed
		if took := p.together(t, 10); took != 500*time.Second || len(p.health.retries) != 0 {
			t.Errorf("took %s, %v", took, p.health.retries)
		}
	})
}

// Who cannot have a turn in time learns it at once, and why.
func TestATurnThatComesTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent, s.Limits.RequestsPerSecond = 1, 0.1 })
		if err := p.ask(t.Context(), "golden"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := p.ask(ctx, "golden")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "requestsPerSecond") {
			t.Errorf("%v", err)
		}
		if len(p.golden.take()) != 1 || len(p.health.changes) != 0 || len(p.health.retries) != 0 {
			t.Error("it was asked, or blamed")
		}
	})
}
