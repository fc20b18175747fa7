package registry

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

// Settings describe one registry.
type Settings struct {
	Name     string         // in the configuration
	URL      *url.URL       // scheme, host and port
	Keychain authn.Keychain // nil: anonymous
	RootCAs  *x509.CertPool // the system's when nil
	// TokenServers may issue tokens for this registry, beside the registry
	// itself and the hosts of its domain: host or host:port, at any address.
	TokenServers []string
	Limits       Limits
	// Wrap may add to the requests for this registry's own host; nil adds
	// nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Observer is told about traffic, for metrics.
type Observer interface {
	RegistryRequest(registry string, statusCode int) // 0: no answer
	BlobBytes(registry, direction string, n int64)   // direction is "in" or "out"
}

// Health is told how registries do, for metrics.
type Health interface {
	RegistryRetry(registry string) // a request is sent again
	// RegistryCircuit says whether nothing is sent to a registry, or to its
	// token server, because it does not answer.
	RegistryCircuit(registry string, open bool)
}

// Deps is what Registries work with.
type Deps struct {
	Observer  Observer
	Health    Health       // nil: nobody is told
	Log       *slog.Logger // nil: nothing is logged
	UserAgent string
	Now       func() time.Time
}

// Registries speaks to the registries of the configuration, and to no others.
// It is safe for concurrent use.
type Registries struct {
	deps    Deps
	clients map[string]*client
	// manifests holds what was read and hashed, by digest, and blobs small
	// ones in the same way: evidence and copy look at the same bytes, read
	// once, also at the same time.
	manifests        *cache[Content]
	blobs            *cache[[]byte]
	readingManifests flight[Content]
	readingBlobs     flight[[]byte]
}

const (
	cachedBytes   = 64 << 20 // of manifests, and the same of blobs
	maxCachedBlob = 4 << 20  // bytes: configurations, signatures, attestations
)

// New prepares the registries. Nothing is asked before the first request.
func New(settings []Settings, deps Deps) (*Registries, error) {
	manifests, err := newCache(cachedBytes, func(c Content) int64 { return int64(len(c.Body)) })
	if err != nil {
		return nil, fmt.Errorf("make the manifest cache: %w", err)
	}
	blobs, err := newCache(cachedBytes, func(data []byte) int64 { return int64(len(data)) })
	if err != nil {
		return nil, fmt.Errorf("make the blob cache: %w", err)
	}
	r := &Registries{deps: deps, clients: map[string]*client{}, manifests: manifests, blobs: blobs}
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
	authorizations, err := lru.New[string, authorization](256)
	if err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Health == nil {
		deps.Health = unobserved{}
	}
	limits := s.Limits.withDefaults()
	c := &client{
		name: s.Name, registry: reg, base: s.URL.Scheme + "://" + s.URL.Host, scheme: s.URL.Scheme, hostPort: netguard.HostPort(s.URL),
		keychain: s.Keychain, tokenServers: tokenServers(s.TokenServers, s.URL.Scheme), authorizations: authorizations,
		limiter: rate.NewLimiter(requestRate(limits), limits.Concurrent),
		limits:  limits, now: deps.Now, observer: deps.Observer, health: deps.Health, log: deps.Log.With("registry", s.Name),
	}
	c.share(1)
	plain := newTransport(s.RootCAs, limits.Concurrent, c.checkRedirected)
	wrapped := http.RoundTripper(plain)
	if s.Wrap != nil {
		wrapped = s.Wrap(plain)
	}
	c.transport = &outgoing{next: plain, wrapped: wrapped, userAgent: deps.UserAgent, client: c, circuit: c.newCircuit("the registry")}
	tokens := newTransport(s.RootCAs, limits.Concurrent, c.checkTokenServer)
	c.tokenTransport = &outgoing{next: tokens, wrapped: tokens, userAgent: deps.UserAgent, client: c, circuit: c.newCircuit("its token server"), everywhere: true}
	return c, nil
}

func requestRate(l Limits) rate.Limit {
	if l.RequestsPerSecond > 0 {
		return rate.Limit(l.RequestsPerSecond)
	}
	return rate.Inf
}
