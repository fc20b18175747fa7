package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// Every request takes a turn, whoever it goes to: with turns for all but the
// last request, that one is not sent.
func TestEverythingTakesATurn(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("x"), 100_000)
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	read := func(ctx context.Context, r *registry.Registries) error {
		body, err := r.OpenBlob(ctx, app, d)
		if err != nil {
			return err
		}
		return body.Close()
	}
	write := func(ctx context.Context, r *registry.Registries) error {
		return r.PushBlob(ctx, app, d, bytes.NewReader(content), nil)
	}
	for name, tt := range map[string]struct {
		turns int
		asked string // by how many requests: the registry, the token server, the storage
		do    func(context.Context, *registry.Registries) error
		bears bool // tokens
	}{
		"the ping and the read": {1, "1 0 0", read, false},
		"the redirect":          {2, "2 0 0", read, false},
		"all of a read":         {3, "2 0 1", read, false},
		"the token":             {1, "1 0 0", read, true},
		"after the token":       {2, "1 1 0", read, true},
		"the upload":            {2, "2 0 0", write, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double := newDouble(t)
			var realm string
			storage := double.host("storage", false, answer(200, "application/octet-stream", content))
			serve := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "/v2/app/blobs/uploads/1")
					w.WriteHeader(http.StatusAccepted)
				case strings.Contains(r.URL.Path, "/blobs/"):
					http.Redirect(w, r, storage.URL, http.StatusTemporaryRedirect)
				}
			}
			own := double.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
				if tt.bears {
					bearerRegistry(&realm, serve)(w, r)
					return
				}
				serve(w, r)
			})
			tokens := double.host("tokens", false, tokenServer)
			realm = tokens.URL
			r := double.client(own, credentials()["password"], func(s *registry.Settings) {
				s.TokenServers = []string{strings.TrimPrefix(tokens.URL, "http://")}
				s.Limits.RequestsPerSecond, s.Limits.Concurrent = 0.0001, tt.turns
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := tt.do(ctx, r); (err == nil) != (name == "all of a read") {
				t.Errorf("%v", err)
			}
			if asked := fmt.Sprint(len(double.to("registry")), len(double.to("tokens")), len(double.to("storage"))); asked != tt.asked {
				t.Errorf("asked %s, want %s", asked, tt.asked)
			}
		})
	}
}

// Whatever is asked for, an answer has to begin.
func TestEveryAnswerHasToBegin(t *testing.T) {
	t.Parallel()
	good := imageManifest()
	sum := digestOf(good)
	content := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: sum, Size: int64(len(good))}, Body: good}
	large := gatekeeper.Descriptor{Digest: sum, Size: 100_000}
	for name, tt := range map[string]struct {
		within time.Duration
		do     func(context.Context, *registry.Registries) error
	}{
		"resolve": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Resolve(ctx, "staging", "app", "v1")
			return err
		}},
		"manifest": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Manifest(ctx, app, sum)
			return err
		}},
		"tags": {time.Minute, func(ctx context.Context, r *registry.Registries) error { _, err := r.Tags(ctx, app); return err }},
		"referrers": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Referrers(ctx, app, sum)
			return err
		}},
		"has a blob": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.HasBlob(ctx, app, sum)
			return err
		}},
		"stream a blob": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.OpenBlob(ctx, app, large)
			return err
		}},
		"mount a blob": {time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, _, err := r.MountBlob(ctx, app, sum, "other")
			return err
		}},
		"write a manifest": {5 * time.Minute, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.PutManifest(ctx, app, "v1", content)
			return err
		}},
		"upload a blob": {5 * time.Minute, func(ctx context.Context, r *registry.Registries) error {
			return registry.Continue(ctx, r, app, large, io.LimitReader(zeros{}, large.Size), "http://staging.invalid/v2/app/blobs/uploads/1")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				p.staging.from(reply{delay: 24 * time.Hour})
				begun := time.Now()
				err := tt.do(t.Context(), p.Registries)
				limit, ok := errors.AsType[*registry.TimeoutError](err)
				if took := time.Since(begun); !ok || limit.Limit != "HeaderTimeout" || took != tt.within {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

// A token server has the same limits.
func TestATokenHasToCome(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		limit string
	}{
		"no answer":                   {silence, "HeaderTimeout"},
		"a token that drips":          {drip("application/json", 1, 5*time.Millisecond), "IdleTimeout"},
		"a token that comes too late": {drip("application/json", 100, 5*time.Millisecond), "ReadTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double := newDouble(t)
			var own *httptest.Server
			realm := ""
			own = double.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					tt.serve(w, r)
					return
				}
				bearerRegistry(&realm, nothing)(w, r)
			})
			realm = own.URL + "/token"
			r := double.client(own, credentials()["password"], only(tt.limit, 100*time.Millisecond))
			_, err := r.Manifest(t.Context(), app, digestOf(nil))
			limit, ok := errors.AsType[*registry.TimeoutError](err)
			if !ok || limit.Limit != tt.limit {
				t.Errorf("%v, want a TimeoutError of %s", err, tt.limit)
			}
		})
	}
}
