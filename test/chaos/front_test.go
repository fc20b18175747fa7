package chaos_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// front passes requests on to a registry, and while it is told to gives some
// of them an answer that a registry in trouble gives.
type front struct {
	dice    *dice
	proxy   *httputil.ReverseProxy
	trouble atomic.Bool
	spoiled atomic.Int64 // answers so far
}

// What part of the requests is answered badly in times of trouble, and what
// part of the answers ends in the middle.
const (
	answeredBadly = 0.25
	cutShort      = 0.05
)

func newFront(d *dice, to func() string) *front {
	f := &front{dice: d}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: to()})
			p.Out.Host = p.In.Host
		},
		Transport:      &http.Transport{DisableKeepAlives: true}, // the registry may be another process by the next request
		ModifyResponse: f.cut,
		// A registry that is away does not answer 502.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	return f
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.trouble.Load() || !f.dice.chance(answeredBadly) {
		f.proxy.ServeHTTP(w, r)
		return
	}
	f.spoiled.Add(1)
	answers := []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable}
	i := f.dice.below(len(answers) + 1)
	if i == len(answers) { // late, but well
		if until(r.Context(), time.Now().Add(f.dice.between(100*time.Millisecond, 2*time.Second))) == nil {
			f.proxy.ServeHTTP(w, r)
		}
		return
	}
	if answers[i] == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(f.dice.below(3)))
	}
	w.WriteHeader(answers[i])
}

// cut has some answers end in the middle, whatever length they announce.
func (f *front) cut(resp *http.Response) error {
	if f.trouble.Load() && f.dice.chance(cutShort) {
		f.spoiled.Add(1)
		resp.Body = &cutBody{ReadCloser: resp.Body, left: int64(f.dice.below(400))}
	}
	return nil
}

// cutBody is a body that breaks off.
type cutBody struct {
	io.ReadCloser

	left int64
}

// Read implements io.Reader.
func (b *cutBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
