package promote_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// bench is a staging and a golden registry with a promoter between them.
type bench struct {
	staging, golden string // host:port
	registries      *registry.Registries
	promoter        *promote.Promoter
	traffic         *traffic
}

// traffic counts requests and bytes by registry.
type traffic struct {
	mu       sync.Mutex
	requests map[string]int
	bytes    map[string]int64
}

func (c *traffic) RegistryRequest(registry string, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[registry]++
}

func (c *traffic) BlobBytes(registry, direction string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes[registry+" "+direction] += n
}

func (c *traffic) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.bytes = map[string]int{}, map[string]int64{}
}

func newBench(t *testing.T, staging, golden string) *bench {
	t.Helper()
	b := &bench{staging: staging, golden: golden, traffic: &traffic{}}
	b.traffic.reset()
	var settings []registry.Settings
	for registryName, host := range map[string]string{"staging": staging, "golden": golden} {
		settings = append(settings, registry.Settings{Name: registryName, URL: &url.URL{Scheme: "http", Host: host}})
	}
	var err error
	if b.registries, err = registry.New(settings, registry.Deps{Observer: b.traffic, UserAgent: "gatekeeper/test", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	b.promoter = promote.New(b.registries, time.Now)
	return b
}

func ref(t *testing.T, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func image(t *testing.T, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(4096, layers)
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

// push writes an image or an index, and what is given as taggable, to staging.
func (b *bench) push(t *testing.T, reference string, content remote.Taggable) {
	t.Helper()
	r := ref(t, b.staging+"/team-a/app"+reference)
	var err error
	switch c := content.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(r, c)
	case v1.Image:
		err = remote.Write(r, c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refers is an artifact whose subject is another manifest.
func refers(t *testing.T, to partial.Describable, text string) v1.Image {
	t.Helper()
	subject, err := partial.Descriptor(to)
	if err != nil {
		t.Fatal(err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.example.artifact")
	base = mutate.Annotations(base, map[string]string{"text": text}).(v1.Image) //nolint:forcetypeassert,errcheck // an image stays one
	return mutate.Subject(base, *subject).(v1.Image)                            //nolint:forcetypeassert,errcheck // an image stays one
}

// signature is shaped like cosign's: an image's configuration with a layer
// that is no file system.
func signature(t *testing.T, text string) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer([]byte(text), "application/vnd.dev.cosign.simplesigning.v1+json"))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func subject(of string) policy.Subject {
	return policy.Subject{Registry: "staging", Repository: "team-a/app", Digest: of}
}

func to(tags ...string) policy.Promotion {
	return policy.Promotion{Registry: "golden", Repository: "gold/app", Tags: tags, Immutable: true}
}

// has says whether golden has a reference.
func (b *bench) has(t *testing.T, reference string) bool {
	t.Helper()
	_, err := remote.Head(ref(t, b.golden+"/gold/app"+reference))
	return err == nil
}

// promote copies and tags.
func (b *bench) promote(t *testing.T, of string, p policy.Promotion) {
	t.Helper()
	if err := b.promoter.Copy(t.Context(), subject(of), p); err != nil {
		t.Fatal(err)
	}
	for _, tag := range append(slices.Clone(p.Tags), p.Channels...) {
		if b.has(t, ":"+tag) && !p.Immutable {
			continue
		}
		if err := b.promoter.Tag(t.Context(), subject(of), p, tag); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEverythingThatBelongsToAnImageComesAlong(t *testing.T) {
	t.Parallel()
	for kind, registries := range map[string]func(*testing.T) (string, string){
		"Distribution to Distribution": func(t *testing.T) (string, string) {
			t.Helper()
			return registrytest.Distribution(t), registrytest.Distribution(t)
		},
		"Distribution to one with a referrers API": func(t *testing.T) (string, string) {
			t.Helper()
			return registrytest.Distribution(t), registrytest.WithReferrers(t)
		},
		"a referrers API to Distribution": func(t *testing.T) (string, string) {
			t.Helper()
			return registrytest.WithReferrers(t), registrytest.Distribution(t)
		},
		"within one registry": func(t *testing.T) (string, string) { t.Helper(); d := registrytest.Distribution(t); return d, d },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			staging, golden := registries(t)
			b := newBench(t, staging, golden)
			one, two := image(t, 2), image(t, 3)
			index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{Add: two})
			b.push(t, ":v1", index)
			sum := digest(t, index)
			// Signatures in the older form, of the index and of a child.
			b.push(t, ":"+registry.FallbackTag(sum, ".sig"), signature(t, "of the index"))
			b.push(t, ":"+registry.FallbackTag(sum, ".att"), signature(t, "an attestation"))
			b.push(t, ":"+registry.FallbackTag(digest(t, one), ".sig"), signature(t, "of a child"))
			// Referrers, and a referrer of a referrer.
			first := refers(t, index, "first")
			second := refers(t, first, "second")
			child := refers(t, two, "of a child")
			for _, r := range []v1.Image{first, second, child} {
				b.push(t, "@"+digest(t, r), r)
			}
			b.promote(t, sum, to("v1"))

			got, err := remote.Index(ref(t, b.golden+"/gold/app:v1"))
			if err != nil || digest(t, got) != sum {
				t.Fatalf("golden: %v", err)
			}
			for _, c := range []v1.Image{one, two} {
				stored, err := remote.Image(ref(t, b.golden+"/gold/app@"+digest(t, c)))
				if err != nil {
					t.Fatal(err)
				}
				layers, err := stored.Layers()
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range layers {
					r, err := l.Compressed()
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, r); err != nil {
						t.Errorf("a layer in golden: %v", err)
					}
				}
			}
			for _, tag := range []string{registry.FallbackTag(sum, ".sig"), registry.FallbackTag(sum, ".att"), registry.FallbackTag(digest(t, one), ".sig")} {
				if !b.has(t, ":"+tag) {
					t.Errorf("golden has no %s", tag)
				}
			}
			for of, want := range map[string]v1.Image{sum: first, digest(t, first): second, digest(t, two): child} {
				list, err := b.registries.Referrers(t.Context(), registry.Repository{Registry: "golden", Name: "gold/app"}, of)
				if err != nil || len(list) != 1 || list[0].Digest != digest(t, want) {
					t.Errorf("referrers of %s in golden: %+v, %v", of, list, err)
				}
			}

			// Again: nothing changes and no blob is sent.
			b.traffic.reset()
			b.promote(t, sum, to("v1"))
			if sent := b.traffic.bytes["golden out"]; sent > 0 {
				t.Errorf("%d bytes were sent again", sent)
			}
		})
	}
}

func TestWithinOneRegistryBlobsAreMounted(t *testing.T) {
	t.Parallel()
	d := registrytest.Distribution(t)
	b := newBench(t, d, d)
	img := image(t, 5)
	b.push(t, ":v1", img)
	b.promote(t, digest(t, img), to("v1"))
	if sent := b.traffic.bytes["golden out"] + b.traffic.bytes["staging in"]; sent > 0 {
		t.Errorf("%d bytes of blobs went over the wire", sent)
	}
	if !b.has(t, ":v1") {
		t.Error("no golden tag")
	}
}

// The least number of requests for B blobs between registries is 2+3B; looking
// for signatures, pings and the tag come on top.
func TestRequestsOfAPromotion(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 5) // six blobs with the configuration
	b.push(t, ":v1", img)
	b.traffic.reset()
	b.promote(t, digest(t, img), to("v1"))
	staging, golden := b.traffic.requests["staging"], b.traffic.requests["golden"]
	t.Logf("an image of 5 layers: %d requests to staging, %d to golden", staging, golden)
	// staging: 2 pings, manifest, 6 blobs, .sig, .att, .sbom, referrers API and tag.
	if staging > 14 {
		t.Errorf("%d requests to staging", staging)
	}
	// golden: pings, 2 looks at the tag, 6×3 for blobs, manifest, read back, tag.
	if golden > 26 {
		t.Errorf("%d requests to golden", golden)
	}
}

func TestAnImmutableTagIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	first, second := image(t, 1), image(t, 1)
	b.push(t, ":v1", first)
	b.promote(t, digest(t, first), to("v1"))
	b.push(t, ":v1", second)
	var conflict *gatekeeper.ConflictError
	if err := b.promoter.Copy(t.Context(), subject(digest(t, second)), to("v1")); !errors.As(err, &conflict) || conflict.Have != digest(t, first) {
		t.Errorf("copy: %v", err)
	}
	if b.has(t, "@"+digest(t, second)) {
		t.Error("the refused manifest is in golden")
	}
	if err := b.promoter.Tag(t.Context(), subject(digest(t, second)), to("v1"), "v1"); !errors.As(err, &conflict) {
		t.Errorf("tag: %v", err)
	}
	movable := to("v2")
	movable.Channels = []string{"stable"}
	b.promote(t, digest(t, first), movable)
	movable.Tags = []string{"v3"}
	if err := b.promoter.Copy(t.Context(), subject(digest(t, second)), movable); err != nil {
		t.Fatal(err)
	}
	if err := b.promoter.Tag(t.Context(), subject(digest(t, second)), movable, "stable"); err != nil {
		t.Errorf("a channel moves: %v", err)
	}
	if d, err := remote.Head(ref(t, b.golden+"/gold/app:stable")); err != nil || d.Digest.String() != digest(t, second) {
		t.Errorf("stable is %v, %v", d, err)
	}
}

func TestCopyWritesNoTag(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	b.push(t, ":v1", img)
	if err := b.promoter.Copy(t.Context(), subject(digest(t, img)), to("v1")); err != nil {
		t.Fatal(err)
	}
	if b.has(t, ":v1") || !b.has(t, "@"+digest(t, img)) {
		t.Error("want the manifest without the tag")
	}
}

// What refers to a judged image and is itself one to run was judged by nobody.
func TestImagesThatOnlyReferStayBehind(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	b.push(t, ":v1", img)
	subjectOf, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	asReferrer := mutate.Subject(image(t, 1), *subjectOf).(v1.Image)                                                                   //nolint:forcetypeassert,errcheck // an image stays one
	asIndex := mutate.Subject(mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, 1)}), *subjectOf).(v1.ImageIndex) //nolint:forcetypeassert,errcheck // an index stays one
	asSignature := image(t, 1)
	b.push(t, "@"+digest(t, asReferrer), asReferrer)
	b.push(t, "@"+digest(t, asIndex), asIndex)
	b.push(t, ":"+registry.FallbackTag(digest(t, img), ".sig"), asSignature)
	b.promote(t, digest(t, img), to("v1"))
	for name, content := range map[string]interface{ Digest() (v1.Hash, error) }{"a referrer": asReferrer, "an index": asIndex, "a signature": asSignature} {
		if b.has(t, "@"+digest(t, content)) {
			t.Errorf("an image came along as %s", name)
		}
	}
	if b.has(t, ":"+registry.FallbackTag(digest(t, img), ".sig")) {
		t.Error("golden has a signature tag on an image")
	}
}

// A list under a fallback tag is anybody's word: what does not refer to the
// subject stays behind.
func TestAListThatLiesBringsNothingIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img, foreign := image(t, 1), image(t, 1)
	b.push(t, ":v1", img)
	b.push(t, ":other", foreign)
	list := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: foreign})
	b.push(t, ":"+registry.FallbackTag(digest(t, img), ""), list)
	b.promote(t, digest(t, img), to("v1"))
	if b.has(t, "@"+digest(t, foreign)) {
		t.Error("an unrelated manifest came along")
	}
}

func TestForeignLayersAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	m["layers"].([]any)[0].(map[string]any)["urls"] = []string{"https://attacker.example/layer"} //nolint:forcetypeassert,errcheck // the shape is known
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b.push(t, ":v1", img)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+b.staging+"/v2/team-a/app/manifests/v2", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", string(types.DockerManifestSchema2))
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Skipf("the registry does not take foreign layers: %s", resp.Status)
	}
	sum := resp.Header.Get("Docker-Content-Digest")
	if err := b.promoter.Copy(t.Context(), subject(sum), to("v2")); !errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("%v", err)
	}
}

// Several promotions to one subject's list at once lose no entry.
func TestConcurrentListsKeepEveryEntry(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	b.push(t, ":v1", img)
	const n = 8
	for i := range n {
		r := refers(t, img, strings.Repeat("x", i+1))
		b.push(t, "@"+digest(t, r), r)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.promoter.Copy(t.Context(), subject(digest(t, img)), to("v1")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := b.registries.Referrers(t.Context(), registry.Repository{Registry: "golden", Name: "gold/app"}, digest(t, img))
	if err != nil || len(list) != n {
		t.Errorf("%d referrers in golden, want %d (%v)", len(list), n, err)
	}
}

func TestWhatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	b.push(t, ":v1", image(t, 1))
	err := b.promoter.Copy(t.Context(), subject("sha256:"+strings.Repeat("0", 64)), to("v1"))
	if !errors.Is(err, gatekeeper.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
