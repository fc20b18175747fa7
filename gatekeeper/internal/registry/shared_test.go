package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

func TestMain(m *testing.M) {
	// Connections that are kept open are not left behind by anybody.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run")) // Distribution leaves it behind
}

// held is a registry that answers once everybody has asked.
type held struct {
	*liar
	gets    atomic.Int64
	asked   chan struct{} // closed by the first request
	release chan struct{}
}

func newHeld(t *testing.T, path, contentType string, body []byte) *held {
	t.Helper()
	h := &held{liar: newLiar(t), asked: make(chan struct{}), release: make(chan struct{})}
	h.on("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		if h.gets.Add(1) == 1 {
			close(h.asked)
		}
		select {
		case <-h.release:
		case <-r.Context().Done():
			return
		}
		answer(200, contentType, body)(w, r)
	})
	return h
}

// Evidence and copy read each object once, also at the same time, and one that
// gives up does not take it from the others.
func TestObjectsAreReadOnce(t *testing.T) {
	t.Parallel()
	manifest, small := imageManifest(), []byte("a signature's payload")
	read := func(r io.ReadCloser, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		return data, errors.Join(err, r.Close())
	}
	blob := gatekeeper.Descriptor{Digest: digestOf(small), Size: int64(len(small))}
	for name, tt := range map[string]struct {
		path, contentType string
		body              []byte
		do                func(ctx context.Context, r *registry.Registries, copying bool) ([]byte, error)
	}{
		"a manifest": {"/v2/app/manifests/" + digestOf(manifest), manifestType, manifest, func(ctx context.Context, r *registry.Registries, _ bool) ([]byte, error) {
			c, err := r.Manifest(ctx, app, digestOf(manifest))
			return c.Body, err
		}},
		"a blob": {"/v2/app/blobs/" + blob.Digest, "application/octet-stream", small, func(ctx context.Context, r *registry.Registries, copying bool) ([]byte, error) {
			if copying {
				return read(r.OpenBlob(ctx, app, blob))
			}
			return r.Blob(ctx, app, blob, 1000)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHeld(t, tt.path, tt.contentType, tt.body)
			r, _ := client(t, h.URL, nil)
			// The first one begins the fetch, and gives up.
			impatient, giveUp := context.WithCancel(t.Context())
			gone := make(chan error, 1)
			go func() {
				_, err := tt.do(impatient, r, false)
				gone <- err
			}()
			<-h.asked
			var others sync.WaitGroup
			for n := range 20 {
				others.Go(func() {
					if got, err := tt.do(t.Context(), r, n%2 == 1); err != nil || !bytes.Equal(got, tt.body) {
						t.Errorf("%q, %v", got, err)
					}
				})
			}
			for registry.Waiting(r) < 21 {
				runtime.Gosched()
			}
			giveUp()
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("the one who gave up: %v", err)
			}
			close(h.release)
			others.Wait()
			if got, err := tt.do(t.Context(), r, true); err != nil || !bytes.Equal(got, tt.body) {
				t.Errorf("later: %q, %v", got, err)
			}
			if n := h.gets.Load(); n != 1 {
				t.Errorf("asked for %d times", n)
			}
		})
	}
}

// When everybody has given up the request ends, and the next one asks anew.
func TestAFetchThatNobodyWaitsForEnds(t *testing.T) {
	t.Parallel()
	body := imageManifest()
	h := newHeld(t, "/v2/app/manifests/"+digestOf(body), manifestType, body)
	r, _ := client(t, h.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := r.Manifest(ctx, app, digestOf(body))
		gone <- err
	}()
	<-h.asked
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(h.release)
	if _, err := r.Manifest(t.Context(), app, digestOf(body)); err != nil {
		t.Error(err)
	}
	if n := h.gets.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// A failure is told to everybody who waits, and not remembered.
func TestAFailureIsNotRemembered(t *testing.T) {
	t.Parallel()
	body := imageManifest()
	l := newLiar(t)
	var n atomic.Int64
	l.on("GET /v2/app/manifests/"+digestOf(body), func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= 3 { // it is asked three times
			answer(503, "text/plain", nil)(w, r)
			return
		}
		answer(200, manifestType, body)(w, r)
	})
	r, _ := client(t, l.URL, nil)
	if _, err := r.Manifest(t.Context(), app, digestOf(body)); err == nil {
		t.Error("no error")
	}
	if _, err := r.Manifest(t.Context(), app, digestOf(body)); err != nil {
		t.Error(err)
	}
}
