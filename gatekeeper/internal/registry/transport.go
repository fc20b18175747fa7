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
}

// RoundTrip implements http.RoundTripper.
func (o *outgoing) RoundTrip(req *http.Request) (*http.Response, error) {
	c := o.client
	if c.scheme == "https" && req.URL.Scheme != "https" {
		return nil, fmt.Errorf("the configuration says https; nothing is asked by %s", clean(req.URL.Scheme))
	}
	release, err := c.wait(req.Context())
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
	release()
	if err != nil {
		c.observer.RegistryRequest(c.name, 0)
		return nil, err
	}
	c.observer.RegistryRequest(c.name, resp.StatusCode)
	return resp, nil
}

// wait takes a slot and a token of the rate limit; the caller gives the slot
// back.
func (c *client) wait(ctx context.Context) (release func(), err error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
	}
}
