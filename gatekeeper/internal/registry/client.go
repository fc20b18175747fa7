package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// client speaks to one registry.
type client struct {
	name           string
	registry       name.Registry
	base           string // scheme://host
	scheme         string
	hostPort       string
	keychain       authn.Keychain
	transport      http.RoundTripper // to the registry and where it redirects to; adds no credentials
	tokenTransport http.RoundTripper // to its token server
	tokenServers   map[string]bool   // by host:port: those that the configuration names
	slots          atomic.Pointer[chan struct{}]
	limiter        *rate.Limiter
	limits         Limits
	now            func() time.Time
	observer       Observer
	health         Health
	log            *slog.Logger

	// noReferrersUntil is the Unix time up to which the registry is taken
	// to have no referrers API, in seconds.
	noReferrersUntil atomic.Int64
	hasReferrers     atomic.Bool // the referrers API has answered in this process
	onLoopback       atomic.Bool // the registry is on this machine

	openCircuits openCircuits

	mu             sync.Mutex
	challenge      *challenge // nil: not known yet
	pings          flight[challenge]
	authorizing    flight[authorization]
	authorizations *lru.Cache[string, authorization] // by challenge and scope
}

// request describes one call of the distribution-spec's API. Whoever makes one
// has checked what becomes part of the path.
type request struct {
	operation  string // for errors: "read the manifest sha256:…"
	method     string
	repository string
	path       string // below /v2/<repository>/, or a full URL of the registry
	header     http.Header
	data       []byte    // to send; it can be sent again
	body       io.Reader // or a stream of a length, which can not
	length     int64
	action     string
	from       string // the repository that a blob is mounted from
	stream     bool   // the body of the answer may be large: ReadTimeout does not count
	want       []int  // status codes that are answers; everything else is an error
}

// do sends a request, again when it may help, and returns the response, whose
// body the caller closes.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	return retry(ctx, c, r, func() (*http.Response, error) { return c.attempt(ctx, r) })
}

// attempt sends a request and returns the response, whose body the caller
// closes.
func (c *client) attempt(ctx context.Context, r request) (*http.Response, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := c.send(ctx, r)
	if err != nil {
		err = because(ctx, err)
		cancel(nil)
		return nil, c.failed(r.operation, err)
	}
	resp.Body = c.deadline(resp.Body, r.stream, cancel)
	if slices.Contains(r.want, resp.StatusCode) {
		return resp, nil
	}
	return nil, errors.Join(c.refused(r, resp), resp.Body.Close())
}

// timed is a body that has to be read to its end in time.
type timed struct {
	io.ReadCloser
	close func()
}

// Close implements io.Closer.
func (t *timed) Close() error {
	defer t.close()
	return t.ReadCloser.Close()
}

// deadline gives a body ReadTimeout, unless it is streamed.
func (c *client) deadline(body io.ReadCloser, stream bool, cancel context.CancelCauseFunc) io.ReadCloser {
	if stream {
		return &timed{body, func() { cancel(nil) }}
	}
	limit := &TimeoutError{Limit: "ReadTimeout", After: c.limits.ReadTimeout, What: "the answer did not end"}
	timer := time.AfterFunc(limit.After, func() { cancel(limit) })
	return &timed{body, func() {
		timer.Stop()
		cancel(nil)
	}}
}

// send sends a request with the credentials for it, and once more with others
// when the registry asks for others.
func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	s := scope{repository: r.repository, action: r.action, from: r.from}
	header, err := c.authorize(ctx, s)
	if err != nil {
		return nil, err
	}
	resp, err := c.once(ctx, r, header)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !c.own(resp.Request.URL) {
		return resp, err
	}
	header, again, err := c.challenged(ctx, s, resp, header)
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	if !again || r.body != nil {
		return resp, nil
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	return c.once(ctx, r, header)
}

func (c *client) once(ctx context.Context, r request, header string) (*http.Response, error) {
	target := r.path
	if !strings.Contains(target, "://") {
		target = c.base + "/v2/" + r.repository + "/" + r.path
	}
	body, length := r.body, r.length
	if r.data != nil {
		body, length = bytes.NewReader(r.data), int64(len(r.data))
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.operation, err)
	}
	if body != nil {
		req.ContentLength = length
	}
	maps.Copy(req.Header, r.header)
	hc := &http.Client{Transport: &session{client: c, authorization: header}, CheckRedirect: checkRedirect}
	return hc.Do(req)
}
