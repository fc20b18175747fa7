package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// liar is a registry whose answers the test decides. Every request that
// reaches it is recorded.
type liar struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	answers  map[string]http.HandlerFunc // by "METHOD path"
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{answers: map[string]http.HandlerFunc{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.requests = append(l.requests, r.Clone(context.WithoutCancel(r.Context())))
		answer := l.answers[r.Method+" "+r.URL.Path]
		l.mu.Unlock()
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		switch {
		case answer != nil:
			answer(w, r)
		case r.URL.Path == "/v2/":
			w.WriteHeader(http.StatusOK)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}`)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *liar) on(call string, answer http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[call] = answer
}

// calls lists what was asked, pings left out.
func (l *liar) calls() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, r := range l.requests {
		if r.URL.Path != "/v2/" {
			all = append(all, r.Method+" "+r.URL.Path)
		}
	}
	return all
}

// sawCredentials says whether any request carried some.
func (l *liar) sawCredentials() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.requests, func(r *http.Request) bool { return r.Header.Get("Authorization") != "" })
}

// answer is a handler with a fixed answer.
func answer(status int, contentType string, body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// counter is an Observer.
type counter struct {
	mu    sync.Mutex
	codes map[int]int
	bytes map[string]int64
}

func (c *counter) RegistryRequest(_ string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codes[status]++
}

func (c *counter) BlobBytes(_, direction string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes[direction] += n
}

type basic struct{}

func (basic) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "robot", Password: "top-secret"}), nil
}

func client(t *testing.T, server string, change func(*registry.Settings)) (*registry.Registries, *counter) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	s := registry.Settings{Name: "staging", URL: u}
	if change != nil {
		change(&s)
	}
	c := &counter{codes: map[int]int{}, bytes: map[string]int64{}}
	r, err := registry.New([]registry.Settings{s}, registry.Deps{Observer: c, UserAgent: "gatekeeper/test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

var app = registry.Repository{Registry: "staging", Name: "app"} //nolint:gochecknoglobals // a constant

func imageManifest() []byte {
	return []byte(`{"schemaVersion":2,"mediaType":"` + manifestType + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digestOf([]byte("{}")) + `","size":2},"layers":[]}`)
}

func TestManifestsAreWhatTheyHashTo(t *testing.T) {
	t.Parallel()
	good := imageManifest()
	sum := digestOf(good)
	for _, tt := range []struct {
		name        string
		body        []byte
		contentType string
		want        string // in the error; empty: it is taken
	}{
		{"the right bytes", good, manifestType, ""},
		{"other bytes", append(slices.Clone(good), '\n'), manifestType, "hashes to"},
		{"a type that the body contradicts", good, indexType, "calls itself"},
		{"no manifest at all", good, "text/html", "text/html"},
		{"an image and an index at once", []byte(`{"schemaVersion":2,"mediaType":"` + manifestType + `","layers":[],"manifests":[]}`), manifestType, "ambiguous"},
		{"the same key twice", []byte(`{"schemaVersion":2,"mediaType":"` + manifestType + `","layers":[],"layers":[{}]}`), manifestType, "layers"},
		{"larger than 4 MiB", bytes.Repeat([]byte(" "), registry.MaxManifest+1), manifestType, "larger than"},
		{"no JSON", []byte("<html>"), manifestType, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			asked := sum
			if tt.name != "other bytes" {
				asked = digestOf(tt.body)
			}
			// The header lies in every case.
			l.on("GET /v2/app/manifests/"+asked, answer(200, tt.contentType, tt.body, "Docker-Content-Digest", asked))
			r, _ := client(t, l.URL, nil)
			got, err := r.Manifest(t.Context(), app, asked)
			if tt.want == "" && tt.name == "the right bytes" {
				if err != nil || got.Digest != asked || !bytes.Equal(got.Body, tt.body) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, gatekeeper.ErrInvalidContent) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want invalid content that says %q", err, tt.want)
			}
		})
	}
}

func TestDigestsAreCheckedBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	r, _ := client(t, l.URL, nil)
	for _, bad := range []string{"", "v1", "sha256:abc", "sha256:" + strings.Repeat("A", 64), "sha512:" + strings.Repeat("a", 128), "sha256:" + strings.Repeat("a", 60) + "/../", "../../x"} {
		if _, err := r.Manifest(t.Context(), app, bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
		if _, err := r.Referrers(t.Context(), app, bad); err == nil {
			t.Errorf("%q: no error from referrers", bad)
		}
		if _, err := r.OpenBlob(t.Context(), app, gatekeeper.Descriptor{Digest: bad, Size: 1}); err == nil {
			t.Errorf("%q: no error from a blob", bad)
		}
	}
	if calls := l.calls(); len(calls) > 0 {
		t.Errorf("asked %v", calls)
	}
}

func TestBlobsAreWhatTheirDescriptorSays(t *testing.T) {
	t.Parallel()
	for _, content := range [][]byte{[]byte("twelve bytes"), bytes.Repeat([]byte("twelve bytes"), 10_000)} {
		size := int64(len(content))
		other := append(slices.Clone(content[:size-1]), 'S')
		for _, tt := range []struct {
			name    string
			body    []byte
			invalid bool
			want    string
		}{
			{"the right bytes", content, false, ""},
			{"other bytes", other, true, "hashes to"},
			{"more bytes", append(slices.Clone(content), 'x'), true, "longer than"},
			{"fewer bytes", content[:5], false, "unexpected EOF"},
			{"endless", bytes.Repeat(content, 1000), true, "longer than"},
		} {
			t.Run(fmt.Sprintf("%s of %d", tt.name, size), func(t *testing.T) {
				t.Parallel()
				l := newLiar(t)
				sum := digestOf(content)
				l.on("GET /v2/app/blobs/"+sum, answer(200, "application/octet-stream", tt.body))
				r, _ := client(t, l.URL, nil)
				var got []byte
				body, err := r.OpenBlob(t.Context(), app, gatekeeper.Descriptor{Digest: sum, Size: size})
				if err == nil {
					got, err = io.ReadAll(body)
					_ = body.Close()
				}
				switch {
				case tt.want == "" && (err != nil || !bytes.Equal(got, content)):
					t.Errorf("%d bytes, %v", len(got), err)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, gatekeeper.ErrInvalidContent) != tt.invalid):
					t.Errorf("%v, want an error with %q (invalid: %v)", err, tt.want, tt.invalid)
				}
				if len(got) > len(content) {
					t.Errorf("%d bytes were handed on", len(got))
				}
			})
		}
	}
}

// Only the registry's own word means absence. Everything else is "don't know".
func TestAbsenceIsNotGuessed(t *testing.T) {
	t.Parallel()
	sum := digestOf(imageManifest())
	for _, tt := range []struct {
		name      string
		answer    http.HandlerFunc
		absent    bool
		temporary bool
	}{
		{"the registry says so", answer(404, "application/json", []byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)), true, false},
		{"the repository is unknown", answer(404, "application/json", []byte(`{"errors":[{"code":"NAME_UNKNOWN"}]}`)), true, false},
		{"a proxy's page", answer(404, "text/html", []byte("<h1>not found</h1>")), false, false},
		{"an outage", answer(503, "text/html", nil), false, true},
		{"throttled", answer(429, "application/json", []byte(`{"errors":[{"code":"TOOMANYREQUESTS"}]}`), "Retry-After", "7"), false, true},
		{"forbidden", answer(403, "application/json", []byte(`{"errors":[{"code":"DENIED"}]}`)), false, false},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.on("GET /v2/app/manifests/"+sum, tt.answer)
			r, _ := client(t, l.URL, nil)
			_, err := r.Manifest(t.Context(), app, sum)
			if err == nil || errors.Is(err, gatekeeper.ErrNotFound) != tt.absent {
				t.Fatalf("%v, absent: want %v", err, tt.absent)
			}
			var refused *registry.Error
			if errors.As(err, &refused) && refused.Temporary() != tt.temporary {
				t.Errorf("temporary: %v, want %v", refused.Temporary(), tt.temporary)
			}
			if tt.name == "throttled" && refused.RetryAfter() != 7*time.Second {
				t.Errorf("retry after %s", refused.RetryAfter())
			}
		})
	}
}

// A tag is resolved with one request. A 404 without the mark of a registry is
// looked at again, with a body.
func TestResolve(t *testing.T) {
	t.Parallel()
	good := imageManifest()
	sum := digestOf(good)
	unmarked := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Docker-Distribution-Api-Version")
			w.WriteHeader(status)
		}
	}
	for _, tt := range []struct {
		name      string
		head, get http.HandlerFunc
		want      string // the digest; empty: an error
		absent    bool
		requests  int
	}{
		{"by the header", answer(200, manifestType, nil, "Docker-Content-Digest", sum), nil, sum, false, 1},
		{"without the header", answer(200, manifestType, nil), answer(200, manifestType, good), sum, false, 2},
		{"with a header that is no digest", answer(200, manifestType, nil, "Docker-Content-Digest", "sha256:../x"), answer(200, manifestType, good), sum, false, 2},
		{"absent", nil, nil, "", true, 1},
		{"a proxy's 404, but there", unmarked(404), answer(200, manifestType, good), sum, false, 2},
		{"a proxy's 404, twice", unmarked(404), unmarked(404), "", false, 2},
		{"an outage", unmarked(502), nil, "", false, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			if tt.head != nil {
				l.on("HEAD /v2/app/manifests/v1", tt.head)
			}
			if tt.get != nil {
				l.on("GET /v2/app/manifests/v1", tt.get)
			}
			r, _ := client(t, l.URL, nil)
			got, err := r.Resolve(t.Context(), "staging", "app", "v1")
			if got.Digest != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, gatekeeper.ErrNotFound) != tt.absent {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(l.calls()); n != tt.requests {
				t.Errorf("%d requests, want %d: %v", n, tt.requests, l.calls())
			}
		})
	}
}

func referrersIndex(digests ...string) []byte {
	type descriptor = map[string]any
	list := []descriptor{}
	for _, d := range digests {
		list = append(list, descriptor{"mediaType": manifestType, "digest": d, "size": 10, "artifactType": "application/x"})
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": list})
	if err != nil {
		panic(err)
	}
	return body
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	subject, one, two := digestOf([]byte("subject")), digestOf([]byte("1")), digestOf([]byte("2"))
	api, tag := "GET /v2/app/referrers/"+subject, "GET /v2/app/manifests/"+registry.FallbackTag(subject, "")
	for _, tt := range []struct {
		name  string
		setup func(l *liar)
		want  []string
		err   string
	}{
		{"by the API", func(l *liar) { l.on(api, answer(200, indexType, referrersIndex(one, two))) }, []string{one, two}, ""},
		{"by the API, none", func(l *liar) { l.on(api, answer(200, indexType, referrersIndex())) }, nil, ""},
		{"by the API, on two pages", func(l *liar) {
			l.on(api, answer(200, indexType, referrersIndex(one), "Link", `</v2/app/referrers/more>; rel="next"`))
			l.on("GET /v2/app/referrers/more", answer(200, indexType, referrersIndex(two)))
		}, []string{one, two}, ""},
		{"the next page elsewhere", func(l *liar) {
			l.on(api, answer(200, indexType, referrersIndex(one), "Link", `<https://attacker.example/v2/>; rel="next"`))
		}, nil, "another host"},
		{"pages without end", func(l *liar) {
			l.on(api, answer(200, indexType, referrersIndex(one), "Link", "<"+strings.TrimPrefix(api, "GET ")+`>; rel="next"`))
		}, nil, "lead back"},
		{"by the fallback tag", func(l *liar) { l.on(tag, answer(200, indexType, referrersIndex(one))) }, []string{one}, ""},
		{"neither", func(*liar) {}, nil, ""},
		{"an outage of the API", func(l *liar) { l.on(api, answer(500, "text/plain", nil)) }, nil, "500"},
		{"an outage of the fallback tag", func(l *liar) { l.on(tag, answer(500, "text/plain", nil)) }, nil, "500"},
		{"a page of something else", func(l *liar) { l.on(api, answer(200, indexType, []byte("<html>"))) }, nil, "referrers"},
		{"an entry that is no digest", func(l *liar) { l.on(api, answer(200, indexType, referrersIndex("sha256:../../x"))) }, nil, "sha256:../../x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			tt.setup(l)
			r, _ := client(t, l.URL, nil)
			list, err := r.Referrers(t.Context(), app, subject)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want an error with %q", err, tt.err)
				}
				return
			}
			var got []string
			for _, d := range list {
				got = append(got, d.Digest)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// An answer that is no list, about one image, hides nobody's referrers: not
// those of the other images, and not those of the same one later.
func TestOneStrangeAnswerIsNoMissingReferrersAPI(t *testing.T) {
	t.Parallel()
	orphan, subject, one := digestOf([]byte("orphan")), digestOf([]byte("subject")), digestOf([]byte("1"))
	strange, api := "GET /v2/app/referrers/"+orphan, "GET /v2/app/referrers/"+subject
	unknown := func(code string) http.HandlerFunc {
		return answer(404, "application/json", []byte(`{"errors":[{"code":"`+code+`","message":"unknown"}]}`))
	}
	html := answer(200, "text/html", []byte("<html>"))
	for _, tt := range []struct {
		name    string
		before  bool // the API has answered before
		strange http.HandlerFunc
		err     string
	}{
		{"an unknown digest, at first", false, unknown("MANIFEST_UNKNOWN"), ""},
		{"an unknown digest, later", true, unknown("MANIFEST_UNKNOWN"), ""},
		{"an unknown repository", true, unknown("NAME_UNKNOWN"), ""},
		{"an unknown error", true, unknown("UNSUPPORTED"), "404"},
		{"a proxy's 404", true, answer(404, "text/html", []byte("not here")), "404"},
		{"a proxy's page", true, html, "text/html"},
		{"a proxy's page, at first", false, html, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			l.on(api, answer(200, indexType, referrersIndex(one)))
			l.on(strange, tt.strange)
			r, _ := client(t, l.URL, nil)
			list := func() {
				t.Helper()
				if list, err := r.Referrers(t.Context(), app, subject); err != nil || len(list) != 1 {
					t.Fatalf("%v, %v, want one", list, err)
				}
			}
			if tt.before {
				list()
			}
			got, err := r.Referrers(t.Context(), app, orphan)
			if len(got) > 0 || (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || errors.Is(err, gatekeeper.ErrNotFound)) {
				t.Errorf("%v, %v, want an error with %q", got, err, tt.err)
			}
			list()
		})
	}
}

// What a registry with the API does not know by digest may still have the
// fallback tag of a client that never asked for the API.
func TestAnUnknownDigestsFallbackTagIsLookedAt(t *testing.T) {
	t.Parallel()
	subject, one := digestOf([]byte("subject")), digestOf([]byte("1"))
	l := newLiar(t)
	l.on("GET /v2/app/referrers/"+subject, answer(404, "application/json", []byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)))
	l.on("GET /v2/app/manifests/"+registry.FallbackTag(subject, ""), answer(200, indexType, referrersIndex(one)))
	r, _ := client(t, l.URL, nil)
	if list, err := r.Referrers(t.Context(), app, subject); err != nil || len(list) != 1 || list[0].Digest != one {
		t.Errorf("%v, %v", list, err)
	}
}

func TestARegistryWithoutReferrersIsNotAskedAgainSoon(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("GET /v2/app/referrers/"+digestOf([]byte("x")), answer(404, "text/plain", []byte("404 page not found\n"))) // as Distribution
	r, _ := client(t, l.URL, nil)
	for range 3 {
		if _, err := r.Referrers(t.Context(), app, digestOf([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	for _, c := range l.calls() {
		if strings.Contains(c, "/referrers/") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked for referrers %d times", asked)
	}
}

// Credentials go to the configured host and nowhere else.
func TestCredentialsStay(t *testing.T) {
	t.Parallel()
	content := []byte("blob")
	sum := digestOf(content)
	withSecret := func(s *registry.Settings) { s.Keychain = basic{} }
	challenge := func(l *liar) {
		l.on("GET /v2/", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
	}
	t.Run("a blob that is redirected", func(t *testing.T) {
		t.Parallel()
		l, elsewhere := newLiar(t), newLiar(t)
		challenge(l)
		elsewhere.on("GET /stored", answer(200, "application/octet-stream", content))
		l.on("GET /v2/app/blobs/"+sum, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/stored", http.StatusTemporaryRedirect)
		})
		r, _ := client(t, l.URL, withSecret)
		got, err := r.Blob(t.Context(), app, gatekeeper.Descriptor{Digest: sum, Size: 4}, 100)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q, %v", got, err)
		}
		if !l.sawCredentials() || elsewhere.sawCredentials() {
			t.Errorf("credentials: registry %v, elsewhere %v", l.sawCredentials(), elsewhere.sawCredentials())
		}
	})
	t.Run("an upload that is sent elsewhere", func(t *testing.T) {
		t.Parallel()
		l, elsewhere := newLiar(t), newLiar(t)
		challenge(l)
		l.on("POST /v2/app/blobs/uploads/", answer(202, "text/plain", nil, "Location", elsewhere.URL+"/upload"))
		r, _ := client(t, l.URL, withSecret)
		err := r.PushBlob(t.Context(), app, gatekeeper.Descriptor{Digest: sum, Size: 4}, bytes.NewReader(content), nil)
		if err == nil || !strings.Contains(err.Error(), "another host") {
			t.Errorf("%v", err)
		}
		if calls := elsewhere.calls(); len(calls) > 0 {
			t.Errorf("elsewhere was asked %v", calls)
		}
	})
	t.Run("a write that is redirected", func(t *testing.T) {
		t.Parallel()
		l, elsewhere := newLiar(t), newLiar(t)
		challenge(l)
		l.on("PUT /v2/app/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		})
		r, _ := client(t, l.URL, withSecret)
		body := imageManifest()
		_, err := r.PutManifest(t.Context(), app, "v1", registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digestOf(body), Size: int64(len(body))}, Body: body})
		if err == nil || len(elsewhere.calls()) > 0 {
			t.Errorf("%v, elsewhere was asked %v", err, elsewhere.calls())
		}
	})
}

func TestErrorsTellNoSecretAndStayShort(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	l.on("GET /v2/", answer(401, "application/json", nil, "WWW-Authenticate", `Basic realm="x"`))
	sum := digestOf(nil)
	l.on("GET /v2/app/manifests/"+sum, answer(400, "application/json", []byte(`{"errors":[{"code":"X","message":"`+strings.Repeat("y", 60000)+`\u001b[31m"}]}`)))
	r, _ := client(t, l.URL, func(s *registry.Settings) { s.Keychain = basic{} })
	_, err := r.Manifest(t.Context(), app, sum)
	if err == nil || strings.Contains(err.Error(), "top-secret") || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%d bytes: %v", len(fmt.Sprint(err)), err)
	}
}

// What is pushed and read back against a real registry is the same, and is
// counted.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	r, counted := client(t, server.URL, nil)
	config := []byte("{}")
	d := gatekeeper.Descriptor{Digest: digestOf(config), Size: 2}
	if there, err := r.HasBlob(t.Context(), app, d.Digest); err != nil || there {
		t.Fatalf("before: %v, %v", there, err)
	}
	if err := r.PushBlob(t.Context(), app, d, bytes.NewReader(config), nil); err != nil {
		t.Fatal(err)
	}
	if there, err := r.HasBlob(t.Context(), app, d.Digest); err != nil || !there {
		t.Fatalf("after: %v, %v", there, err)
	}
	body := imageManifest()
	content := registry.Content{Descriptor: gatekeeper.Descriptor{MediaType: manifestType, Digest: digestOf(body), Size: int64(len(body))}, Body: body}
	if _, err := r.PutManifest(t.Context(), app, "v1", content); err != nil {
		t.Fatal(err)
	}
	resolved, err := r.Resolve(t.Context(), "staging", "app", "v1")
	if err != nil || resolved.Digest != content.Digest {
		t.Errorf("%+v, %v", resolved, err)
	}
	if counted.bytes["out"] != 2 || counted.codes[201] != 2 {
		t.Errorf("counted %+v %+v", counted.bytes, counted.codes)
	}
}

// What was read and verified is not read again, in the same repository.
func TestSmallBlobsAreReadOnce(t *testing.T) {
	t.Parallel()
	content := []byte("a signature's payload")
	d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
	l := newLiar(t)
	l.on("GET /v2/app/blobs/"+d.Digest, answer(200, "application/octet-stream", content))
	r, _ := client(t, l.URL, nil)
	for range 2 {
		if got, err := r.Blob(t.Context(), app, d, 100); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if calls := l.calls(); len(calls) != 1 {
		t.Errorf("asked %v", calls)
	}
	other := registry.Repository{Registry: "staging", Name: "other"}
	if _, err := r.Blob(t.Context(), other, d, 100); !errors.Is(err, gatekeeper.ErrNotFound) {
		t.Errorf("another repository: %v", err)
	}
	d.Size++
	if _, err := r.Blob(t.Context(), app, d, 100); err == nil {
		t.Error("another size: no error")
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	hub, err := url.Parse("https://registry-1.docker.io")
	if err != nil {
		t.Fatal(err)
	}
	own, err := url.Parse("http://127.0.0.1:5050")
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New([]registry.Settings{{Name: "hub", URL: hub}, {Name: "own", URL: own}}, registry.Deps{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	sum := digestOf(nil)
	for image, want := range map[string]registry.Image{
		"127.0.0.1:5050/team-a/app:v1": {Registry: "own", Repository: "team-a/app", Tag: "v1"},
		"127.0.0.1:5050/app":           {Registry: "own", Repository: "app", Tag: "latest"},
		"127.0.0.1:5050/app@" + sum:    {Registry: "own", Repository: "app", Digest: sum},
		"127.0.0.1:5050/app:v1@" + sum: {Registry: "own", Repository: "app", Tag: "v1", Digest: sum},
		"alpine:3.22":                  {Registry: "hub", Repository: "library/alpine", Tag: "3.22"},
		"docker.io/acme/app:v1":        {Registry: "hub", Repository: "acme/app", Tag: "v1"},
	} {
		if got, err := r.Locate(image); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", image, got, err, want)
		}
	}
	for _, bad := range []string{"", "registry.example.com/app:v1", "127.0.0.1:5050/APP:v1", "127.0.0.1:5050/app@sha256:abc", "127.0.0.1:5050/app:v 1"} {
		if got, err := r.Locate(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
