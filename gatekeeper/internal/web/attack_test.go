package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web"
)

// Management interfaces of registries let in whoever left the token out, took
// more fields than they showed, or had a password that everybody knew: here
// every path asks, only what is documented is taken, and there is no default.
func TestAttack_CVE_2019_16097(t *testing.T) {
	t.Parallel()
	d := deps()
	d.Token, d.PrivateMetrics = "s3cret-token", true
	h := web.New(d)
	paths := map[string]string{
		"/": http.MethodGet, "/decisions/7": http.MethodGet, "/rebuilds": http.MethodGet, "/exceptions": http.MethodGet, "/style.css": http.MethodGet, "/metrics": http.MethodGet, "/nothing": http.MethodGet,
		"/api/v1/decisions": http.MethodGet, "/api/v1/decisions/7": http.MethodGet, "/api/v1/images?image=a:v1": http.MethodGet,
		"/api/v1/rebuilds": http.MethodGet, "/api/v1/exceptions": http.MethodGet, "/api/v1/policies": http.MethodGet, "/api/v1/openapi.yaml": http.MethodGet, "/api/v1/check": http.MethodPost,
	}
	for path, method := range paths {
		body := ""
		if method == http.MethodPost {
			body = `{"image":"registry.example.com/a:v1"}`
		}
		for name, header := range map[string]string{
			"nobody": "", "a part of the token": "Bearer s3cret", "an empty token": "Bearer ", "the password everybody knows": "Basic YWRtaW46SGFyYm9yMTIzNDU=",
		} {
			got := ask(t, h, method, path, body, func(r *http.Request) {
				r.Host = "gatekeeper.example.com"
				if header != "" {
					r.Header.Set("Authorization", header)
				}
				r.Header.Set("X-Forwarded-For", "127.0.0.1")
			})
			if got.status != http.StatusUnauthorized || strings.Contains(got.body, "team-a") {
				t.Errorf("%s %s as %s: status %d", method, path, name, got.status)
			}
		}
	}
	with := func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cret-token") }
	if got := ask(t, h, http.MethodPost, "/api/v1/check", `{"image":"registry.example.com/a:v1","breakGlass":true,"verdict":"promoted"}`, with); got.status != http.StatusBadRequest {
		t.Errorf("fields that are not documented: status %d", got.status)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodPost} {
		if got := ask(t, h, method, "/api/v1/decisions/7", "{}", with); got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s of a decision: status %d", method, got.status)
		}
	}
	// Without a token the API answers this machine alone, whatever a proxy says.
	open := web.New(deps())
	if got := ask(t, open, http.MethodGet, "/api/v1/decisions", "", func(r *http.Request) { r.Host = "gatekeeper.example.com" }); got.status != http.StatusForbidden {
		t.Errorf("without a token, by another name: status %d", got.status)
	}
}
