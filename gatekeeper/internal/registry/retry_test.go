package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// waitOf is what the journal asks an error for.
func waitOf(err error) time.Duration {
	asked, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err)
	if !ok {
		return 0
	}
	return asked.RetryAfter()
}

func goldenApp() registry.Repository { return registry.Repository{Registry: "golden", Name: "app"} }

func TestHiccups(t *testing.T) {
	t.Parallel()
	good := imageManifest()
	ok := reply{body: good}
	status := func(code int) reply { return reply{status: code} }
	asks := func(code int, after string) reply { return reply{status: code, retryAfter: after} }
	for _, tt := range []struct {
		name     string
		script   []reply
		attempts int
		fails    string        // part of the error; empty: it is read
		least    time.Duration // that it takes
		most     time.Duration
		wait     time.Duration // that the error asks for
	}{
		{"no hiccup", []reply{ok}, 1, "", 0, 0, 0},
		{"503", []reply{status(503), ok}, 2, "", 0, time.Second, 0},
		{"500, then 502", []reply{status(500), status(502), ok}, 3, "", 0, 3 * time.Second, 0},
		{"504 each time", []reply{status(504)}, 3, "status 504", 0, 3 * time.Second, 0},
		{"429", []reply{status(429), ok}, 2, "", 0, time.Second, 0},
		{"408", []reply{status(408), ok}, 2, "", 0, time.Second, 0},
		{"501", []reply{status(501)}, 1, "status 501", 0, 0, 0},
		{"400", []reply{status(400)}, 1, "status 400", 0, 0, 0},
		{"403", []reply{status(403)}, 1, "status 403", 0, 0, 0},
		{"404", []reply{status(404)}, 1, "status 404", 0, 0, 0},
		{"a short Retry-After", []reply{asks(429, "3"), ok}, 2, "", 3 * time.Second, 4 * time.Second, 0},
		{"the longest that is waited for", []reply{asks(503, "5"), ok}, 2, "", 5 * time.Second, 5 * time.Second, 0},
		{"a date", []reply{asks(503, "Sat, 01 Jan 2000 00:00:02 GMT"), ok}, 2, "", 2 * time.Second, 3 * time.Second, 0}, // where a bubble begins
		{"a date that has passed", []reply{asks(503, "Fri, 31 Dec 1999 00:00:00 GMT"), ok}, 2, "", 0, time.Second, 0},
		{"a Retry-After that is no time", []reply{asks(503, "soon"), ok}, 2, "", 0, time.Second, 0},
		{"a negative one", []reply{asks(503, "-5"), ok}, 2, "", 0, time.Second, 0},
		{"each time a Retry-After that fits, but not twice", []reply{asks(429, "5")}, 3, "status 429", 10 * time.Second, 10 * time.Second, 5 * time.Second},
		{"a long Retry-After", []reply{asks(429, "60")}, 1, "status 429", 0, 0, time.Minute},
		{"a long one, of a 503", []reply{asks(503, "6")}, 1, "status 503", 0, 0, 6 * time.Second},
		{"a long date", []reply{asks(503, "Sat, 01 Jan 2000 00:10:00 GMT")}, 1, "status 503", 0, 0, 10 * time.Minute},
		{"more than an hour", []reply{asks(429, "86400")}, 1, "status 429", 0, 0, time.Hour},
		{"a number that no integer holds", []reply{asks(429, strings.Repeat("9", 30))}, 1, "status 429", 0, 0, time.Hour},
		{"a date in years", []reply{asks(429, "Sat, 01 Jan 2050 00:00:00 GMT")}, 1, "status 429", 0, 0, time.Hour},
		{"reset", []reply{{reset: true}, ok}, 2, "", 0, time.Second, 0},
		{"reset each time", []reply{{reset: true}}, 3, "EOF", 0, 3 * time.Second, 0},
		{"truncated", []reply{{body: good, truncated: 20}, ok}, 2, "", 0, time.Second, 0},
		{"truncated in chunks", []reply{{body: good, truncated: 20, chunked: true}, ok}, 2, "", 0, time.Second, 0},
		{"truncated each time", []reply{{body: good, truncated: 20}}, 3, "unexpected EOF", 0, 3 * time.Second, 0},
		{"an error that is cut off", []reply{{status: 404, body: good, truncated: 20}, ok}, 2, "", 0, time.Second, 0},
		{"slow, but in time", []reply{{body: good, delay: 50 * time.Second}}, 1, "", 50 * time.Second, 50 * time.Second, 0},
		{"no answer in time", []reply{{delay: time.Hour}}, 1, "HeaderTimeout", time.Minute, time.Minute, 0},
		{"late within a call", []reply{{status: 503, delay: 15 * time.Second}}, 1, "status 503", 15 * time.Second, 15 * time.Second, 0},
		{"other content", []reply{{body: append(slices.Clone(good), '\n')}}, 1, "hashes to", 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				p.staging.from(tt.script...)
				begun := time.Now()
				got, err := p.Manifest(t.Context(), app, digestOf(good))
				took := time.Since(begun)
				if tt.fails == "" && (err != nil || !bytes.Equal(got.Body, good)) || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
					t.Errorf("%q, %v", got.Body, err)
				}
				if n := len(p.staging.take()); n != tt.attempts || p.health.retries["staging"] != tt.attempts-1 {
					t.Errorf("%d requests, %d retries; want %d requests", n, p.health.retries["staging"], tt.attempts)
				}
				if took < tt.least || took > tt.most {
					t.Errorf("took %s, want %s to %s", took, tt.least, tt.most)
				}
				if wait := waitOf(err); wait != tt.wait {
					t.Errorf("the error asks for %s, want %s", wait, tt.wait)
				}
			})
		})
	}
}

// What can be sent again is, whichever operation it belongs to.
func TestEveryOperationSurvivesAHiccup(t *testing.T) {
	t.Parallel()
	good := imageManifest()
	sum := digestOf(good)
	d := gatekeeper.Descriptor{Digest: sum, Size: int64(len(good))}
	content := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: sum, Size: int64(len(good))}, Body: good}
	for name, tt := range map[string]struct {
		answer reply
		do     func(context.Context, *registry.Registries) error
	}{
		"resolve": {reply{header: []string{"Docker-Content-Digest", sum}}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Resolve(ctx, "staging", "app", "v1")
			return err
		}},
		"read a tag": {reply{body: good}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.ManifestByTag(ctx, app, "v1")
			return err
		}},
		"list tags": {reply{body: []byte(`{"tags":["v1"]}`)}, func(ctx context.Context, r *registry.Registries) error {
			tags, err := r.Tags(ctx, app)
			if err == nil && !slices.Equal(tags, []string{"v1"}) {
				return fmt.Errorf("tags: %v", tags)
			}
			return err
		}},
		"list referrers": {reply{body: []byte(`{"manifests":[]}`), header: []string{"Content-Type", indexType}}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Referrers(ctx, app, sum)
			return err
		}},
		"read a blob": {reply{body: good}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.Blob(ctx, app, d, 1000)
			return err
		}},
		"look for a blob": {reply{}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.HasBlob(ctx, app, sum)
			return err
		}},
		"mount a blob": {reply{status: 201}, func(ctx context.Context, r *registry.Registries) error {
			_, _, err := r.MountBlob(ctx, app, sum, "other")
			return err
		}},
		"write a manifest": {reply{status: 201}, func(ctx context.Context, r *registry.Registries) error {
			_, err := r.PutManifest(ctx, app, "v1", content)
			return err
		}},
	} {
		for _, hiccup := range []reply{{status: 503}, {status: 429}, {reset: true}} {
			t.Run(fmt.Sprintf("%s, %d", name, hiccup.status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := newPiped(t, nil)
					p.staging.from(hiccup, hiccup, tt.answer)
					if err := tt.do(t.Context(), p.Registries); err != nil {
						t.Error(err)
					}
					asked := p.staging.take()
					if len(asked) != 3 || asked[0] != asked[1] || asked[1] != asked[2] {
						t.Errorf("%v", asked)
					}
				})
			})
		}
	}
}

// repeating is a source that could be read again, so that it shows when it is.
type repeating struct {
	content []byte
	read    int
}

// Read implements io.Reader.
func (r *repeating) Read(p []byte) (int, error) {
	if r.read == len(r.content) {
		r.read = 0
		return 0, io.EOF
	}
	n := copy(p, r.content[r.read:])
	r.read += n
	return n, nil
}

// renewed is a keychain with another password each time, so that every
// refusal of one is a reason to try the next.
type renewed struct{ n atomic.Int64 }

// Resolve implements authn.Keychain.
func (r *renewed) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "robot", Password: fmt.Sprint(r.n.Add(1))}), nil
}

// A stream that was sent is gone: whatever the registry answers, nothing of it
// is sent a second time.
func TestAStreamIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	answers := rapid.SliceOfN(rapid.SampledFrom([]reply{
		{status: 201},
		{status: 401, header: []string{"WWW-Authenticate", `Basic realm="x"`}},
		{status: 429},
		{status: 429, retryAfter: "1"},
		{status: 500},
		{status: 503},
		{status: 503, retryAfter: "2"},
		{status: 307, header: []string{"Location", "/elsewhere"}},
		{reset: true},
		{status: 400},
		{status: 201, delay: 10 * time.Minute},
	}), 1, 5)
	content := bytes.Repeat([]byte("x"), 100_000)
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	rapid.Check(t, func(rt *rapid.T) {
		script := append([]reply{{status: 202, header: []string{"Location", "/v2/app/blobs/uploads/1"}}}, answers.Draw(rt, "answers")...)
		var asked []string
		synctest.Test(t, func(t *testing.T) {
			p := newPiped(t, func(s *registry.Settings) { s.Keychain = &renewed{} })
			p.staging.from(script...)
			err := p.PushBlob(t.Context(), app, d, &repeating{content: content}, nil)
			if (err == nil) != (script[1].status == 201 && script[1].delay == 0) {
				t.Errorf("%+v: %v", script[1], err)
			}
			asked = p.staging.take()
		})
		if n := len(slices.DeleteFunc(asked, func(call string) bool { return !strings.HasPrefix(call, "PUT") })); n != 1 {
			rt.Errorf("%d uploads", n)
		}
	})
}

// Who gives up is not kept waiting, and nobody is asked for them.
func TestGivingUpEndsTheRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, nil)
		p.staging.from(reply{status: 503, retryAfter: "4"})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		_, err := p.HasBlob(ctx, app, digestOf(nil))
		if !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second || len(p.staging.take()) != 1 {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		// A wait beyond the deadline is not begun.
		p.staging.from(reply{status: 503, retryAfter: "4"})
		<-time.After(time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begun = time.Now()
		_, err = p.HasBlob(ctx, app, digestOf(nil))
		if waitOf(err) != 4*time.Second || time.Since(begun) != 0 {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

// A token that is cut off is asked for again.
func TestATokenSurvivesAHiccup(t *testing.T) {
	t.Parallel()
	body := []byte(`{"token":"issued-token"}`)
	for name, first := range map[string]reply{
		"an outage": {status: 503}, "throttled": {status: 429, retryAfter: "1"}, "reset": {reset: true}, "truncated": {body: body, truncated: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			var realm string
			tokens := &scripted{script: []reply{first, {body: body}}}
			own := d.host("registry", false, func(w http.ResponseWriter, r *http.Request) {
				bearerRegistry(&realm, answer(200, manifestType, imageManifest()))(w, r)
			})
			server := d.host("tokens", false, tokens.ServeHTTP)
			realm = server.URL + "/token"
			r := d.client(own, credentials()["password"], func(s *registry.Settings) {
				s.TokenServers = []string{strings.TrimPrefix(server.URL, "http://")}
			})
			if _, err := r.Manifest(t.Context(), app, digestOf(imageManifest())); err != nil {
				t.Error(err)
			}
			if n := len(d.to("tokens")); n != 2 {
				t.Errorf("%d requests for a token", n)
			}
		})
	}
}
