package bench_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// registry is a registry in this process that keeps everything in memory and
// takes a fixed time for each answer, so that it costs next to nothing and the
// gatekeeper is what is measured. Like CNCF Distribution v3 it has no
// referrers API, and like every registry it computes the digests itself.
type registry struct {
	*httptest.Server

	mu        sync.Mutex
	pace      time.Duration
	changed   chan struct{}       // closed when pace changes
	manifests map[string]manifest // by repository@digest and repository:tag
	blobs     map[string][]byte   // by repository@digest
	asked     map[string]int      // by method and kind
	awaited   int                 // tags written to
	written   map[string]bool
	complete  chan struct{} // closed when awaited tags are written
}

type manifest struct {
	mediaType, digest string
	body              []byte
}

func newRegistry(tb testing.TB, pace time.Duration) *registry {
	tb.Helper()
	r := &registry{
		pace: pace, changed: make(chan struct{}), manifests: map[string]manifest{}, blobs: map[string][]byte{}, asked: map[string]int{},
		written: map[string]bool{}, complete: make(chan struct{}),
	}
	r.Server = httptest.NewServer(r)
	tb.Cleanup(r.Close)
	return r
}

// host is the registry's address.
func (r *registry) host() string { return r.Listener.Addr().String() }

// setPace changes how long an answer takes, for those under way too.
func (r *registry) setPace(pace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace = pace
	close(r.changed)
	r.changed = make(chan struct{})
}

// await returns what is closed once n tags are written.
func (r *registry) await(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaited = n
	return r.complete
}

// tags is how many tags were written.
func (r *registry) tags() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.written)
}

// requests is how often the registry was asked, by method and kind.
func (r *registry) requests() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.asked)
}

// store puts a manifest under its digest and, unless it is empty, a tag.
func (r *registry) store(repository, tag, mediaType string, body []byte) string {
	digest := digestOf(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	m := manifest{mediaType, digest, body}
	r.manifests[repository+"@"+digest] = m
	if tag != "" {
		r.manifests[repository+":"+tag] = m
	}
	return digest
}

func (r *registry) storeBlob(repository string, body []byte) string {
	digest := digestOf(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[repository+"@"+digest] = body
	return digest
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ServeHTTP implements the distribution-spec as far as the gatekeeper uses it.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	if path == "" {
		r.count(req, "ping")
		return
	}
	for _, kind := range []string{"/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/"} {
		repository, reference, ok := strings.Cut(path, kind)
		if !ok {
			continue
		}
		kind = strings.Trim(kind, "/")
		if kind == "manifests" && !strings.HasPrefix(reference, "sha256:") {
			kind = "tags"
		}
		r.count(req, kind)
		if r.wait(req) {
			r.answer(w, req, kind, repository, reference)
		}
		return
	}
	r.count(req, "other")
	http.NotFound(w, req)
}

func (r *registry) count(req *http.Request, kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[req.Method+" "+kind]++
}

// wait takes the time that an answer takes. It is false when nobody waits for
// the answer any more.
func (r *registry) wait(req *http.Request) bool {
	for {
		r.mu.Lock()
		pace, changed := r.pace, r.changed
		r.mu.Unlock()
		timer := time.NewTimer(pace)
		select {
		case <-timer.C:
			return true
		case <-changed: // wait at the new pace
			timer.Stop()
		case <-req.Context().Done():
			timer.Stop()
			return false
		}
	}
}

func (r *registry) answer(w http.ResponseWriter, req *http.Request, kind, repository, reference string) {
	switch req.Method + " " + kind {
	case "GET manifests", "HEAD manifests":
		r.manifest(w, repository+"@"+reference)
	case "GET tags", "HEAD tags":
		r.manifest(w, repository+":"+reference)
	case "PUT manifests", "PUT tags":
		r.putManifest(w, req, kind, repository, reference)
	case "GET blobs", "HEAD blobs":
		r.blob(w, repository+"@"+reference)
	case "POST blobs/uploads":
		w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/one")
		w.WriteHeader(http.StatusAccepted)
	case "PUT blobs/uploads":
		r.putBlob(w, req, repository)
	default:
		http.NotFound(w, req)
	}
}

func (r *registry) manifest(w http.ResponseWriter, key string) {
	r.mu.Lock()
	m, ok := r.manifests[key]
	r.mu.Unlock()
	if !ok {
		unknown(w, "MANIFEST_UNKNOWN")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", m.digest)
	_, _ = w.Write(m.body) // net/http leaves the body of a HEAD out
}

func (r *registry) blob(w http.ResponseWriter, key string) {
	r.mu.Lock()
	body, ok := r.blobs[key]
	r.mu.Unlock()
	if !ok {
		unknown(w, "BLOB_UNKNOWN")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(body)
}

// unknown says that something does not exist, in the distribution-spec's words:
// any other 404 says nothing about it.
func unknown(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"unknown"}]}`, code)
}

func (r *registry) putManifest(w http.ResponseWriter, req *http.Request, kind, repository, reference string) {
	body, err := io.ReadAll(req.Body)
	if err != nil || kind == "manifests" && digestOf(body) != reference {
		http.Error(w, "not what it was said to be", http.StatusBadRequest)
		return
	}
	tag := ""
	if kind == "tags" {
		tag = reference
	}
	digest := r.store(repository, tag, req.Header.Get("Content-Type"), body)
	if tag != "" && !strings.HasPrefix(tag, "sha256-") {
		r.note(repository + ":" + tag)
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// note counts a tag of an image.
func (r *registry) note(tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.written[tag] {
		return
	}
	r.written[tag] = true
	if len(r.written) == r.awaited {
		close(r.complete)
	}
}

func (r *registry) putBlob(w http.ResponseWriter, req *http.Request, repository string) {
	body, err := io.ReadAll(req.Body)
	if err != nil || digestOf(body) != req.URL.Query().Get("digest") {
		http.Error(w, "not what it was said to be", http.StatusBadRequest)
		return
	}
	r.storeBlob(repository, body)
	w.WriteHeader(http.StatusCreated)
}

// has says whether an image's tag was written.
func (r *registry) has(p push) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written[p.repository+":"+p.tag]
}
