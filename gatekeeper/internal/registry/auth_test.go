package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

func TestWhoMayIssueTokens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		registry, realm string
		named           []string
		want            bool
	}{
		{"https://registry.example.com", "https://registry.example.com/token", nil, true},
		{"https://registry.example.com", "https://REGISTRY.example.com:443/token", nil, true},
		{"https://registry.example.com", "http://registry.example.com/token", nil, false},
		{"https://registry.example.com", "http://registry.example.com/token", []string{"registry.example.com:80"}, false},
		{"https://registry-1.docker.io", "https://auth.docker.io/token", nil, true},
		{"https://index.docker.io", "https://auth.docker.io/token", nil, true},
		{"https://ghcr.io", "https://ghcr.io/token", nil, true},
		{"https://quay.io", "https://quay.io/v2/auth", nil, true},
		{"https://gcr.io", "https://gcr.io/v2/token", nil, true},
		{"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", nil, true},
		{"https://acme.azurecr.io", "https://acme.azurecr.io/oauth2/token", nil, true},
		{"https://acme.azurecr.io", "https://evil.azurecr.io/oauth2/token", nil, false},
		{"https://acme.github.io", "https://evil.github.io/token", nil, false}, // the public suffix list knows it
		{"https://registry.co.uk", "https://evil.co.uk/token", nil, false},
		{"https://registry.example.com", "https://example.com.evil.net/token", nil, false},
		{"https://registry.example.com", "https://auth.example.com./token", nil, false},
		{"https://registry.example.com", "ftp://auth.example.com/token", nil, false},
		{"https://registry.example.com", "", nil, false},
		{"https://registry.example.com", "/token", nil, false},
		{"https://10.0.0.5", "https://10.0.0.6/token", nil, false},
		{"https://10.0.0.5", "https://10.0.0.6/token", []string{"10.0.0.6"}, true},
		{"https://10.0.0.5", "https://10.0.0.6:5001/token", []string{"10.0.0.6"}, false},
		{"https://10.0.0.5", "https://10.0.0.6:5001/token", []string{"10.0.0.6:5001"}, true},
		{"https://10.0.0.5", "http://10.0.0.6/token", []string{"10.0.0.6"}, false},
		{"http://10.0.0.5", "http://10.0.0.6/token", []string{"10.0.0.6"}, true},
		{"http://10.0.0.5", "https://10.0.0.6/token", []string{"10.0.0.6"}, true},
		{"http://registry.example.com", "http://auth.example.com/token", nil, false},
		{"http://registry.example.com", "https://auth.example.com/token", nil, true},
		{"https://localhost:5000", "https://localhost:5001/token", nil, false},
		{"https://registry", "https://auth/token", []string{"AUTH"}, true},
		{"https://registry.example.com", "https://me:pw@registry.example.com/token", nil, false},
	} {
		t.Run(tt.registry+" "+tt.realm, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(tt.registry)
			if err != nil {
				t.Fatal(err)
			}
			err = registry.CheckRealm(registry.Settings{URL: u, TokenServers: tt.named}, tt.realm)
			var refused *registry.TokenServerError
			if (err == nil) != tt.want || err != nil && !errors.As(err, &refused) {
				t.Errorf("%v, want allowed: %v", err, tt.want)
			}
		})
	}
}

// A host of the registry's domain is looked at once more where it turns out to
// be.
func TestWhereTokenServersMayBe(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "https", Host: "registry.example.com"}
	s := registry.Settings{URL: u, TokenServers: []string{"named.example.com"}}
	for _, address := range []string{
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fd00::1", "fe80::1",
		"::ffff:10.0.0.1", "64:ff9b::a00:1", "198.18.0.1", "224.0.0.1", "::",
	} {
		for host, want := range map[string]bool{"auth.example.com:443": false, "named.example.com:443": true, "registry.example.com:443": true} {
			if err := registry.CheckTokenServer(s, host, address); (err == nil) != want {
				t.Errorf("%s at %s: %v", host, address, err)
			}
		}
	}
	for _, address := range []string{"93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"} {
		if err := registry.CheckTokenServer(s, "auth.example.com:443", address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestChallengesAreUnderstood(t *testing.T) {
	t.Parallel()
	type want struct{ Scheme, Realm, Service string }
	for header, w := range map[string]want{
		`Bearer realm="https://a/token",service="s",scope="repository:x:pull,push"`: {"bearer", "https://a/token", "s"},
		`bearer service=s , realm = "https://a/token"`:                              {"bearer", "https://a/token", "s"},
		`Basic realm="x, Bearer realm=\"y\""`:                                       {"basic", `x, Bearer realm="y"`, ""},
		`Negotiate abc==, Basic realm="x"`:                                          {"basic", "x", ""},
		`Digest realm="d", nonce="n", Bearer realm="https://a",service="s"`:         {"bearer", "https://a", "s"},
		`Bearer realm="https://a",realm="https://b"`:                                {"bearer", "https://a", ""},
		`Bearer realm="https://a/` + strings.Repeat("x", 4096) + `"`:                {"bearer", "", ""},
		`Bearer realm="unterminated`:                                                {"bearer", "unterminated", ""},
		`Bearer realm="ends in \`:                                                   {"bearer", "ends in ", ""},
		`Bearer`:                                                                    {"bearer", "", ""},
		`Negotiate`:                                                                 {},
		``:                                                                          {},
		`"",,=="`:                                                                   {},
		`=Bearer ="x`:                                                               {},
	} {
		scheme, realm, service := registry.Challenge(http.Header{"Www-Authenticate": {header}})
		if diff := cmp.Diff(w, want{scheme, realm, service}); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", header, diff)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://a/token",service="s", Basic realm="x"`)
	f.Add(`,, = "\" Bearer`)
	f.Fuzz(func(t *testing.T, header string) {
		if scheme, realm, _ := registry.Challenge(http.Header{"Www-Authenticate": {header}}); scheme == "" && realm != "" {
			t.Errorf("%q: a realm without a scheme", header)
		}
	})
}

// scopeOf is what a token request asks for.
func scopeOf(t *testing.T, s seen) []string {
	t.Helper()
	u, err := url.Parse(s.path)
	if err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(s.body)
	if err != nil {
		t.Fatal(err)
	}
	if one := form.Get("scope"); one != "" {
		return strings.Fields(one)
	}
	return u.Query()["scope"]
}

// A named token server gets the credentials, wherever it is, and is asked for
// nothing but what the request needs, whatever the registry says.
func TestANamedTokenServerIssuesTokens(t *testing.T) {
	t.Parallel()
	body := imageManifest()
	for _, tt := range []struct {
		kind, method, authorization, body string
	}{
		{"password", "GET", "Basic " + base64.StdEncoding.EncodeToString([]byte("robot:top-secret")), ""},
		{"identity token", "POST", "", "refresh_token=identity-token"},
	} {
		for _, secure := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, TLS: %v", tt.kind, secure), func(t *testing.T) {
				t.Parallel()
				d := newDouble(t)
				var realm string
				own := d.host("registry", secure, bearerRegistry(&realm, answer(200, manifestType, body)))
				tokens := d.host("tokens", secure, tokenServer)
				realm = tokens.URL + "/token?account=x"
				r := d.client(own, credentials()[tt.kind], func(s *registry.Settings) { s.TokenServers = []string{strings.SplitN(tokens.URL, "//", 2)[1]} })
				for range 3 {
					if _, err := r.ManifestByTag(t.Context(), app, "v1"); err != nil {
						t.Fatal(err)
					}
				}
				got := d.to("tokens")
				if len(got) != 1 {
					t.Fatalf("asked for %d tokens", len(got))
				}
				if got[0].method != tt.method || got[0].authorization != tt.authorization || !strings.Contains(got[0].body, tt.body) || !strings.Contains(got[0].path, "account=x") {
					t.Errorf("asked %+v", got[0])
				}
				if diff := cmp.Diff([]string{"repository:app:pull"}, scopeOf(t, got[0])); diff != "" {
					t.Errorf("scope: %s", diff)
				}
				for _, s := range d.to("registry") {
					if s.authorization != "" && s.authorization != "Bearer issued-token" {
						t.Errorf("the registry got %q", s.authorization)
					}
				}
			})
		}
	}
}

// A token server that sends its requests elsewhere would send the identity
// token along.
func TestTokenServersDoNotRedirect(t *testing.T) {
	t.Parallel()
	for kind, config := range credentials() {
		if kind == "registry token" {
			continue
		}
		for _, code := range []int{302, 307, 308} {
			t.Run(fmt.Sprint(kind, code), func(t *testing.T) {
				t.Parallel()
				d := newDouble(t)
				var realm, other string
				own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" {
						http.Redirect(w, r, other, code)
						return
					}
					bearerRegistry(&realm, nothing)(w, r)
				})
				realm = own.URL + "/token"
				other = d.host("other", false, tokenServer).URL
				_, err := d.client(own, config, nil).Manifest(t.Context(), app, digestOf(nil))
				if err == nil || !strings.Contains(err.Error(), "redirect is not followed") {
					t.Errorf("%v", err)
				}
				if got := d.to("other"); len(got) > 0 {
					t.Errorf("the other host got %+v", got)
				}
			})
		}
	}
}

func TestTokenServersThatFail(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refuses":               {answer(401, "application/json", []byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)), "do not allow it"},
		"does not know it":      {answer(404, "application/json", []byte(`{"errors":[{"code":"NAME_UNKNOWN"}]}`)), "status 404"},
		"is out":                {answer(503, "text/plain", nil), "status 503"},
		"no JSON":               {answer(200, "text/html", []byte("<html>")), "not the JSON of a token"},
		"no token":              {answer(200, "application/json", []byte(`{"refresh_token":"secret-of-the-server"}`)), "holds no token"},
		"a token of two lines":  {answer(200, "application/json", []byte(`{"token":"a\r\nX: y"}`)), "holds no token"},
		"an answer without end": {endless("application/json"), "larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			var realm string
			own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					tt.answer(w, r)
					return
				}
				bearerRegistry(&realm, nothing)(w, r)
			})
			realm = own.URL + "/token"
			_, err := d.client(own, credentials()["password"], nil).Manifest(t.Context(), app, digestOf(nil))
			var refused *registry.Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if errors.Is(err, gatekeeper.ErrNotFound) || errors.Is(err, gatekeeper.ErrInvalidContent) || strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("%v is taken for an answer about the image, or tells too much", err)
			}
		})
	}
}

// The registry says when a token is no longer good, and which scope a mount
// needs is known beforehand.
func TestTokensAreRenewed(t *testing.T) {
	t.Parallel()
	d := newDouble(t)
	var mu sync.Mutex
	issued, valid := 0, 0
	body := imageManifest()
	var realm string
	own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/token" {
			issued++
			valid = issued
			_, _ = fmt.Fprintf(w, `{"access_token":"token-%d"}`, issued)
			return
		}
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", valid) || valid == 0 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method {
		case http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		case http.MethodPost:
			w.WriteHeader(http.StatusCreated)
		default:
			answer(200, manifestType, body)(w, r)
		}
	})
	mu.Lock()
	realm = own.URL + "/token"
	mu.Unlock()
	r := d.client(own, credentials()["password"], nil)
	read := func() {
		t.Helper()
		if _, err := r.ManifestByTag(t.Context(), app, "v1"); err != nil {
			t.Fatal(err)
		}
	}
	read()
	mu.Lock()
	valid = -1 // the registry forgot it
	mu.Unlock()
	read()
	content := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digestOf(body), Size: int64(len(body))}, Body: body}
	mu.Lock()
	valid = -1
	mu.Unlock()
	if _, err := r.PutManifest(t.Context(), app, "v1", content); err != nil {
		t.Fatal(err)
	}
	if _, mounted, err := r.MountBlob(t.Context(), app, digestOf(nil), "base/os"); err != nil || !mounted {
		t.Fatalf("%v, %v", mounted, err)
	}
	var scopes [][]string
	for _, s := range d.to("registry") {
		if strings.HasPrefix(s.path, "/token") {
			scopes = append(scopes, scopeOf(t, s))
		}
	}
	want := [][]string{
		{"repository:app:pull"},
		{"repository:app:pull"},
		{"repository:app:push,pull"},
		{"repository:app:push,pull", "repository:base/os:pull"},
	}
	if diff := cmp.Diff(want, scopes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a redirected host asks for is not the registry's question.
func TestARedirectedHostGetsNoToken(t *testing.T) {
	t.Parallel()
	d := newDouble(t)
	content := []byte("blob")
	var realm, other string
	own := d.host("registry", false, basicRegistry(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other, http.StatusTemporaryRedirect)
	}))
	realm = own.URL + "/token"
	other = d.host("other", false, bearerRegistry(&realm, nothing)).URL
	_, err := d.client(own, credentials()["password"], nil).Blob(t.Context(), app, gatekeeper.Descriptor{Digest: digestOf(content), Size: 4}, 10)
	var refused *registry.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("%v", err)
	}
	for _, s := range d.to("registry") {
		if strings.HasPrefix(s.path, "/token") {
			t.Errorf("a token was asked for: %+v", s)
		}
	}
	if n := len(d.to("other")); n != 1 {
		t.Errorf("the other host was asked %d times", n)
	}
}

// A request that left the registry and comes back carries no credentials.
func TestARequestThatLeftComesBackWithoutCredentials(t *testing.T) {
	t.Parallel()
	d := newDouble(t)
	content := []byte("blob")
	var own, other string
	registryHost := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/private" {
			return
		}
		basicRegistry(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) })(w, r)
	})
	own = registryHost.URL
	other = d.host("other", false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, own+"/private", http.StatusFound) }).URL
	_, err := d.client(registryHost, credentials()["password"], nil).Blob(t.Context(), app, gatekeeper.Descriptor{Digest: digestOf(content), Size: 4}, 10)
	if err == nil {
		t.Error("no error")
	}
	came := false
	for _, s := range d.to("registry") {
		if s.path == "/private" {
			if came = true; s.authorization != "" {
				t.Errorf("with %s", s.authorization)
			}
		}
	}
	if !came {
		t.Error("the request did not come back: the test shows nothing")
	}
}

// One registry that is slow to say how it authenticates holds nobody up
// longer than they want to wait.
func TestNobodyWaitsForAnotherOnesAuthentication(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	l := newLiar(t)
	body := imageManifest()
	l.on("GET /v2/", func(http.ResponseWriter, *http.Request) { <-release })
	l.on("GET /v2/app/manifests/v1", answer(200, manifestType, body))
	r, _ := client(t, l.URL, nil)
	first := make(chan error, 1)
	go func() {
		_, err := r.ManifestByTag(t.Context(), app, "v1")
		first <- err
	}()
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.ManifestByTag(impatient, app, "v1"); err == nil {
		t.Error("no error")
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the patient one: %v", err)
	}
}
