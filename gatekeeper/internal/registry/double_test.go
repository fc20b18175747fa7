package registry_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// seen is one request as it arrived.
type seen struct {
	host          string // the double's name for it
	method, path  string
	authorization string
	header        http.Header
	body          string
}

// double is a group of hosts that record every request in one list, with what
// it carried. What they answer is up to the test.
type double struct {
	t        *testing.T
	mu       sync.Mutex
	requests []seen
	roots    *x509.CertPool
}

func newDouble(t *testing.T) *double {
	t.Helper()
	return &double{t: t, roots: x509.NewCertPool()}
}

// host starts a host. Its handler sees requests after they were recorded.
func (d *double) host(name string, secure bool, handler http.HandlerFunc) *httptest.Server {
	d.t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			d.t.Errorf("read a request: %v", err)
		}
		d.mu.Lock()
		d.requests = append(d.requests, seen{name, r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Clone(), string(body)})
		d.mu.Unlock()
		handler(w, r)
	}))
	if secure {
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
		d.roots.AddCert(server.Certificate())
	} else {
		server.Start()
	}
	d.t.Cleanup(server.Close)
	return server
}

// to lists the requests that a host got.
func (d *double) to(host string) []seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.requests), func(s seen) bool { return s.host != host })
}

// secrets are what no other host may see in any form.
func secrets() []string {
	return []string{"top-secret", "cm9ib3Q6dG9wLXNlY3JldA", "identity-token", "issued-token"} // the second: basic of robot:top-secret
}

// leaked describes the first request to a host that carries anything secret.
func (d *double) leaked(host string) string {
	for _, s := range d.to(host) {
		all := fmt.Sprintf("%s %s %v %s", s.method, s.path, s.header, s.body)
		for _, secret := range secrets() {
			if strings.Contains(all, secret) {
				return all
			}
		}
		if s.authorization != "" {
			return all
		}
	}
	return ""
}

// keys is a keychain that records what it is asked for.
type keys struct {
	config authn.AuthConfig
	mu     sync.Mutex
	asked  []string
}

func (k *keys) Resolve(r authn.Resource) (authn.Authenticator, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, r.RegistryStr())
	return authn.FromConfig(k.config), nil
}

// credentials are the kinds there are.
func credentials() map[string]authn.AuthConfig {
	return map[string]authn.AuthConfig{
		"password":       {Username: "robot", Password: "top-secret"},
		"identity token": {Username: "robot", IdentityToken: "identity-token"},
		"registry token": {RegistryToken: "issued-token"},
	}
}

// client is a client of one of the double's hosts.
func (d *double) client(server *httptest.Server, config authn.AuthConfig, change func(*registry.Settings)) *registry.Registries {
	d.t.Helper()
	r, _ := client(d.t, server.URL, func(s *registry.Settings) {
		s.Keychain = &keys{config: config}
		s.RootCAs = d.roots
		if change != nil {
			change(s)
		}
	})
	return r
}

// clientAt is a client of one of the double's hosts with another clock.
func (d *double) clientAt(server *httptest.Server, now func() time.Time, change func(*registry.Settings)) *registry.Registries {
	d.t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	s := registry.Settings{Name: "staging", URL: u, RootCAs: d.roots, Keychain: &keys{config: credentials()["password"]}}
	change(&s)
	r, err := registry.New([]registry.Settings{s}, registry.Deps{
		Observer: &counter{codes: map[int]int{}, bytes: map[string]int64{}}, UserAgent: "gatekeeper/test", Now: now,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// basicRegistry asks for a password and answers the rest by next.
func basicRegistry(next http.HandlerFunc) http.HandlerFunc {
	return challenging(`Basic realm="registry"`, next)
}

// bearerRegistry asks for a token of a realm, whose address is not known
// before the hosts run.
func bearerRegistry(realm *string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		challenging(`Bearer realm="`+*realm+`",service="registry",scope="repository:golden/secret:*"`, next)(w, r)
	}
}

func challenging(challenge string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// tokenServer issues a token to everybody.
func tokenServer(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"token":"issued-token","expires_in":300}`)
}

func nothing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
