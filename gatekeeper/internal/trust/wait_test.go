package trust_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// answer is what one of several callers got.
type answer struct {
	content []byte
	err     error
}

func (w *world) asks(ctx context.Context) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		content, err := w.get(ctx)
		done <- answer{content, err}
	}()
	return done
}

// The judgement that happened to be first ends; the others get what was being
// fetched for it.
func TestAFetchOutlastsWhoBeganIt(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	arrived, letGo := r.holds()
	ctx, cancel := context.WithCancel(t.Context())
	began := w.asks(ctx)
	<-arrived
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := w.get(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for another's fetch does not hear his own end: %v", err)
	}
	cancel()
	if got := <-began; !errors.Is(got.err, context.Canceled) {
		t.Errorf("who began does not hear his own end: %v", got.err)
	}
	waits := w.asks(t.Context())
	letGo()
	if got := <-waits; got.err != nil || !bytes.Equal(got.content, content(t, 0)) {
		t.Errorf("%d bytes, %v", len(got.content), got.err)
	}
	want(t, w, content(t, 0))
}

// While the answer is fetched anew, the last one is taken as long as it counts,
// and waited for afterwards.
func TestAFetchIsSharedByThoseThatNeedIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		idle  time.Duration
		waits bool
	}{
		"the last answer counts":           {13 * time.Hour, false},
		"the last answer counts no longer": {8 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			r.publish(map[string][]byte{target: content(t, 0)})
			w := r.world()
			want(t, w, content(t, 0))
			r.publish(map[string][]byte{target: content(t, 1)})
			w.now = w.now.Add(tt.idle)
			arrived, letGo := r.holds()
			began := w.asks(t.Context())
			<-arrived
			second := content(t, 0)
			if tt.waits {
				second = content(t, 1)
				letGo()
			}
			want(t, w, second)
			letGo()
			if got := <-began; got.err != nil || !bytes.Equal(got.content, content(t, 1)) {
				t.Errorf("%d bytes, %v", len(got.content), got.err)
			}
		})
	}
}
