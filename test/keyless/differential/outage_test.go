package differential_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// outage stands before a service, and is what becomes of it.
type outage struct {
	URL string

	mode atomic.Int32
}

// The states of a service.
const (
	up     = iota
	broken // answers 503
	gone   // ends the connection
	silent // accepts, and does not answer
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
	o := &outage{}
	end := make(chan struct{})
	forward := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch o.mode.Load() {
		case broken:
			http.Error(w, "out of order", http.StatusServiceUnavailable)
		case gone:
			panic(http.ErrAbortHandler)
		case silent:
			select {
			case <-end:
			case <-r.Context().Done():
			}
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	o.URL = server.URL + path
	return o
}

func (o *outage) becomes(mode int32) { o.mode.Store(mode) }
