package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// Each test is named after a published flaw of a system like this one, and
// shows that the flaw is not here.

// The registry answers the second request for the same thing with something
// else: what was verified is not what is copied.
func TestAttack_CVE_2022_47633(t *testing.T) {
	t.Parallel()
	verified, swapped := imageManifest(), []byte(`{"schemaVersion":2,"mediaType":"`+manifestType+`","layers":[],"annotations":{"x":"y"}}`)
	sum := digestOf(verified)
	l := newLiar(t)
	var gets atomic.Int64
	second := func(w http.ResponseWriter, r *http.Request) {
		body := verified
		if gets.Add(1) > 1 {
			body = swapped
		}
		answer(200, manifestType, body, "Docker-Content-Digest", sum)(w, r)
	}
	l.on("GET /v2/app/manifests/"+sum, second)
	l.on("GET /v2/app/manifests/v1", second)
	l.on("HEAD /v2/app/manifests/v1", answer(200, manifestType, nil, "Docker-Content-Digest", sum))
	r, _ := client(t, l.URL, nil)
	resolved, err := r.Resolve(t.Context(), "staging", "app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range []string{"evidence", "copy"} {
		got, err := r.Manifest(t.Context(), app, resolved.Digest)
		if err != nil || !bytes.Equal(got.Body, verified) {
			t.Errorf("for the %s: %s, %v", use, got.Body, err)
		}
	}
	if n := gets.Load(); n != 1 {
		t.Errorf("the manifest was asked for %d times", n)
	}
	// Somebody who has not read it yet gets the swapped bytes, and refuses them.
	late, _ := client(t, l.URL, nil)
	if _, err := late.Manifest(t.Context(), app, sum); !errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("a late reader: %v", err)
	}
}

// The registry resolves a tag to one digest and serves something else for it.
func TestAttack_CVE_2023_33959(t *testing.T) {
	t.Parallel()
	wrong := imageManifest()
	claimed := digestOf([]byte("the signed one"))
	l := newLiar(t)
	l.on("HEAD /v2/app/manifests/v1", answer(200, manifestType, nil, "Docker-Content-Digest", claimed))
	l.on("GET /v2/app/manifests/"+claimed, answer(200, manifestType, wrong, "Docker-Content-Digest", claimed))
	r, _ := client(t, l.URL, nil)
	d, err := r.Resolve(t.Context(), "staging", "app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Manifest(t.Context(), app, d.Digest); !errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("%+v, %v", got.Descriptor, err)
	}
}

// Signatures without end: pages that always name another page.
func TestAttack_CVE_2023_33957(t *testing.T) {
	t.Parallel()
	subject := digestOf([]byte("subject"))
	for name, tt := range map[string]struct {
		page     func(n int64) (body []byte, next string)
		want     string
		requests int64
	}{
		"pages of one each": {func(n int64) ([]byte, string) {
			return referrersIndex(digestOf(fmt.Append(nil, n))), fmt.Sprintf("/v2/app/referrers/more?page=%d", n)
		}, "more than 20 referrers, which is the limit", 21},
		"empty pages": {func(n int64) ([]byte, string) {
			return referrersIndex(), fmt.Sprintf("/v2/app/referrers/more?page=%d", n)
		}, "more than 1000 pages, which is the limit", 1000},
		"a page that links to itself": {func(int64) ([]byte, string) {
			return referrersIndex(), "/v2/app/referrers/" + subject
		}, "lead back to one that was read", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			l := newLiar(t)
			endless := func(w http.ResponseWriter, r *http.Request) {
				body, next := tt.page(asked.Add(1))
				answer(200, indexType, body, "Link", "<"+next+`>; rel="next"`)(w, r)
			}
			l.on("GET /v2/app/referrers/"+subject, endless)
			l.on("GET /v2/app/referrers/more", endless)
			r, _ := client(t, l.URL, func(s *registry.Settings) { s.Limits.Referrers = 20 })
			_, err := r.Referrers(t.Context(), app, subject)
			if !errors.Is(err, gatekeeper.ErrInvalidContent) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want invalid content with %q", err, tt.want)
			}
			if n := asked.Load(); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

// allocated is how many bytes a function takes from the heap in all.
func allocated(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A huge number of signatures: 100,000 referrers on one page and on many, and
// as the layers of one manifest.
func TestAttack_CVE_2023_46737(t *testing.T) { // not parallel: measures the heap
	const many = 100_000
	subject := digestOf([]byte("subject"))
	small := func(n int) string { return `{"digest":"` + digestOf(fmt.Append(nil, n)) + `"}` }
	huge := func(field, entry string, n int) []byte {
		return []byte(`{"schemaVersion":2,"` + field + `":[` + strings.Repeat(entry+",", n-1) + entry + `]}`)
	}
	var all []string
	for n := range many / 100 {
		all = append(all, small(n))
	}
	for _, tt := range []struct {
		name     string
		serve    func(l *liar)
		limit    string
		requests int
	}{
		{"on one page beyond 4 MiB", func(l *liar) {
			l.on("GET /v2/app/referrers/"+subject, answer(200, indexType, huge("manifests", small(1), many)))
		}, "4194304 bytes", 1},
		{"on one page of 4 MiB", func(l *liar) {
			l.on("GET /v2/app/referrers/"+subject, answer(200, indexType, huge("manifests", small(1), 45_000)))
		}, "1000 referrers", 1},
		{"on many pages", func(l *liar) {
			l.on("GET /v2/app/referrers/"+subject, func(w http.ResponseWriter, r *http.Request) {
				page := r.URL.Query().Get("page") + "x"
				start := (len(page) - 1) % 10 * 100
				body := []byte(`{"schemaVersion":2,"manifests":[` + strings.Join(all[start:start+100], ",") + `]}`)
				answer(200, indexType, body, "Link", "<"+r.URL.Path+"?page="+page+`>; rel="next"`)(w, r)
			})
		}, "1000 referrers", 11},
		{"under the fallback tag", func(l *liar) {
			l.on("GET /v2/app/manifests/"+registry.FallbackTag(subject, ""), answer(200, indexType, huge("manifests", "{}", 1_000_000)))
		}, "1000 manifests", 2},
		{"as layers of one manifest", func(l *liar) {
			l.on("GET /v2/app/manifests/"+registry.FallbackTag(subject, ""), answer(200, manifestType, huge("layers", "{}", 1_000_000)))
		}, "1000 layers", 2},
	} {
		t.Run(tt.name, func(t *testing.T) { // not parallel: measures the heap
			l := newLiar(t)
			tt.serve(l)
			r, _ := client(t, l.URL, nil)
			var err error
			begun := time.Now()
			bytes := allocated(func() { _, err = r.Referrers(t.Context(), app, subject) })
			var limit *registry.LimitError
			if !errors.As(err, &limit) || !strings.Contains(err.Error(), tt.limit) {
				t.Errorf("%v, want a LimitError with %q", err, tt.limit)
			}
			if n := len(l.calls()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			t.Logf("%d MiB allocated", bytes>>20)
			if bytes > 256<<20 {
				t.Errorf("%d MiB were allocated", bytes>>20)
			}
		})
	}
}

// endless is a body without end, in chunks.
func endless(contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// Attachments that are huge, say they are, or lie about it.
func TestAttack_CVE_2024_29902(t *testing.T) { // not parallel: measures the heap
	content := []byte("attachment")
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	for _, tt := range []struct {
		name  string
		size  int64
		serve http.HandlerFunc
		want  string
	}{
		{"10 GiB declared by the manifest", 10 << 30, nil, "1024 bytes, which is the limit"},
		{"10 GiB declared by the answer", d.Size, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10737418240")
			endless("application/octet-stream")(w, r)
		}, "longer than its 10 bytes"},
		{"endless chunks", d.Size, endless("application/octet-stream"), "longer than its 10 bytes"},
		{"a length that lies", d.Size, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write(content[:3])
		}, "unexpected EOF"},
		{"a negative size", -1, nil, "has the size -1"},
	} {
		t.Run(tt.name, func(t *testing.T) { // not parallel: measures the heap
			l := newLiar(t)
			if tt.serve != nil {
				l.on("GET /v2/app/blobs/"+d.Digest, tt.serve)
			}
			r, _ := client(t, l.URL, nil)
			var err error
			bytes := allocated(func() {
				_, err = r.Blob(t.Context(), app, gatekeeper.Descriptor{Digest: d.Digest, Size: tt.size}, 1024)
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if tt.serve == nil && len(l.calls()) > 0 {
				t.Errorf("asked %v", l.calls())
			}
			if bytes > 16<<20 {
				t.Errorf("%d MiB were allocated", bytes>>20)
			}
		})
	}
}

// Documents that are a manifest for one reader and an index for another.
func TestAttack_GHSA_qq97_vm5h_rrhg(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, contentType, body, want string }{
		{"both layers and manifests", manifestType, `{"schemaVersion":2,"mediaType":"` + manifestType + `","layers":[],"manifests":[]}`, "ambiguous"},
		{"both, without a media type", indexType, `{"schemaVersion":2,"layers":[],"manifests":[]}`, "ambiguous"},
		{"both, one in another case", indexType, `{"schemaVersion":2,"Layers":[],"manifests":[]}`, "ambiguous"},
		{"an index served as a manifest", manifestType, `{"schemaVersion":2,"manifests":[]}`, "is an index"},
		{"a manifest served as an index", indexType, `{"schemaVersion":2,"layers":[]}`, "lists no manifests"},
		{"a media type that is not the content type", indexType, `{"schemaVersion":2,"mediaType":"` + manifestType + `","manifests":[]}`, "calls itself"},
		{"an old manifest", manifestType, `{"schemaVersion":1,"fsLayers":[],"layers":[]}`, "ambiguous"},
		{"a key twice", manifestType, `{"schemaVersion":2,"config":{},"config":{"x":1},"layers":[]}`, "there twice"},
		{"a key twice, deep inside", manifestType, `{"schemaVersion":2,"layers":[{"digest":"a","digest":"b"}]}`, "there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			sum := digestOf([]byte(tt.body))
			l.on("GET /v2/app/manifests/"+sum, answer(200, tt.contentType, []byte(tt.body)))
			r, _ := client(t, l.URL, nil)
			_, err := r.Manifest(t.Context(), app, sum)
			if !errors.Is(err, gatekeeper.ErrInvalidContent) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want invalid content with %q", err, tt.want)
			}
		})
	}
	t.Run("two content types", func(t *testing.T) {
		t.Parallel()
		body := imageManifest()
		l := newLiar(t)
		l.on("GET /v2/app/manifests/"+digestOf(body), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{manifestType, indexType}
			_, _ = w.Write(body)
		})
		r, _ := client(t, l.URL, nil)
		if _, err := r.Manifest(t.Context(), app, digestOf(body)); !errors.Is(err, gatekeeper.ErrInvalidContent) {
			t.Errorf("%v", err)
		}
	})
}

// A manifest of 100 MiB is given up at 4 MiB, whether its length is said or not.
func TestAttack_CVE_2017_11468(t *testing.T) { // not parallel: measures the heap
	sum := digestOf([]byte("x"))
	for name, serve := range map[string]http.HandlerFunc{
		"declared": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "104857600")
			endless(manifestType)(w, r)
		},
		"in chunks": endless(manifestType),
	} {
		t.Run(name, func(t *testing.T) { // not parallel: measures the heap
			l := newLiar(t)
			l.on("GET /v2/app/manifests/"+sum, serve)
			l.on("GET /v2/app/manifests/v1", serve)
			r, _ := client(t, l.URL, nil)
			bytes := allocated(func() {
				for _, read := range []func() error{
					func() error { _, err := r.Manifest(t.Context(), app, sum); return err },
					func() error { _, err := r.ManifestByTag(t.Context(), app, "v1"); return err },
				} {
					var limit *registry.LimitError
					if err := read(); !errors.As(err, &limit) || limit.Limit != registry.MaxManifest || !errors.Is(err, gatekeeper.ErrInvalidContent) {
						t.Errorf("%v", err)
					}
				}
			})
			if bytes > 96<<20 {
				t.Errorf("%d MiB were allocated", bytes>>20)
			}
		})
	}
}

// The digest is taken from a header instead of the bytes.
func TestAttack_GHSA_qv35_3gw6_8q4j(t *testing.T) {
	t.Parallel()
	pinned := digestOf([]byte("what was pinned"))
	other := imageManifest()
	for name, contentType := range map[string]string{
		"a manifest":             manifestType,
		"a Docker manifest":      "application/vnd.docker.distribution.manifest.v2+json",
		"a signed old manifest":  "application/vnd.docker.distribution.manifest.v1+prettyjws",
		"an old manifest":        "application/vnd.docker.distribution.manifest.v1+json",
		"an old one, plain JSON": "application/json",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			body := bytes.ReplaceAll(other, []byte(manifestType), []byte(contentType))
			l.on("GET /v2/app/manifests/"+pinned, answer(200, contentType, body, "Docker-Content-Digest", pinned, "Etag", `"`+pinned+`"`))
			r, _ := client(t, l.URL, nil)
			if got, err := r.Manifest(t.Context(), app, pinned); !errors.Is(err, gatekeeper.ErrInvalidContent) || got.Body != nil {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("a registry that stores something else", func(t *testing.T) {
		t.Parallel()
		l := newLiar(t)
		l.on("PUT /v2/app/manifests/v1", answer(201, "text/plain", nil, "Docker-Content-Digest", pinned))
		r, _ := client(t, l.URL, nil)
		content := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digestOf(other), Size: int64(len(other))}, Body: other}
		if _, err := r.PutManifest(t.Context(), app, "v1", content); err == nil || !strings.Contains(err.Error(), "stored "+pinned) {
			t.Errorf("%v", err)
		}
	})
}

// calls are all that the client can be asked to do with names from outside.
func calls(t *testing.T, r *registry.Registries) map[string]func(repository, tag, digest string) error {
	t.Helper()
	ctx, body := t.Context(), imageManifest()
	in := func(name string) registry.Repository { return registry.Repository{Registry: "staging", Name: name} }
	blob := func(digest string) gatekeeper.Descriptor { return gatekeeper.Descriptor{Digest: digest, Size: 2} }
	content := func(digest string) registry.Content {
		return registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digest, Size: int64(len(body))}, Body: body}
	}
	return map[string]func(repository, tag, digest string) error{
		"Resolve":        func(n, tag, _ string) error { _, err := r.Resolve(ctx, "staging", n, tag); return err },
		"Manifest":       func(n, _, d string) error { _, err := r.Manifest(ctx, in(n), d); return err },
		"ManifestByTag":  func(n, tag, _ string) error { _, err := r.ManifestByTag(ctx, in(n), tag); return err },
		"SubjectOf":      func(n, _, d string) error { _, err := r.SubjectOf(ctx, "staging", n, d); return err },
		"Referrers":      func(n, _, d string) error { _, err := r.Referrers(ctx, in(n), d); return err },
		"Tags":           func(n, _, _ string) error { _, err := r.Tags(ctx, in(n)); return err },
		"Blob":           func(n, _, d string) error { _, err := r.Blob(ctx, in(n), blob(d), 10); return err },
		"OpenBlob":       func(n, _, d string) error { _, err := r.OpenBlob(ctx, in(n), blob(d)); return err },
		"HasBlob":        func(n, _, d string) error { _, err := r.HasBlob(ctx, in(n), d); return err },
		"MountBlob":      func(n, _, d string) error { _, _, err := r.MountBlob(ctx, in(n), d, "base"); return err },
		"MountBlob from": func(n, _, d string) error { _, _, err := r.MountBlob(ctx, app, d, n); return err },
		"PushBlob":       func(n, _, d string) error { return r.PushBlob(ctx, in(n), blob(d), strings.NewReader("{}"), nil) },
		"PutManifest": func(n, tag, _ string) error {
			_, err := r.PutManifest(ctx, in(n), tag, content(digestOf(body)))
			return err
		},
		"PutManifest's digest": func(n, tag, d string) error { _, err := r.PutManifest(ctx, in(n), tag, content(d)); return err },
	}
}

// Names that lead to another place of the registry are refused before anything
// is asked.
func TestAttack_CVE_2024_3727(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("a", 64)
	bad := map[string][]string{
		"digest": {
			"", "v1", "sha256:", "sha256:../../x", "sha256:" + hex[:63], "sha256:" + hex + "a", "sha256:" + strings.ToUpper(hex), "SHA256:" + hex,
			"sha512:" + hex + hex, "sha512:" + hex, "sha256:" + hex[:60] + "/../", "sha256:" + hex + "\n", " sha256:" + hex, "sha256:" + hex + "?x=y", "../../x", "sha256:" + hex[:63] + "%",
		},
		"tag":        {"", "../x", "a/b", "v1?x=y", "v1#x", "v1%2f..", ".v1", "-v1", "v 1", "v1\n", strings.Repeat("a", 129), "sha256:" + strings.ToUpper(hex)},
		"repository": {"", "..", "a/../b", "a//b", "/a", "a/", "A", "a b", "a?x=y", "a#b", "a%2e%2e/b", "evil.example:80/a", "a\n", "a@b", strings.Repeat("a", 300), "http://evil.example/a"},
	}
	goodDigest := digestOf(imageManifest())
	for kind, names := range bad {
		for _, name := range names {
			t.Run(fmt.Sprintf("%s %.40q", kind, name), func(t *testing.T) {
				t.Parallel()
				l := newLiar(t)
				r, _ := client(t, l.URL, nil)
				for call, do := range calls(t, r) {
					repository, tag, digest := "app", "v1", goodDigest
					affected := true
					switch kind {
					case "digest":
						digest = name
						affected = !slices.Contains([]string{"Resolve", "ManifestByTag", "Tags", "PutManifest"}, call)
					case "tag":
						tag = name
						affected = slices.Contains([]string{"Resolve", "ManifestByTag", "PutManifest"}, call)
					case "repository":
						repository = name
					}
					if !affected {
						continue
					}
					if err := do(repository, tag, digest); !errors.Is(err, gatekeeper.ErrInvalidContent) {
						t.Errorf("%s: %v", call, err)
					}
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				if len(l.requests) > 0 {
					t.Errorf("%d requests, the first to %s", len(l.requests), l.requests[0].URL)
				}
			})
		}
	}
	t.Run("in what a registry lists", func(t *testing.T) {
		t.Parallel()
		l := newLiar(t)
		l.on("GET /v2/app/tags/list", answer(200, "application/json", []byte(`{"tags":["v1","../../x"]}`)))
		l.on("GET /v2/app/referrers/"+goodDigest, answer(200, indexType, referrersIndex("sha256:../../x")))
		r, _ := client(t, l.URL, nil)
		if _, err := r.Tags(t.Context(), app); !errors.Is(err, gatekeeper.ErrInvalidContent) {
			t.Errorf("a tag: %v", err)
		}
		if _, err := r.Referrers(t.Context(), app, goodDigest); !errors.Is(err, gatekeeper.ErrInvalidContent) {
			t.Errorf("a referrer: %v", err)
		}
	})
}

// A registry names a token server of its choice, to get the credentials sent
// there.
func TestAttack_CVE_2026_33540(t *testing.T) {
	t.Parallel()
	for kind, config := range credentials() {
		if kind == "registry token" {
			continue // is not exchanged
		}
		for name, tt := range map[string]struct {
			secure, realmSecure bool
			host                string // instead of the other host's own
			want                string
		}{
			"another host":                {true, true, "", "registries[].auth.tokenServers"},
			"another host, all plain":     {false, false, "", "registries[].auth.tokenServers"},
			"http for a secure registry":  {true, false, "", "instead of https"},
			"a private address":           {true, true, "10.1.2.3", "10.1.2.3"},
			"the metadata service":        {false, false, "169.254.169.254", "169.254.169.254"},
			"loopback by name":            {true, true, "localhost", "localhost"},
			"a name on the Internet":      {true, true, "evil.example.com", "evil.example.com"},
			"a user in front of the host": {true, true, "registry.example.com@evil.example.com", "no URL of a token server"},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				d := newDouble(t)
				var realm string
				own := d.host("registry", tt.secure, bearerRegistry(&realm, nothing))
				other := d.host("other", tt.realmSecure, tokenServer)
				realm = other.URL + "/token"
				if tt.host != "" {
					realm = map[bool]string{true: "https", false: "http"}[tt.realmSecure] + "://" + tt.host + "/token"
				}
				r := d.client(own, config, nil)
				_, err := r.Manifest(t.Context(), app, digestOf(nil))
				var refused *registry.TokenServerError
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want a TokenServerError with %q", err, tt.want)
				}
				if got := d.to("other"); len(got) > 0 {
					t.Errorf("the other host was asked: %+v", got)
				}
				if leak := d.leaked("registry"); leak != "" {
					t.Errorf("the registry got %s", leak)
				}
			})
		}
	}
}

// Credentials follow a redirect, an upload's location, or a link.
func TestAttack_CVE_2026_50151(t *testing.T) {
	t.Parallel()
	content := []byte("blob")
	sum := digestOf(content)
	blob := gatekeeper.Descriptor{Digest: sum, Size: 4}
	body := imageManifest()
	manifest := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digestOf(body), Size: int64(len(body))}, Body: body}
	redirect := func(code int) func(string) http.HandlerFunc {
		return func(other string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/stored", code) }
		}
	}
	with := func(status int, contentType string, body []byte, header, format string) func(string) http.HandlerFunc {
		return func(other string) http.HandlerFunc {
			return answer(status, contentType, body, header, fmt.Sprintf(format, other))
		}
	}
	read := func(r *registry.Registries) error { _, err := r.Blob(t.Context(), app, blob, 100); return err }
	upload := func(r *registry.Registries) error {
		return r.PushBlob(t.Context(), app, blob, bytes.NewReader(content), nil)
	}
	write := func(r *registry.Registries) error {
		_, err := r.PutManifest(t.Context(), app, "v1", manifest)
		return err
	}
	type attack struct {
		name          string
		secure, plain bool // the registry has TLS; the other host has none
		serve         func(other string) http.HandlerFunc
		do            func(r *registry.Registries) error
		asked         bool   // the other host is asked, without credentials
		want          string // in the error; empty: it works
	}
	attacks := []attack{
		{"a read is redirected to another host", false, true, redirect(307), read, true, ""},
		{"a read is redirected from https to https elsewhere", true, false, redirect(302), read, true, ""},
		{"a read is redirected from https to http", true, true, redirect(307), read, false, "from https to http"},
		{"an upload is sent elsewhere", false, true, with(202, "text/plain", nil, "Location", "%s/upload"), upload, false, "another host"},
		{"an upload is sent to http", true, true, with(202, "text/plain", nil, "Location", "%s/upload"), upload, false, "another host"},
		{"a link leads to another host", false, true, with(200, indexType, referrersIndex(), "Link", `<%s/v2/app/referrers/more>; rel="next"`), func(r *registry.Registries) error {
			_, err := r.Referrers(t.Context(), app, sum)
			return err
		}, false, "another host"},
		{"a link among the tags leads to another host", false, true, with(200, "application/json", []byte(`{"tags":[]}`), "Link", `</v2/>; rel="first", <%s/v2/app/tags/list>; rel=next`), func(r *registry.Registries) error {
			_, err := r.Tags(t.Context(), app)
			return err
		}, false, "another host"},
		{"a manifest names a foreign layer", false, true, func(other string) http.HandlerFunc {
			return answer(200, manifestType, []byte(`{"schemaVersion":2,"config":{},"layers":[{"digest":"`+sum+`","size":4,"urls":["`+other+`/layer"]}]}`))
		}, func(r *registry.Registries) error {
			_, err := r.ManifestByTag(t.Context(), app, "v1")
			return err
		}, false, "fetched from elsewhere"},
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		attacks = append(
			attacks,
			attack{fmt.Sprintf("a write is redirected by %d", code), false, true, redirect(code), write, false, "a write is not redirected"},
			attack{fmt.Sprintf("an upload's begin is redirected by %d", code), false, true, redirect(code), upload, false, "a write is not redirected"},
		)
	}
	for kind, config := range credentials() {
		for _, tt := range attacks {
			t.Run(kind+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				d := newDouble(t)
				var realm, other string
				own := d.host("registry", tt.secure, bearerRegistry(&realm, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" {
						tokenServer(w, r)
						return
					}
					tt.serve(other)(w, r)
				}))
				// The registry's own token server, so that credentials flow.
				tokens := d.host("tokens", tt.secure, tokenServer)
				realm = tokens.URL + "/token"
				other = d.host("other", !tt.plain, answer(200, "application/octet-stream", content)).URL
				r := d.client(own, config, func(s *registry.Settings) {
					s.TokenServers = []string{strings.SplitN(tokens.URL, "//", 2)[1]}
				})
				err := tt.do(r)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				if leak := d.leaked("other"); leak != "" {
					t.Errorf("the other host got %s", leak)
				}
				if n := len(d.to("other")); (n > 0) != tt.asked {
					t.Errorf("the other host was asked %d times", n)
				}
				if !slices.ContainsFunc(d.to("registry"), func(s seen) bool { return s.authorization == "Bearer issued-token" }) {
					t.Error("the registry itself got no credentials: the test shows nothing")
				}
			})
		}
	}
}

// A credential for one cloud registry goes to a host whose name only looks
// like it, and helpers are asked about hosts that a registry names.
func TestAttack_CVE_2025_27403(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"acme.azurecr.io.evil", "acme.azurecr.io.evil.example.com", "evil.azurecr.io", "azurecr.io.", "acme-azurecr.io", "acme.azurecr.io:8443@evil.example.com", "xn--acme-azurecr-io.example.com",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			// The registry's traffic ends in the double, whatever its name.
			d := newDouble(t)
			realm := "https://" + host + "/oauth2/token"
			double := d.host("registry", false, bearerRegistry(&realm, nothing))
			asked := &keys{config: credentials()["password"]}
			r, _ := client(t, "https://acme.azurecr.io", func(s *registry.Settings) {
				s.Keychain = asked
				s.Wrap = func(http.RoundTripper) http.RoundTripper { return to(double) }
			})
			_, err := r.Manifest(t.Context(), app, digestOf(nil))
			var refused *registry.TokenServerError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "tokenServers") {
				t.Errorf("%v, want a TokenServerError", err)
			}
			if leak := d.leaked("registry"); leak != "" {
				t.Errorf("sent %s", leak)
			}
			asked.mu.Lock()
			defer asked.mu.Unlock()
			for _, about := range asked.asked {
				if about != "acme.azurecr.io" {
					t.Errorf("credentials were looked up for %s", about)
				}
			}
		})
	}
}

// redirected sends every request to one server, as if the names led there.
type redirected struct{ host string }

func to(server *httptest.Server) http.RoundTripper {
	return redirected{strings.TrimPrefix(server.URL, "http://")}
}

// RoundTrip implements http.RoundTripper.
func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = "http", r.host
	return http.DefaultTransport.RoundTrip(req)
}

// A registry sends requests to the metadata service of the cloud, or to this
// machine.
func TestAttack_GHSA_8wfp_579w_6r25(t *testing.T) {
	t.Parallel()
	content := []byte("blob")
	blob := gatekeeper.Descriptor{Digest: digestOf(content), Size: 4}
	for _, target := range []string{
		"http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/",
		"http://168.63.129.16/", "http://0.0.0.0/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://224.0.0.1/",
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			var realm string
			own := d.host("registry", false, basicRegistry(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, target, http.StatusTemporaryRedirect)
			}))
			_, err := d.client(own, credentials()["password"], nil).Blob(t.Context(), app, blob, 100)
			if _, ok := errors.AsType[*registry.AddressError](err); !ok {
				t.Errorf("a redirect: %v, want an AddressError", err)
			}
			realm = target
			bearer := d.host("bearer", false, bearerRegistry(&realm, nothing))
			var server *registry.TokenServerError
			if _, err := d.client(bearer, credentials()["password"], nil).Blob(t.Context(), app, blob, 100); !errors.As(err, &server) {
				t.Errorf("a realm: %v, want a TokenServerError", err)
			}
		})
	}
	t.Run("this machine, of a registry elsewhere", func(t *testing.T) {
		t.Parallel()
		d := newDouble(t)
		inside := d.host("inside", false, answer(200, "text/plain", content))
		double := d.host("registry", false, basicRegistry(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside.URL+"/admin", http.StatusTemporaryRedirect)
		}))
		r, _ := client(t, "http://registry.example.com", func(s *registry.Settings) {
			s.Keychain = &keys{config: authn.AuthConfig{Username: "robot", Password: "top-secret"}}
			s.Wrap = func(http.RoundTripper) http.RoundTripper { return to(double) }
		})
		var refused *registry.AddressError
		if _, err := r.Blob(t.Context(), app, blob, 100); !errors.As(err, &refused) {
			t.Errorf("%v, want an AddressError", err)
		}
		if got := d.to("inside"); len(got) > 0 {
			t.Errorf("this machine was asked %+v", got)
		}
	})
}
