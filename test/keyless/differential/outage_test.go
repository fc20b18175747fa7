package differential_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// outage stands before a service, and is what becomes of it.
type outage struct {
	URL string

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed when the mode changes
}

// mode is the state of a service.
type mode int

const (
	up     mode = iota
	broken      // answers 503
	gone        // ends the connection
	silent      // accepts, and does not answer
)

// newOutage stands before the service at a URL, and keeps its path.
func newOutage(t *testing.T, target string) *outage {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	path := to.Path
	to.Path = ""
	o := &outage{changed: make(chan struct{})}
	forward := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now, changed := o.state()
		switch now {
		case broken:
			http.Error(w, "out of order", http.StatusServiceUnavailable)
		case silent:
			<-changed
			panic(http.ErrAbortHandler)
		case gone:
			panic(http.ErrAbortHandler)
		case up:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { o.becomes(gone) })
	o.URL = server.URL + path
	return o
}

// becomes changes the state, and ends what waits for an answer.
func (o *outage) becomes(m mode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mode = m
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *outage) state() (mode, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mode, o.changed
}
