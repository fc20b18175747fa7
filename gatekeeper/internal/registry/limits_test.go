package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// only makes one limit short enough to wait for, and the others so long that a
// busy machine does not run into them.
func only(limit string, after time.Duration) func(*registry.Settings) {
	return func(s *registry.Settings) {
		for name, field := range map[string]*time.Duration{
			"HeaderTimeout": &s.Limits.HeaderTimeout, "IdleTimeout": &s.Limits.IdleTimeout,
			"ReadTimeout": &s.Limits.ReadTimeout, "ListTimeout": &s.Limits.ListTimeout,
		} {
			if *field = 20 * time.Second; name == limit {
				*field = after
			}
		}
	}
}

// silence answers nothing until the client gives up.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip sends a few bytes every so often, for ever.
func drip(contentType string, n int, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			_, _ = w.Write(bytes.Repeat([]byte(" "), n))
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// Each way of never coming to an end is ended by a limit that the error names.
func TestSlownessHasAnEnd(t *testing.T) {
	t.Parallel()
	sum := digestOf([]byte("x"))
	manifest := func(r *registry.Registries) error { _, err := r.Manifest(t.Context(), app, sum); return err }
	stream := func(r *registry.Registries) error {
		body, err := r.OpenBlob(t.Context(), app, gatekeeper.Descriptor{Digest: sum, Size: 1 << 30})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		return errors.Join(err, body.Close())
	}
	memory := func(r *registry.Registries) error {
		_, err := r.Blob(t.Context(), app, gatekeeper.Descriptor{Digest: sum, Size: 1 << 30}, 1<<30)
		return err
	}
	tags := func(r *registry.Registries) error { _, err := r.Tags(t.Context(), app); return err }
	for _, tt := range []struct {
		name, path string
		serve      http.HandlerFunc
		do         func(*registry.Registries) error
		limit      string
	}{
		{"no answer to the ping", "GET /v2/", silence, manifest, "HeaderTimeout"},
		{"no answer", "GET /v2/app/manifests/" + sum, silence, manifest, "HeaderTimeout"},
		{"a manifest that stands still", "GET /v2/app/manifests/" + sum, drip(manifestType, 1, time.Hour), manifest, "IdleTimeout"},
		{"a manifest that drips", "GET /v2/app/manifests/" + sum, drip(manifestType, 1, 5*time.Millisecond), manifest, "IdleTimeout"},
		{"a manifest that flows just fast enough", "GET /v2/app/manifests/" + sum, drip(manifestType, 16<<10, 20*time.Millisecond), manifest, "ReadTimeout"},
		{"a blob that stands still", "GET /v2/app/blobs/" + sum, drip("application/octet-stream", 1, time.Hour), stream, "IdleTimeout"},
		{"a blob that drips", "GET /v2/app/blobs/" + sum, drip("application/octet-stream", 1, 5*time.Millisecond), stream, "IdleTimeout"},
		{"evidence that flows just fast enough", "GET /v2/app/blobs/" + sum, drip("application/octet-stream", 16<<10, 20*time.Millisecond), memory, "ReadTimeout"},
		{"a page of tags that drips", "GET /v2/app/tags/list", drip("application/json", 1, 5*time.Millisecond), tags, "IdleTimeout"},
		{"an error that drips", "GET /v2/app/manifests/" + sum, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			drip("application/json", 1, 5*time.Millisecond)(w, r)
		}, manifest, "IdleTimeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.on(tt.path, tt.serve)
			r, _ := client(t, l.URL, only(tt.limit, 100*time.Millisecond))
			begun := time.Now()
			err := tt.do(r)
			var limit *registry.TimeoutError
			if !errors.As(err, &limit) || limit.Limit != tt.limit {
				t.Errorf("%v, want a TimeoutError of %s", err, tt.limit)
			}
			if !strings.Contains(fmt.Sprint(err), "("+tt.limit+")") {
				t.Errorf("%v does not name the limit", err)
			}
			if errors.Is(err, gatekeeper.ErrInvalidContent) || errors.Is(err, gatekeeper.ErrNotFound) {
				t.Errorf("%v blames the image", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// The time for all pages is limited too.
func TestAListHasAnEnd(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	var n atomic.Int64
	l.on("GET /v2/app/tags/list", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTimer(50 * time.Millisecond)
		defer tick.Stop()
		<-tick.C
		answer(200, "application/json", []byte(`{"tags":[]}`), "Link", fmt.Sprintf(`</v2/app/tags/list?last=%d>; rel="next"`, n.Add(1)))(w, r)
	})
	r, _ := client(t, l.URL, only("ListTimeout", 300*time.Millisecond))
	_, err := r.Tags(t.Context(), app)
	var limit *registry.TimeoutError
	if !errors.As(err, &limit) || limit.Limit != "ListTimeout" {
		t.Errorf("%v, want a TimeoutError of ListTimeout", err)
	}
}

// steady is a body that comes in steps over a longer time than any limit.
func steady(steps int, every time.Duration) (content []byte, serve http.HandlerFunc) {
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
	return bytes.Repeat(chunk, steps), func(w http.ResponseWriter, _ *http.Request) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for range steps {
			<-tick.C
			_, _ = w.Write(chunk)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
	}
}

// A large copy takes as long as it takes, while it moves.
func TestALargeCopyMayTakeLong(t *testing.T) {
	t.Parallel()
	content, serve := steady(40, 20*time.Millisecond) // twice ReadTimeout
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	l := newLiar(t)
	l.on("GET /v2/app/blobs/"+d.Digest, serve)
	l.on("POST /v2/copy/blobs/uploads/", answer(202, "text/plain", nil, "Location", "/v2/copy/blobs/uploads/1"))
	var stored []byte
	l.on("PUT /v2/copy/blobs/uploads/1", func(w http.ResponseWriter, r *http.Request) {
		stored, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
	})
	r, _ := client(t, l.URL, only("ReadTimeout", 300*time.Millisecond))
	begun := time.Now()
	body, err := r.OpenBlob(t.Context(), app, d)
	if err != nil {
		t.Fatal(err)
	}
	err = r.PushBlob(t.Context(), registry.Repository{Registry: "staging", Name: "copy"}, d, body, nil)
	if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(stored, content) {
		t.Errorf("%d bytes, %v", len(stored), err)
	}
	if took := time.Since(begun); took < 700*time.Millisecond {
		t.Errorf("took only %s: the test shows nothing", took)
	}
}

// A registry that does not take an upload is given up.
func TestAnUploadThatStandsStill(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("POST /v2/app/blobs/uploads/", answer(202, "text/plain", nil, "Location", "/v2/app/blobs/uploads/1"))
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	l.on("PUT /v2/app/blobs/uploads/1", func(http.ResponseWriter, *http.Request) { <-stop })
	r, _ := client(t, l.URL, only("IdleTimeout", 200*time.Millisecond))
	const size = 64 << 20 // more than the buffers of the connection
	d := gatekeeper.Descriptor{Digest: digestOf(nil), Size: size}
	err := r.PushBlob(t.Context(), app, d, io.LimitReader(zeros{}, size), nil)
	var limit *registry.TimeoutError
	if !errors.As(err, &limit) || limit.Limit != "IdleTimeout" {
		t.Errorf("%v, want a TimeoutError of IdleTimeout", err)
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A reader that takes its time is not the registry's fault.
func TestASlowReaderIsNotASlowRegistry(t *testing.T) {
	t.Parallel()
	content, serve := steady(8, time.Millisecond)
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	l := newLiar(t)
	l.on("GET /v2/app/blobs/"+d.Digest, serve)
	r, _ := client(t, l.URL, only("IdleTimeout", time.Second))
	body, err := r.OpenBlob(t.Context(), app, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, body, 1); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	<-wait.Done()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Error(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

// The place where an upload is continued may be a key to it.
func TestErrorsDoNotTellWhereAnUploadIs(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("POST /v2/app/blobs/uploads/", answer(202, "text/plain", nil, "Location", "/v2/app/blobs/uploads/1?_state="+url.QueryEscape("signed-state")))
	l.on("PUT /v2/app/blobs/uploads/1", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r, _ := client(t, l.URL, nil)
	err := r.PushBlob(t.Context(), app, gatekeeper.Descriptor{Digest: digestOf([]byte("{}")), Size: 2}, strings.NewReader("{}"), nil)
	if err == nil || strings.Contains(err.Error(), "signed-state") {
		t.Errorf("%v", err)
	}
}
