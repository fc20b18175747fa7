package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
)

// repositories collects what is listed.
func repositories(ctx context.Context, r *registry.Registries) (all []string, err error) {
	err = r.Repositories(ctx, "staging", func(name string) error {
		all = append(all, name)
		return nil
	})
	return all, err
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	list := func(body string, headers ...string) http.HandlerFunc {
		return answer(200, "application/json", []byte(body), headers...)
	}
	pages := func(second http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				list(`{"repositories":["a","team/b"]}`, "Link", `</v2/_catalog?n=2&last=b>; rel="next"`)(w, r)
				return
			}
			second(w, r)
		}
	}
	refused := func(status int, code string) http.HandlerFunc {
		return answer(status, "application/json", []byte(`{"errors":[{"code":"`+code+`"}]}`))
	}
	for _, tt := range []struct {
		name      string
		serve     http.HandlerFunc
		want      []string
		err       string
		is        error
		noCatalog bool
	}{
		{"on one page", list(`{"repositories":["b","a"]}`), []string{"b", "a"}, "", nil, false},
		{"none", list(`{"repositories":[]}`), nil, "", nil, false},
		{"null", list(`{"repositories":null}`), nil, "", nil, false},
		{"on two pages, one of them twice", pages(list(`{"repositories":["team/b","c"]}`)), []string{"a", "team/b", "c"}, "", nil, false},
		{"exactly the limit", pages(list(`{"repositories":["c","d"]}`)), []string{"a", "team/b", "c", "d"}, "", nil, false},
		{"beyond the limit", pages(list(`{"repositories":["c","d","e"]}`)), []string{"a", "team/b"}, "the list of repositories of staging has more than 4 repositories, which is the limit", gatekeeper.ErrInvalidContent, false},
		{"a name that is none", list(`{"repositories":["a","../x"]}`), nil, `"../x" is no repository's name`, gatekeeper.ErrInvalidContent, false},
		{"a number", list(`{"repositories":[1]}`), nil, "number", gatekeeper.ErrInvalidContent, false},
		{"no JSON", list(`<html>`), nil, "not the JSON", gatekeeper.ErrInvalidContent, false},
		{"a page on another host", list(`{"repositories":["a"]}`, "Link", `<https://evil.example/v2/_catalog>; rel="next"`), nil, "on another host", gatekeeper.ErrInvalidContent, false},
		{"an outage", answer(500, "text/html", nil), nil, "status 500", nil, false},
		{"an outage on the second page", pages(answer(502, "text/html", nil)), []string{"a", "team/b"}, "status 502", nil, false},
		{"a second page that is missing", pages(answer(404, "text/html", nil)), []string{"a", "team/b"}, "status 404", nil, false},
		{"a second page that is refused", pages(refused(401, "UNAUTHORIZED")), []string{"a", "team/b"}, "status 401", nil, false},
		{"too many requests", refused(429, "TOOMANYREQUESTS"), nil, "status 429", nil, false},
		{"no such list", answer(404, "text/html", nil), nil, "status 404", nil, true},
		{"no such list, in the registry's words", refused(404, "NAME_UNKNOWN"), nil, "not found", gatekeeper.ErrNotFound, true},
		{"no such method", refused(405, "UNSUPPORTED"), nil, "status 405", nil, true},
		{"not for these credentials", refused(401, "UNAUTHORIZED"), nil, "status 401", nil, true},
		{"for nobody", refused(403, "DENIED"), nil, "status 403", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.on("GET /v2/_catalog", tt.serve)
			r, _ := client(t, l.URL, func(s *registry.Settings) { s.Limits.Repositories = 4 })
			got, err := repositories(t.Context(), r)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			var none *registry.CatalogError
			if errors.As(err, &none) != tt.noCatalog {
				t.Errorf("%v, want a CatalogError: %v", err, tt.noCatalog)
			}
			if tt.noCatalog && !strings.Contains(err.Error(), "name the repositories under reconcile.repositories") {
				t.Errorf("%v names no remedy", err)
			}
			for _, kind := range []error{gatekeeper.ErrNotFound, gatekeeper.ErrInvalidContent} {
				if errors.Is(err, kind) != errors.Is(tt.is, kind) {
					t.Errorf("%v is %v: %v", err, kind, errors.Is(err, kind))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Who reads the list may stop, and hears nothing of its own error but itself.
func TestRepositoriesEndWithTheReadersError(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("GET /v2/_catalog", answer(200, "application/json", []byte(`{"repositories":["a","b"]}`), "Link", `</v2/_catalog?last=b>; rel="next"`))
	r, _ := client(t, l.URL, nil)
	enough := errors.New("enough")
	n := 0
	err := r.Repositories(t.Context(), "staging", func(string) error {
		n++
		return enough
	})
	if !errors.Is(err, enough) || errors.Is(err, gatekeeper.ErrInvalidContent) || n != 1 || len(l.calls()) != 1 {
		t.Errorf("%v after %d names and %v", err, n, l.calls())
	}
}

// A registry that serves smaller pages than we ask for says so with a 400.
func TestRepositoriesOnTheRegistrysOwnPages(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("GET /v2/_catalog", func(w http.ResponseWriter, r *http.Request) {
		if n, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil && n > 100 {
			answer(400, "application/json", []byte(`{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`))(w, r)
			return
		}
		answer(200, "application/json", []byte(`{"repositories":["a"]}`))(w, r)
	})
	r, _ := client(t, l.URL, nil)
	if got, err := repositories(t.Context(), r); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// The list needs a token of its own scope, and the credentials of the registry.
func TestRepositoriesAreAskedForWithTheirOwnScope(t *testing.T) {
	t.Parallel()
	for kind, config := range credentials() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			var realm string
			own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					tokenServer(w, r)
					return
				}
				bearerRegistry(&realm, answer(200, "application/json", []byte(`{"repositories":["a"]}`)))(w, r)
			})
			realm = own.URL + "/token"
			got, err := repositories(t.Context(), d.client(own, config, nil))
			if err != nil || !slices.Equal(got, []string{"a"}) {
				t.Fatalf("%v, %v", got, err)
			}
			for _, s := range d.to("registry") {
				if strings.HasPrefix(s.path, "/token") && s.method == http.MethodGet && !slices.Equal(scopeOf(t, s), []string{"registry:catalog:*"}) {
					t.Errorf("asked for %v", scopeOf(t, s))
				}
				if strings.HasPrefix(s.path, "/token") && s.method == http.MethodPost && !strings.Contains(s.body, "scope=registry%3Acatalog%3A%2A") {
					t.Errorf("asked with %s", s.body)
				}
			}
		})
	}
}

// A token server that gives no token for the list is a registry without one.
func TestATokenServerRefusesTheCatalog(t *testing.T) {
	t.Parallel()
	d := newDouble(t)
	var realm string
	own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		bearerRegistry(&realm, nothing)(w, r)
	})
	realm = own.URL + "/token"
	_, err := repositories(t.Context(), d.client(own, credentials()["password"], nil))
	var none *registry.CatalogError
	if !errors.As(err, &none) || strings.Contains(err.Error(), "top-secret") {
		t.Errorf("%v", err)
	}
}

// Only the list of repositories is asked for without a repository.
func TestAnEmptyRepositoryIsRefused(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	r, _ := client(t, l.URL, nil)
	nowhere := registry.Repository{Registry: "staging"}
	if _, err := r.Tags(t.Context(), nowhere); !errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("%v", err)
	}
	if _, err := r.Resolve(t.Context(), "staging", "", "v1"); !errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("%v", err)
	}
	if len(l.calls()) > 0 {
		t.Errorf("asked: %v", l.calls())
	}
}

func TestRealRegistriesListTheirRepositories(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(testing.TB) string{"Distribution": registrytest.Distribution, "with a referrers API": registrytest.WithReferrers} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			want := []string{"app", "team-a/app", "team-a/deep/er"}
			for _, repository := range want {
				ref, err := name.ParseReference(fmt.Sprintf("%s/%s:v1", host, repository))
				if err != nil {
					t.Fatal(err)
				}
				if err := remote.Write(ref, empty.Image, remote.WithContext(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			r, _ := client(t, "http://"+host, nil)
			got, err := repositories(t.Context(), r)
			if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestSubjectOfTag(t *testing.T) {
	t.Parallel()
	digest := digestOf(nil)
	for _, suffix := range []string{"", ".sig", ".att", ".sbom"} {
		if got, ok := registry.SubjectOfTag(registry.FallbackTag(digest, suffix)); !ok || got != digest {
			t.Errorf("%q: %q, %v", suffix, got, ok)
		}
	}
	for _, tag := range []string{"v1", digest, "sha256-abc", registry.FallbackTag(digest, ".txt"), registry.FallbackTag(digest, "."), "x" + registry.FallbackTag(digest, ""), ""} {
		if got, ok := registry.SubjectOfTag(tag); ok || got != "" {
			t.Errorf("%q: %q, %v", tag, got, ok)
		}
	}
}
