package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

func TestTags(t *testing.T) {
	t.Parallel()
	list := func(body string, headers ...string) http.HandlerFunc {
		return answer(200, "application/json", []byte(body), headers...)
	}
	pages := func(second http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("last") == "" {
				list(`{"name":"app","tags":["a","b"]}`, "Link", `</v2/app/tags/list?n=2&last=b>; rel="next"`)(w, r)
				return
			}
			second(w, r)
		}
	}
	var many []string
	for n := range 11 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprint("v", n)))
	}
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
		want  []string
		err   string
		is    error
	}{
		{"on one page", list(`{"name":"app","tags":["v2","v1"]}`), []string{"v2", "v1"}, "", nil},
		{"none", list(`{"name":"app","tags":[]}`), nil, "", nil},
		{"null", list(`{"name":"app","tags":null}`), nil, "", nil},
		{"on two pages, one of them twice", pages(list(`{"tags":["b","c"]}`)), []string{"a", "b", "c"}, "", nil},
		{"exactly the limit", list(`{"tags":[` + strings.Join(many[:10], ",") + `]}`), []string{"v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"}, "", nil},
		{"beyond the limit", list(`{"tags":[` + strings.Join(many, ",") + `]}`), nil, "the list of tags of staging/app has more than 10 tags, which is the limit", gatekeeper.ErrInvalidContent},
		{"beyond the limit, on two pages", pages(list(`{"tags":[` + strings.Join(many[:9], ",") + `]}`)), nil, "more than 10 tags", gatekeeper.ErrInvalidContent},
		{"no repository", answer(404, "application/json", []byte(`{"errors":[{"code":"NAME_UNKNOWN"}]}`)), nil, "not found", gatekeeper.ErrNotFound},
		{"a proxy's 404", answer(404, "text/html", nil), nil, "status 404", nil},
		{"an outage on the second page", pages(answer(500, "text/html", nil)), nil, "status 500", nil},
		{"a name that is no tag", list(`{"tags":["v1","../x"]}`), nil, `"../x" is no tag`, gatekeeper.ErrInvalidContent},
		{"an empty name", list(`{"tags":[""]}`), nil, "is no tag", gatekeeper.ErrInvalidContent},
		{"a number", list(`{"tags":[1]}`), nil, "number", gatekeeper.ErrInvalidContent},
		{"no list", list(`{"tags":"v1"}`), nil, "is no list", gatekeeper.ErrInvalidContent},
		{"no JSON", list(`<html>`), nil, "not the JSON", gatekeeper.ErrInvalidContent},
		{"the field twice", list(`{"tags":["a"],"tags":["b"]}`), nil, "there twice", gatekeeper.ErrInvalidContent},
		{"the field in another case", list(`{"Tags":["a"]}`), nil, "is expected", gatekeeper.ErrInvalidContent},
		{"a page elsewhere in the registry", list(`{"tags":[]}`, "Link", `</admin>; rel="next"`), nil, "outside of the registry's API", gatekeeper.ErrInvalidContent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.on("GET /v2/app/tags/list", tt.serve)
			r, _ := client(t, l.URL, func(s *registry.Settings) { s.Limits.Tags = 10 })
			got, err := r.Tags(t.Context(), app)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
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

// A later page of referrers that is missing is no shorter list.
func TestALaterPageOfReferrersIsNotLeftOut(t *testing.T) {
	t.Parallel()
	subject := digestOf([]byte("subject"))
	l := newLiar(t)
	l.on("GET /v2/app/referrers/"+subject, answer(200, indexType, referrersIndex(digestOf([]byte("1"))), "Link", `</v2/app/referrers/more>; rel="next"`))
	r, _ := client(t, l.URL, nil)
	if list, err := r.Referrers(t.Context(), app, subject); err == nil || errors.Is(err, gatekeeper.ErrNotFound) {
		t.Errorf("%v, %v", list, err)
	}
}
