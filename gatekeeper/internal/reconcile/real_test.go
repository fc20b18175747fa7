package reconcile_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// kinds are the registries there are in process.
func kinds() map[string]func(testing.TB) string {
	return map[string]func(testing.TB) string{"Distribution": registrytest.Distribution, "with a referrers API": registrytest.WithReferrers}
}

// What was missed is found once; what moved is found again.
func TestMissedPushesAreFound(t *testing.T) {
	t.Parallel()
	for kind, start := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			s := newSetup(t, client(t, host), nil, everything())
			s.walk(t)
			if got := s.observed.both(); got != [2]int{0, 1} {
				t.Errorf("an empty registry: %v", got)
			}
			digest := push(t, host, "team-a/app", "v1")
			push(t, host, "app", "v2")
			before := time.Now()
			s.walk(t)
			if got := s.observed.both(); got != [2]int{2, 2} {
				t.Errorf("two pushes: %v", got)
			}
			for _, p := range s.books.handed {
				if p.Source != "staging" || p.EventID != "" || p.MediaType == "" || p.Time.Before(before.Add(-time.Minute)) || p.Time.After(time.Now().Add(-time.Minute)) {
					t.Errorf("%+v", p)
				}
			}
			if diff := cmp.Diff([]string{"app:v2", "team-a/app:v1"}, s.books.tags()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := s.books.newest["team-a/app:v1"]; got != digest {
				t.Errorf("v1 is %s, want %s", got, digest)
			}
			s.walk(t)
			if got := s.observed.both(); got != [2]int{2, 3} {
				t.Errorf("nothing new: %v", got)
			}
			moved := push(t, host, "team-a/app", "v1")
			s.walk(t)
			if got := s.observed.both(); got != [2]int{3, 4} || s.books.newest["team-a/app:v1"] != moved {
				t.Errorf("a moved tag: %v", got)
			}
		})
	}
}

// What is signed wakes its image, also when its notification was lost; what
// belongs to nothing that is tagged is not asked for.
func TestEvidenceTagsAreHandedOver(t *testing.T) {
	t.Parallel()
	for kind, start := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			s := newSetup(t, client(t, host), nil, match{repositories: []string{"**"}, tags: []string{"v*"}}, everything())
			digest := push(t, host, "app", "v1")
			s.walk(t)
			s.books.tags()
			var want []string
			for _, suffix := range []string{"", ".att", ".sbom", ".sig"} {
				push(t, host, "app", registry.FallbackTag(digest, suffix))
				push(t, host, "app", registry.FallbackTag(digestOf("overwritten"), suffix))
				want = append(want, "app:"+registry.FallbackTag(digest, suffix))
			}
			s.walk(t)
			if diff := cmp.Diff(append(want, "app:v1"), s.books.tags()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := s.observed.both(); got != [2]int{5, 2} {
				t.Errorf("%v", got)
			}
			push(t, host, "app", registry.FallbackTag(digest, ".sig")) // one more signature
			s.walk(t)
			if got := s.observed.both(); got != [2]int{6, 3} {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestOnlyWhatPoliciesAreAboutIsLookedAt(t *testing.T) {
	t.Parallel()
	host := registrytest.Distribution(t)
	for _, image := range []string{"app:v1", "app:latest", "scratch/x:v1", "team-a/app:v1", "team-b/app:v1"} {
		repository, tag, _ := strings.Cut(image, ":")
		push(t, host, repository, tag)
	}
	for _, tt := range []struct {
		name         string
		repositories policy.Globs
		policies     []match
		want         []string
	}{
		{"no policy", policy.Globs{"**"}, nil, nil},
		{"every repository", policy.Globs{"**"}, []match{everything()}, []string{"app:latest", "app:v1", "scratch/x:v1", "team-a/app:v1", "team-b/app:v1"}},
		{"some tags", policy.Globs{"**"}, []match{{[]string{"**"}, []string{"v*"}}}, []string{"app:v1", "scratch/x:v1", "team-a/app:v1", "team-b/app:v1"}},
		{"one left out by the policy", policy.Globs{"**"}, []match{{[]string{"*/*", "!scratch/**"}, nil}}, []string{"team-a/app:v1", "team-b/app:v1"}},
		{"one left out by the configuration", policy.Globs{"*/*", "!team-b/*"}, []match{everything()}, []string{"scratch/x:v1", "team-a/app:v1"}},
		{"two policies", policy.Globs{"**"}, []match{{[]string{"team-a/*"}, nil}, {[]string{"app"}, []string{"latest"}}}, []string{"app:latest", "team-a/app:v1"}},
		{"names in the configuration", policy.Globs{"app", "team-a/app", "gone"}, []match{{[]string{"**"}, []string{"v1"}}}, []string{"app:v1", "team-a/app:v1"}},
		{"names in the policies", policy.Globs{"team-*/**"}, []match{{[]string{"app", "team-a/app", "team-a/NONE"}, nil}}, []string{"team-a/app:v1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, client(t, host), func(s *reconcile.Source) { s.Repositories = tt.repositories }, tt.policies...)
			s.walk(t)
			if diff := cmp.Diff(tt.want, s.books.tags()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// front is in front of a real registry, and may answer instead of it.
type front struct {
	host   string
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) bool
	calls  []string
}

func newFront(t *testing.T, behind string, answer func(w http.ResponseWriter, r *http.Request) bool) *front {
	t.Helper()
	f := &front{answer: answer}
	registry := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		if !f.answer(w, r) {
			registry.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // one that was opened and never used holds up Close
		server.Close()
	})
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

func (f *front) asked(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

func refuse(w http.ResponseWriter, status int) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, `{"errors":[{"code":"DENIED"}]}`)
	return true
}

// A registry without a list says what to do, and names work all the same.
func TestWithoutACatalogNamesAreNeeded(t *testing.T) {
	t.Parallel()
	host := registrytest.Distribution(t)
	push(t, host, "app", "v1")
	f := newFront(t, host, func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == "/v2/_catalog" && refuse(w, http.StatusUnauthorized)
	})
	r := client(t, f.host)
	s := newSetup(t, r, nil, everything())
	err := s.Walk(t.Context())
	var none *registry.CatalogError
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "reconcile.repositories") || s.observed.both() != [2]int{0, 0} {
		t.Errorf("%v, %v", err, s.observed.both())
	}
	both := newSetup(t, r, func(s *reconcile.Source) { s.Repositories = policy.Globs{"app", "team-*/**"} }, everything())
	if err := both.Walk(t.Context()); !errors.As(err, &none) || !slices.Equal(both.books.tags(), []string{"app:v1"}) {
		t.Errorf("a name beside a pattern: %v, %v", err, both.observed.both())
	}
	before := f.asked("GET /v2/_catalog")
	named := newSetup(t, r, func(s *reconcile.Source) { s.Repositories = policy.Globs{"app"} }, everything())
	named.walk(t)
	if diff := cmp.Diff([]string{"app:v1"}, named.books.tags()); diff != "" || named.observed.both() != [2]int{1, 1} {
		t.Errorf("%v (-want +got)\n%s", named.observed.both(), diff)
	}
	inPolicies := newSetup(t, r, nil, match{[]string{"app"}, nil})
	inPolicies.walk(t)
	if diff := cmp.Diff([]string{"app:v1"}, inPolicies.books.tags()); diff != "" {
		t.Errorf("a name in the policy (-want +got)\n%s", diff)
	}
	if n := f.asked("GET /v2/_catalog"); n != before {
		t.Error("the list was asked for, though every name is written out")
	}
}

func TestACatalogOfSeveralPages(t *testing.T) {
	t.Parallel()
	host := registrytest.Distribution(t)
	for _, repository := range []string{"a", "b", "c"} {
		push(t, host, repository, "v1")
	}
	f := newFront(t, host, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v2/_catalog" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		next := map[string]string{"": "a", "a": "b", "b": "c"}[r.URL.Query().Get("last")]
		if next != "c" {
			w.Header().Set("Link", `</v2/_catalog?n=1&last=`+next+`>; rel="next"`)
		}
		_, _ = fmt.Fprintf(w, `{"repositories":[%q]}`, next)
		return true
	})
	s := newSetup(t, client(t, f.host), nil, everything())
	s.walk(t)
	if diff := cmp.Diff([]string{"a:v1", "b:v1", "c:v1"}, s.books.tags()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// One repository's trouble is its own.
func TestOneBrokenRepositoryHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	host := registrytest.Distribution(t)
	push(t, host, "good", "v1")
	push(t, host, "broken", "v1")
	push(t, host, "half", "v1")
	push(t, host, "half", "v2")
	f := newFront(t, host, func(w http.ResponseWriter, r *http.Request) bool {
		return (r.URL.Path == "/v2/broken/tags/list" || strings.HasPrefix(r.URL.Path, "/v2/half/manifests/v1")) && refuse(w, http.StatusInternalServerError)
	})
	s := newSetup(t, client(t, f.host), nil, everything())
	err := s.Walk(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the first of 2 troubles") || s.observed.both() != [2]int{2, 0} {
		t.Errorf("%v, %v", err, s.observed.both())
	}
	if diff := cmp.Diff([]string{"good:v1", "half:v2"}, s.books.tags()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, repository := range []string{"repository=broken", "repository=half"} {
		if !strings.Contains(s.log.String(), repository) {
			t.Errorf("%s is not in the log:\n%s", repository, s.log)
		}
	}
}
