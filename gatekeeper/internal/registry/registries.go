package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Limits bound what is read from registries and how fast they are asked. A
// zero value means the default.
type Limits struct {
	RequestsPerSecond float64 // unlimited when zero
	Concurrent        int     // requests under way at a time; 16
	Referrers         int     // entries of one referrers list; 1,000
}

// Settings describe one registry.
type Settings struct {
	Name     string         // in the configuration
	URL      *url.URL       // scheme, host and port
	Keychain authn.Keychain // nil: anonymous
	RootCAs  *x509.CertPool // the system's when nil
	Limits   Limits
	// Wrap may add to the requests for this registry; nil adds nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Observer is told about traffic, for metrics.
type Observer interface {
	RegistryRequest(registry string, statusCode int) // 0: no answer
	BlobBytes(registry, direction string, n int64)   // direction is "in" or "out"
}

// Deps is what Registries work with.
type Deps struct {
	Observer  Observer
	UserAgent string
	Now       func() time.Time
}

// Registries speaks to the registries of the configuration, and to no others.
// It is safe for concurrent use.
type Registries struct {
	deps    Deps
	clients map[string]*client
	// manifests holds what was read and hashed, by digest: evidence and copy
	// look at the same bytes, read once.
	manifests *lru.Cache[string, Content]
	// blobs holds small ones in the same way: configurations and signatures.
	blobs *lru.Cache[string, []byte]
}

// cachedManifests bounds the cache: at 4 MiB each it never holds more than
// 512 MiB, in practice some kilobytes each.
const cachedManifests = 128

// The cache of blobs holds at most 16 MiB.
const (
	cachedBlobs   = 256
	maxCachedBlob = 64 << 10 // bytes
)

// New prepares the registries. Nothing is asked before the first request.
func New(settings []Settings, deps Deps) (*Registries, error) {
	cache, err := lru.New[string, Content](cachedManifests)
	if err != nil {
		return nil, fmt.Errorf("make the manifest cache: %w", err)
	}
	blobs, err := lru.New[string, []byte](cachedBlobs)
	if err != nil {
		return nil, fmt.Errorf("make the blob cache: %w", err)
	}
	r := &Registries{deps: deps, clients: map[string]*client{}, manifests: cache, blobs: blobs}
	for _, s := range settings {
		c, err := newClient(s, deps)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", s.Name, err)
		}
		r.clients[s.Name] = c
	}
	return r, nil
}

func (r *Registries) client(registry string) (*client, error) {
	c, ok := r.clients[registry]
	if !ok {
		return nil, fmt.Errorf("registry %q is not in the configuration", registry)
	}
	return c, nil
}

// Host is the host and port of a registry, as image references name it.
func (r *Registries) Host(registry string) (string, error) {
	c, err := r.client(registry)
	if err != nil {
		return "", err
	}
	return c.registry.RegistryStr(), nil
}

// SameRegistry says whether two names of the configuration lead to one
// registry, so that blobs can be mounted instead of copied.
func (r *Registries) SameRegistry(a, b string) bool {
	ca, okA := r.clients[a]
	cb, okB := r.clients[b]
	return okA && okB && ca.base == cb.base
}

func newClient(s Settings, deps Deps) (*client, error) {
	if s.URL == nil || (s.URL.Scheme != "http" && s.URL.Scheme != "https") || s.URL.Host == "" {
		return nil, fmt.Errorf("no URL of the form https://host[:port]")
	}
	var options []name.Option
	if s.URL.Scheme == "http" {
		options = append(options, name.Insecure)
	}
	reg, err := name.NewRegistry(s.URL.Host, options...)
	if err != nil {
		return nil, err
	}
	if s.Keychain == nil {
		s.Keychain = authn.NewMultiKeychain()
	}
	concurrent := s.Limits.Concurrent
	if concurrent == 0 {
		concurrent = 16
	}
	limit := rate.Inf
	if s.Limits.RequestsPerSecond > 0 {
		limit = rate.Limit(s.Limits.RequestsPerSecond)
	}
	transport := http.RoundTripper(newTransport(s.RootCAs, concurrent))
	if s.Wrap != nil {
		transport = s.Wrap(transport)
	}
	tokens, err := lru.New[string, *http.Client](256)
	if err != nil {
		return nil, err
	}
	maxReferrers := s.Limits.Referrers
	if maxReferrers == 0 {
		maxReferrers = 1000
	}
	c := &client{
		name: s.Name, registry: reg, base: s.URL.Scheme + "://" + s.URL.Host, keychain: s.Keychain,
		slots: make(chan struct{}, concurrent), limiter: rate.NewLimiter(limit, concurrent),
		tokens: tokens, maxReferrers: maxReferrers, now: deps.Now, observer: deps.Observer,
	}
	c.transport = &outgoing{next: transport, host: s.URL.Host, scheme: s.URL.Scheme, userAgent: deps.UserAgent, client: c}
	return c, nil
}

func newTransport(roots *x509.CertPool, concurrent int) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   concurrent,
		ForceAttemptHTTP2:     true,
	}
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
