package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// client speaks to one registry.
type client struct {
	name         string
	registry     name.Registry
	base         string // scheme://host
	keychain     authn.Keychain
	transport    http.RoundTripper
	slots        chan struct{}
	limiter      *rate.Limiter
	maxReferrers int
	now          func() time.Time
	observer     Observer

	// noReferrersUntil is the Unix time up to which the registry is taken
	// to have no referrers API, in seconds.
	noReferrersUntil atomic.Int64

	mu     sync.Mutex
	shared *http.Client                     // when the registry hands out no tokens
	tokens *lru.Cache[string, *http.Client] // by repository and action, when it does
}

// scopes of the actions.
const (
	pull = transport.PullScope
	push = transport.PushScope
)

// authenticated returns an HTTP client that carries the credentials for one
// repository. The registry is asked how it authenticates once; tokens are
// kept and renewed.
func (c *client) authenticated(ctx context.Context, repository, action string) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared != nil {
		return c.shared, nil
	}
	key := action + " " + repository
	if hc, ok := c.tokens.Get(key); ok {
		return hc, nil
	}
	repo, err := name.NewRepository(c.registry.RegistryStr()+"/"+repository, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", repository, err)
	}
	auth, err := authn.Resolve(ctx, c.keychain, repo)
	if err != nil {
		return nil, fmt.Errorf("look up credentials: %w", err)
	}
	challenge, err := transport.Ping(ctx, c.registry, c.transport)
	if err != nil {
		return nil, c.failed("ping", err)
	}
	rt, err := transport.NewWithContext(ctx, c.registry, auth, c.transport, []string{repo.Scope(action)})
	if err != nil {
		return nil, c.failed("authenticate", err)
	}
	hc := &http.Client{Transport: rt, CheckRedirect: checkRedirect}
	if !strings.EqualFold(challenge.Scheme, "bearer") {
		c.shared = hc
		return hc, nil
	}
	c.tokens.Add(key, hc)
	return hc, nil
}

// checkRedirect follows reads, as registries send them to where blobs are
// stored, but never from https to http, and never a write. The transport adds
// credentials only for the registry's own host.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("more than 5 redirects")
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return errors.New("a write is not redirected")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect from https to http is not followed")
	}
	return nil
}

// request describes one call of the distribution-spec's API.
type request struct {
	operation  string // for errors: "read the manifest sha256:…"
	method     string
	repository string
	path       string // below /v2/<repository>/, or a full URL on the same host
	header     http.Header
	body       io.Reader
	length     int64
	action     string
	want       []int // status codes that are answers; everything else is an error
}

// do sends a request and returns the response, whose body the caller closes
// through the returned function.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	hc, err := c.authenticated(ctx, r.repository, r.action)
	if err != nil {
		return nil, err
	}
	target := r.path
	if !strings.Contains(target, "://") {
		target = c.base + "/v2/" + r.repository + "/" + r.path
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.operation, err)
	}
	if r.body != nil {
		req.ContentLength = r.length
	}
	maps.Copy(req.Header, r.header)
	resp, err := hc.Do(req)
	if err != nil {
		return nil, c.failed(r.operation, err)
	}
	if slices.Contains(r.want, resp.StatusCode) {
		return resp, nil
	}
	return nil, errors.Join(c.refused(r, resp), resp.Body.Close())
}

// outgoing is the bottom of every request: it keeps to the configured scheme
// and host's limits, names the product, and counts.
type outgoing struct {
	next      http.RoundTripper
	host      string
	scheme    string
	userAgent string
	client    *client
}

// RoundTrip implements http.RoundTripper.
func (o *outgoing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == o.host && req.URL.Scheme != o.scheme {
		return nil, fmt.Errorf("the configuration says %s for %s", o.scheme, o.host)
	}
	release, err := o.client.wait(req.Context())
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", o.userAgent)
	resp, err := o.next.RoundTrip(req)
	// The slot is for the registry's work on an answer. A body that is still
	// read holds none: a copy within one registry reads and writes at once.
	release()
	if err != nil {
		o.client.observer.RegistryRequest(o.client.name, 0)
		return nil, err
	}
	o.client.observer.RegistryRequest(o.client.name, resp.StatusCode)
	return resp, nil
}
