package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// guard ends one exchange with a registry when it makes no progress: no answer
// begins, or a body stands still or drips.
type guard struct {
	limits Limits
	cancel context.CancelCauseFunc

	// ended is the end of the caller's context, if it has ended.
	ended func() error

	mu     sync.Mutex
	timer  *time.Timer
	unread bool // what was to be sent could not be read
}

// start makes the exchange end with the error after its time, unless start or
// stop is called again before.
func (g *guard) start(limit *TimeoutError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(limit.After, func() { g.cancel(limit) })
}

func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
}

// awaitAnswer gives the registry its time for the header of the answer.
func (g *guard) awaitAnswer(method string) {
	after := g.limits.HeaderTimeout
	if method == http.MethodPut {
		after *= 5
	}
	g.start(&TimeoutError{Limit: "HeaderTimeout", After: after, What: "no answer began"})
}

func (g *guard) awaitBody(left time.Duration, what string) {
	g.start(&TimeoutError{Limit: "IdleTimeout", After: left, What: what})
}

// roundTrip sends a request under guard, and leaves the body of the answer
// guarded.
func (g *guard) roundTrip(req *http.Request, next http.RoundTripper, now func() time.Time) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	g.cancel, g.ended = cancel, req.Context().Err
	req = req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &outgoingBody{ReadCloser: req.Body, guard: g, method: req.Method}
	}
	g.awaitAnswer(req.Method)
	resp, err := next.RoundTrip(req)
	g.stop()
	if err != nil {
		cancel(nil)
		return nil, g.judge(because(ctx, err))
	}
	resp.Body = &incomingBody{ReadCloser: resp.Body, ctx: ctx, guard: g, now: now}
	return resp, nil
}

// judge says whose failure it is.
func (g *guard) judge(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unread {
		return &sourceError{err}
	}
	return broken(err, g.ended())
}

func (g *guard) sourceFailed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unread = true
}

// outgoingBody watches that the other side takes what is sent. The time that
// the source of the body needs is not the other side's.
type outgoingBody struct {
	io.ReadCloser
	guard  *guard
	method string
}

// Read implements io.Reader.
func (b *outgoingBody) Read(p []byte) (int, error) {
	b.guard.stop()
	// One call is one step of progress, so that a buffer as large as the body
	// does not make it last.
	n, err := b.ReadCloser.Read(p[:min(len(p), progress)])
	if err != nil && !errors.Is(err, io.EOF) {
		b.guard.sourceFailed()
	}
	if err != nil {
		b.guard.awaitAnswer(b.method)
	} else {
		b.guard.awaitBody(b.guard.limits.IdleTimeout, "the other side took nothing of the upload")
	}
	return n, err
}

// incomingBody watches that an answer's body arrives. The time between two
// reads is the reader's.
type incomingBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // that of the exchange, whose cause explains errors
	guard  *guard
	now    func() time.Time
	waited time.Duration // since the last step of progress
	got    int
}

// Read implements io.Reader.
func (b *incomingBody) Read(p []byte) (int, error) {
	idle := b.guard.limits.IdleTimeout
	b.guard.start(&TimeoutError{Limit: "IdleTimeout", After: max(idle-b.waited, 1), What: "the body came more slowly than 16 KiB"})
	begun := b.now()
	n, err := b.ReadCloser.Read(p)
	b.guard.stop()
	b.waited += b.now().Sub(begun)
	if b.got += n; b.got >= progress {
		b.waited, b.got = 0, 0
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = broken(because(b.ctx, err), b.guard.ended())
	}
	return n, err
}

// Close implements io.Closer.
func (b *incomingBody) Close() error {
	b.guard.stop()
	err := b.ReadCloser.Close()
	b.guard.cancel(nil)
	return err
}
