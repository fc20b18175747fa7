package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

// outgoing is the bottom of every request: it keeps to the configured scheme
// and host's limits, names the product, watches for progress, and counts.
type outgoing struct {
	next      http.RoundTripper
	wrapped   http.RoundTripper // for the registry's own host
	userAgent string
	client    *client
	// circuit is that of the registry's own host or, when everywhere, of every
	// host that is asked. Where a read is redirected to has none: it is not the
	// registry's word that it works, nor that it does not.
	circuit    *circuit
	everywhere bool
}

// RoundTrip implements http.RoundTripper.
func (o *outgoing) RoundTrip(req *http.Request) (*http.Response, error) {
	c := o.client
	if c.scheme == "https" && req.URL.Scheme != "https" {
		return nil, fmt.Errorf("the configuration says https; nothing is asked by %s", clean(req.URL.Scheme))
	}
	leave, err := c.wait(req.Context(), o.circuitOf(req.URL))
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", o.userAgent)
	next := o.next
	if c.own(req.URL) {
		next = o.wrapped
	} else {
		req.Header.Del("Referer") // names the repository
	}
	g := &guard{limits: c.limits}
	resp, err := g.roundTrip(req, next, c.now)
	// The slot is for the registry's work on an answer. A body that is still
	// read holds none: a copy within one registry reads and writes at once.
	leave(resp, err)
	if err != nil {
		c.observer.RegistryRequest(c.name, 0)
		return nil, err
	}
	c.observer.RegistryRequest(c.name, resp.StatusCode)
	return resp, nil
}

func (o *outgoing) circuitOf(u *url.URL) *circuit {
	if o.everywhere || o.client.own(u) {
		return o.circuit
	}
	return nil
}

// wait takes a token of the rate limit and a slot, which leave gives back. The
// time for an answer has not begun: to wait for one's turn is not the
// registry's slowness. While the server is not to be asked, nobody queues.
func (c *client) wait(ctx context.Context, server *circuit) (leave func(*http.Response, error), err error) {
	if err := server.refuses(); err != nil {
		return nil, err
	}
	if err := c.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("requestsPerSecond leaves no turn before the deadline: %w", context.DeadlineExceeded)
	}
	slots := *c.slots.Load()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done, err := server.enter(ctx) //nolint:bodyclose // there is no response yet
	if err != nil {
		<-slots
		return nil, err
	}
	return func(resp *http.Response, err error) {
		<-slots
		done(resp, err)
	}, nil
}

// own says whether a URL leads to the registry itself, by its scheme too.
func (c *client) own(u *url.URL) bool {
	return u.Scheme == c.scheme && netguard.HostPort(u) == c.hostPort
}

// session is one request and its redirects. It adds the credentials for the
// registry itself and for nobody else: http.Client would hand them to
// subdomains and other ports too.
type session struct {
	client        *client
	authorization string
	left          bool // the registry sent the request elsewhere
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("Authorization")
	s.left = s.left || !s.client.own(req.URL)
	if !s.left && s.authorization != "" {
		req.Header.Set("Authorization", s.authorization)
	}
	return s.client.transport.RoundTrip(req)
}

// checkRedirect follows reads, as registries send them to where blobs are
// stored, but never from https to http, and never a write. A write may have
// become a GET on the way (RFC 9110, section 15.4).
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("more than 5 redirects")
	}
	if method := via[0].Method; method != http.MethodGet && method != http.MethodHead {
		return errors.New("a write is not redirected")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect from https to http is not followed")
	}
	return nil
}

// newTransport makes connections of which check has seen the address: after
// the name was looked up, so that no name leads to where its address may not.
func newTransport(roots *x509.CertPool, concurrent int, check func(hostPort string, ip netip.Addr) error) *http.Transport {
	d := &netguard.Dialer{Check: check}
	return &http.Transport{
		Proxy:                  d.Proxy,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    concurrent,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // bytes are counted and hashed as they are
		ForceAttemptHTTP2:      true,
		// Without these a connection that the network has forgotten would time
		// out one request after the other.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}
