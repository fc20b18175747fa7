package audit_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/audit"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys/keystest"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// place is a golden registry with a gatekeeper that promotes into it.
type place struct {
	host       string
	registries *registry.Registries
	own        pair
	clock      time.Time
	tagged     map[string]v1.Image
}

type pair struct {
	signer summary.Signer
	public []byte
}

func newPair(t *testing.T) pair {
	t.Helper()
	key, public := keystest.New(t)
	return pair{summary.KeySigner{Key: key}, public}
}

type unobserved struct{}

func (unobserved) RegistryRequest(string, int)     {}
func (unobserved) BlobBytes(string, string, int64) {}

func newPlace(t *testing.T, host string) *place {
	t.Helper()
	settings := registry.Settings{Name: "golden", URL: &url.URL{Scheme: "http", Host: host}}
	registries, err := registry.New([]registry.Settings{settings}, registry.Deps{Observer: unobserved{}, UserAgent: "gatekeeper/test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return &place{host: host, registries: registries, own: newPair(t), clock: time.Unix(1_800_000_000, 0), tagged: map[string]v1.Image{}}
}

func repo(name string) registry.Repository {
	return registry.Repository{Registry: "golden", Name: name}
}

func ref(t *testing.T, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(256, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// write puts an image somewhere behind the gatekeeper's back.
func (p *place) write(t *testing.T, reference string, img v1.Image) {
	t.Helper()
	if err := remote.Write(ref(t, p.host+"/"+reference), img); err != nil {
		t.Fatal(err)
	}
}

// word is what a gatekeeper signs about an image.
type word struct {
	by       pair
	verifier string
	of       v1.Image
	repo     string
	tags     []string
	push     int64     // zero: the statement has no order, as those of older versions
	at       time.Time // zero: a moment after the last word
}

// say leaves a signed summary.
func (p *place) say(t *testing.T, w word) {
	t.Helper()
	trust, err := summary.NewTrust([][]byte{w.by.public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	attester := promote.NewAttester(promote.New(p.registries, time.Now), promote.Signing{
		Signer: w.by.signer, Trust: trust, Verifier: summary.Verifier{ID: w.verifier, Version: "test"},
	})
	p.clock = p.clock.Add(time.Minute)
	d := gatekeeper.Decision{
		ID: w.push, Push: gatekeeper.Push{ID: w.push, Source: "golden", Repository: "staging/app", Digest: digest(t, w.of)}, DecidedAt: p.clock,
	}
	if !w.at.IsZero() {
		d.DecidedAt = w.at
	}
	to := policy.Promotion{Registry: "golden", Repository: w.repo, Tags: w.tags}
	if err := attester.Attest(t.Context(), d, policy.Result{Policy: "services", Fingerprint: d.Push.Digest, Promotion: &to}); err != nil {
		t.Fatal(err)
	}
}

// promote does as the gatekeeper does: the image, the summary, the tags.
func (p *place) promote(t *testing.T, img v1.Image, tags ...string) {
	t.Helper()
	p.write(t, "app@"+digest(t, img), img)
	p.say(t, word{by: p.own, verifier: summary.DefaultVerifier, of: img, repo: "app", tags: tags})
	for _, tag := range tags {
		p.write(t, "app:"+tag, img)
	}
}

func (p *place) auditor(t *testing.T, public ...[]byte) *audit.Auditor {
	t.Helper()
	trust, err := summary.NewTrust(append([][]byte{p.own.public}, public...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Auditor{Registries: p.registries, Trust: trust, Verifier: summary.DefaultVerifier}
}

// verdicts is a report as tag → status and reason.
func verdicts(t *testing.T, a *audit.Auditor) map[string]string {
	t.Helper()
	report, err := a.Audit(t.Context(), repo("app"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range report.Findings {
		got[f.Tag] = strings.TrimSpace(string(f.Status) + " " + string(f.Reason))
		if f.Status != audit.OK && f.Detail == "" {
			t.Errorf("%s has no detail", f.Tag)
		}
		if f.Status == audit.OK && (f.Policy != "gatekeeper:policy/services" || f.Approved == nil) {
			t.Errorf("%+v", f)
		}
	}
	return got
}

func forBoth(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	for kind, start := range map[string]func(testing.TB) string{"Distribution": registrytest.Distribution, "with a referrers API": registrytest.WithReferrers} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t, start(t)))
		})
	}
}

func TestWhatCameThroughTheGateIsFine(t *testing.T) {
	t.Parallel()
	forBoth(t, func(t *testing.T, p *place) {
		t.Helper()
		first, second := image(t), image(t)
		p.promote(t, first, "v1", "stable")
		p.promote(t, second, "v2", "stable") // the channel moves on
		p.promote(t, first, "v1.0")          // the same image again
		// Signatures of the older form have tags of their own.
		p.write(t, "app:"+registry.FallbackTag(digest(t, first), ".sig"), signatureImage(t))
		want := map[string]string{"v1": "ok", "v1.0": "ok", "v2": "ok", "stable": "ok"}
		if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// Rolled back through the gate: judged and approved again.
		p.promote(t, first, "stable")
		if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
			t.Errorf("after a rollback (-want +got):\n%s", diff)
		}
	})
}

// The gate lets the later push have the last word. A push whose copy takes
// long may be decided before an earlier one and tag after it.
func TestTheLaterPushHasTheLastWord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		first, later int64 // the pushes' IDs; zero: not said
		firstAt      time.Duration
		points, want string
	}{
		{"decided the other way round", 1, 2, time.Minute, "later", "ok"},
		{"decided the other way round, moved back", 1, 2, time.Minute, "first", "bypassed moved_back"},
		{"decided in order", 1, 2, -time.Minute, "later", "ok"},
		{"decided in order, moved back", 1, 2, -time.Minute, "first", "bypassed moved_back"},
		{"an older version's word, then a newer one's", 0, 2, -time.Minute, "later", "ok"},
		{"an older version's word came back", 0, 2, -time.Minute, "first", "bypassed moved_back"},
		{"without any order time decides", 0, 0, -time.Minute, "first", "bypassed moved_back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, registrytest.WithReferrers(t))
			images := map[string]v1.Image{"first": image(t), "later": image(t)}
			for name, w := range map[string]word{
				"first": {push: tt.first, at: p.clock.Add(tt.firstAt)}, "later": {push: tt.later, at: p.clock},
			} {
				w.by, w.verifier, w.of, w.repo, w.tags = p.own, summary.DefaultVerifier, images[name], "app", []string{name, "stable"}
				p.write(t, "app:"+name, images[name])
				p.say(t, w)
			}
			p.write(t, "app:stable", images[tt.points])
			want := map[string]string{"first": "ok", "later": "ok", "stable": tt.want}
			if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func signatureImage(t *testing.T) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json")
	return img
}

func TestWhatBypassedTheGateIsNamed(t *testing.T) {
	t.Parallel()
	forBoth(t, func(t *testing.T, p *place) {
		t.Helper()
		stranger := newPair(t)
		p.promote(t, image(t), "fine")
		say := func(tag string, by pair, verifier, repository string, tags ...string) {
			img := image(t)
			p.write(t, "app:"+tag, img)
			p.write(t, repository+"@"+digest(t, img), img)
			p.say(t, word{by: by, verifier: verifier, of: img, repo: repository, tags: tags})
			if repository != "app" { // carry the summary over
				p.carry(t, repository, "app", digest(t, img))
			}
		}
		p.write(t, "app:by-hand", image(t))
		say("stranger", stranger, summary.DefaultVerifier, "app", "stranger")
		say("verifier", p.own, "https://other.example", "app", "verifier")
		say("other-repository", p.own, summary.DefaultVerifier, "elsewhere", "other-repository")
		// Both tags are there; one was never approved.
		two := image(t)
		p.promote(t, two, "approved")
		p.write(t, "app:retagged", two)
		// The tag now leads to something else.
		p.promote(t, image(t), "overwritten")
		p.write(t, "app:overwritten", image(t))
		// An older image comes back under a moving tag.
		old := image(t)
		p.promote(t, old, "channel")
		p.promote(t, image(t), "channel")
		p.write(t, "app:channel", old)
		// An image hides under a tag that is kept for signatures.
		hidden := registry.FallbackTag(digest(t, image(t)), ".sig")
		p.write(t, "app:"+hidden, image(t))
		list := registry.FallbackTag(digest(t, image(t)), "")
		p.write(t, "app:"+list, image(t))
		want := map[string]string{
			"fine": "ok", "approved": "ok", "by-hand": "bypassed no_summary", "stranger": "bypassed wrong_key",
			"verifier": "bypassed other_verifier", "other-repository": "bypassed other_reference", "retagged": "bypassed not_approved",
			"overwritten": "bypassed no_summary", "channel": "bypassed moved_back", hidden: "bypassed hidden_image", list: "bypassed hidden_image",
		}
		if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// After a rotation the older key's summaries count as well.
		if got := verdicts(t, p.auditor(t, stranger.public))["stranger"]; got != "ok" {
			t.Errorf("with the other key too: %s", got)
		}
	})
}

// carry copies what refers to a digest into another repository, as everybody
// who may write there can.
func (p *place) carry(t *testing.T, from, to, of string) {
	t.Helper()
	list, err := p.registries.Referrers(t.Context(), repo(from), of)
	if err != nil || len(list) == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, r := range list {
		img, err := remote.Image(ref(t, p.host+"/"+from+"@"+r.Digest))
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, to+"@"+r.Digest, img)
	}
	index, err := remote.Index(ref(t, p.host+"/"+from+":"+registry.FallbackTag(of, "")))
	if err != nil {
		return // the registry keeps the list itself
	}
	if err := remote.WriteIndex(ref(t, p.host+"/"+to+":"+registry.FallbackTag(of, "")), index); err != nil {
		t.Fatal(err)
	}
}

// A summary of one digest says nothing about another one, even where it is
// listed as if it did.
func TestASummaryUnderAnotherDigestDoesNotCount(t *testing.T) {
	t.Parallel()
	p := newPlace(t, registrytest.Distribution(t))
	approved, foreign := image(t), image(t)
	p.promote(t, approved, "v1")
	p.write(t, "app:v2", foreign)
	index, err := remote.Index(ref(t, p.host+"/app:"+registry.FallbackTag(digest(t, approved), "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref(t, p.host+"/app:"+registry.FallbackTag(digest(t, foreign), "")), index); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"v1": "ok", "v2": "bypassed no_summary"}
	if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// In Distribution a tag could be deleted although deleting was switched off
// (CVE-2026-41888). What was approved and is gone, or leads elsewhere, shows:
// the summaries beside the images remember it.
func TestAttack_CVE_2026_41888(t *testing.T) {
	t.Parallel()
	forBoth(t, func(t *testing.T, p *place) {
		t.Helper()
		kept, changed := image(t), image(t)
		p.promote(t, kept, "v1", "stable")
		p.promote(t, changed, "v2")
		if diff := cmp.Diff(map[string]string{"v1": "ok", "stable": "ok", "v2": "ok"}, verdicts(t, p.auditor(t))); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		p.deleteTag(t, "stable")
		p.write(t, "app:v2", image(t))
		want := map[string]string{"v1": "ok", "stable": "missing deleted", "v2": "bypassed no_summary"}
		if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("the last tag of an image", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, registrytest.Distribution(t)) // the fallback tag still names the digest
		p.promote(t, image(t), "v1")
		p.deleteTag(t, "v1")
		if diff := cmp.Diff(map[string]string{"v1": "missing deleted"}, verdicts(t, p.auditor(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// deleteTag removes a tag and leaves what it points to.
func (p *place) deleteTag(t *testing.T, tag string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+p.host+"/v2/app/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("delete %s: %s", tag, resp.Status)
	}
}

// An outage is no finding about the tags.
func TestAnOutageIsUndecided(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*http.Request) bool{
		"the referrers": func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") },
		"one tag":       func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/v1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, outage(t, func(r *http.Request) bool { return r.Header.Get("X-Audit") != "" && fails(r) }))
			p.promote(t, image(t), "v1")
			p.registries = auditing(t, p.host)
			if diff := cmp.Diff(map[string]string{"v1": "undecided unavailable"}, verdicts(t, p.auditor(t))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	// The last tag of an image was deleted. What was approved is known by the
	// reserved tag alone.
	for name, fails := range map[string]func(path string) bool{
		"the list under a reserved tag":       func(path string) bool { return strings.Contains(path, "/manifests/sha256-") },
		"a summary behind a reserved tag":     func(path string) bool { return strings.Contains(path, "/manifests/sha256:") },
		"the text of one behind reserved tag": func(path string) bool { return strings.Contains(path, "/blobs/") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, proxied(t, registrytest.Distribution(t), func(r *http.Request) bool { return r.Header.Get("X-Audit") != "" && fails(r.URL.Path) }))
			img := image(t)
			p.promote(t, img, "v1")
			p.deleteTag(t, "v1")
			p.registries = auditing(t, p.host)
			want := map[string]string{registry.FallbackTag(digest(t, img), ""): "undecided unavailable"}
			if diff := cmp.Diff(want, verdicts(t, p.auditor(t))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the list of tags", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, outage(t, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/tags/list") }))
		p.promote(t, image(t), "v1")
		if report, err := p.auditor(t).Audit(t.Context(), repo("app")); err == nil || errors.Is(err, gatekeeper.ErrNotFound) ||
			report.Repository != p.host+"/app" || report.Error != err.Error() || report.Findings == nil {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("no such repository", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, registrytest.Distribution(t))
		if report, err := p.auditor(t).Audit(t.Context(), repo("absent")); !errors.Is(err, gatekeeper.ErrNotFound) {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// Behind a reserved tag lies what nobody can read: the audit does not know
// what was approved, and says so.
func TestWhatCannotBeReadBehindAReservedTagIsNamed(t *testing.T) {
	t.Parallel()
	gone := sum(t)
	for name, tt := range map[string]struct{ tag, body string }{
		"a list that is none":        {registry.FallbackTag(gone, ""), `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":7}`},
		"attestations that are none": {registry.FallbackTag(gone, ".att"), `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":7}`},
		"a summary that is none": {registry.FallbackTag(gone, ".att"), `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
			`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + gone + `","size":2},"layers":[` +
			`{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":"` + gone + `","size":2000000,"annotations":{"predicateType":"` + summary.PredicateType + `"}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mediaType := "application/vnd.oci.image.manifest.v1+json"
			if strings.Contains(tt.body, "image.index") {
				mediaType = "application/vnd.oci.image.index.v1+json"
			}
			p := newPlace(t, serving(t, tt.tag, mediaType, tt.body))
			if diff := cmp.Diff(map[string]string{tt.tag: "bypassed malformed"}, verdicts(t, p.auditor(t))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func sum(t *testing.T) string { t.Helper(); return digest(t, image(t)) }

// serving is a repository with one tag, whose content no registry would take.
func serving(t *testing.T, tag, mediaType, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			_, _ = io.WriteString(w, `{"name":"app","tags":["`+tag+`"]}`)
		case strings.HasSuffix(r.URL.Path, "/manifests/"+tag):
			w.Header().Set("Content-Type", mediaType)
			_, _ = io.WriteString(w, body)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// proxied is another registry, some requests to which are answered with 503.
func proxied(t *testing.T, host string, fails func(*http.Request) bool) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: host})
		p.Out.Host = p.In.Host // uploads go on where they began
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails(r) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// outage is a registry that answers some requests with 503.
func outage(t *testing.T, fails func(*http.Request) bool) string {
	t.Helper()
	inner := ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails(r) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// auditing are fresh clients whose requests say that they audit.
func auditing(t *testing.T, host string) *registry.Registries {
	t.Helper()
	settings := registry.Settings{Name: "golden", URL: &url.URL{Scheme: "http", Host: host}, Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("X-Audit", "yes")
			return next.RoundTrip(r)
		})
	}}
	registries, err := registry.New([]registry.Settings{settings}, registry.Deps{Observer: unobserved{}, UserAgent: "gatekeeper/test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return registries
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
