package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// basePolicies are those of bases, which are scanned, and of teams that may be
// any number of releases behind, one, or none.
const basePolicies = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: bases}
spec:
  from: staging
  match: {repositories: ["base/**"]}
  patchLevel: {operatingSystems: {allow: ["debian", "alpine"]}}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
---
apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: lax}
spec:
  from: staging
  match: {repositories: ["team-lax/**"]}
  patchLevel: {base: {repositories: ["golden/base/**"], maxBehind: 1}}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
---
apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: strict}
spec:
  from: staging
  match: {repositories: ["team-strict/**"]}
  patchLevel: {base: {repositories: ["golden/base/**"], maxBehind: 0, maxAge: 90d}}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

// lineageBench is a gate between two registries, with a journal.
type lineageBench struct {
	staging string
	config  *config.Config
	journal *journal.Journal
	gate    *gatekeeper.Gate
}

func newLineageBench(t *testing.T) *lineageBench {
	t.Helper()
	dir, staging := t.TempDir(), registrytest.Distribution(t)
	write(t, filepath.Join(dir, "policies", "all.yaml"), basePolicies)
	c, err := config.Parse("gatekeeper.yaml", fmt.Appendf(nil, `apiVersion: gatekeeper/v1alpha1
kind: Configuration
storage: {url: "sqlite://%[1]s/gatekeeper.db"}
registries:
  - {name: staging, url: "http://%[2]s", auth: {anonymous: true}, reconcile: {interval: 10m}}
  - {name: golden, url: "http://%[3]s", auth: {anonymous: true}}
policies: %[1]s/policies
`, dir, staging, registrytest.Distribution(t)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := withPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	j, err := journal.Open(t.Context(), c.Storage.URL, journal.Deps{Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	registries, err := s.registries(registry.Deps{Observer: unobserved{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	scanner, err := s.scanner(registries, t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := s.gate(parts{registries: registries, scanner: scanner, trustRoots: s.trustRoots(log), books: j, golden: j, observer: unobserved{}, log: log})
	if err != nil {
		t.Fatal(err)
	}
	return &lineageBench{staging: staging, config: c, journal: j, gate: gate}
}

// push writes an image to staging, and says what became of it.
func (b *lineageBench) push(t *testing.T, image string, content remote.Taggable) gatekeeper.Decision {
	t.Helper()
	ref, err := name.NewTag(b.staging + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	var digest v1.Hash
	switch c := content.(type) {
	case v1.Image:
		err = remote.Write(ref, c, remote.WithContext(t.Context()))
		digest, _ = c.Digest()
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, c, remote.WithContext(t.Context()))
		digest, _ = c.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.journal.Accept(t.Context(), []notifications.Push{{Source: "staging", Repository: ref.RepositoryStr(), Tag: ref.TagStr(), Digest: digest.String()}})
	if err != nil {
		t.Fatal(err)
	}
	status, err := b.journal.Lookup(t.Context(), ref.RepositoryStr(), ref.TagStr())
	if err != nil {
		t.Fatal(err)
	}
	status.Push.Attempt = 9 // errors are on record
	if _, err := b.gate.Process(t.Context(), status.Push); err != nil {
		t.Fatal(err)
	}
	d, err := b.journal.LastDecision(t.Context(), status.Push.ID)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// want pushes an image, and says what has to become of it.
func (b *lineageBench) want(t *testing.T, image string, content remote.Taggable, want policy.Verdict, says string) {
	t.Helper()
	d := b.push(t, image, content)
	golden := len(d.Golden) > 0
	if d.Verdict != want || golden != (want == policy.VerdictPromoted) || !strings.Contains(d.FirstReason(), says) {
		t.Errorf("%s is %s, golden %t: %q; want %s because of %q", image, d.Verdict, golden, d.FirstReason(), want, says)
	}
}

func built(t *testing.T) func(v1.Image, error) v1.Image {
	t.Helper()
	return func(img v1.Image, err error) v1.Image {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
}

// debian is a release of a base for a platform.
func debian(t *testing.T, release, architecture string) v1.Image {
	t.Helper()
	return built(t)(sampleimage.Image(sampleimage.Spec{
		OS: "debian", Version: "12", Architecture: architecture, Content: release, Packages: []sampleimage.Package{{Name: "libc6", Version: "2.36-9"}},
	}))
}

// on adds a layer to an image, as a build does.
func on(t *testing.T, base v1.Image, content string) v1.Image {
	t.Helper()
	return built(t)(mutate.AppendLayers(base, static.NewLayer(packed(t, content), types.OCILayer)))
}

// packed is a layer with one file.
func packed(t *testing.T, content string) []byte {
	t.Helper()
	layers, err := built(t)(sampleimage.Image(sampleimage.Spec{OS: "alpine", Version: content})).Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// index puts platforms together.
func index(t *testing.T, amd64, arm64 v1.Image) v1.ImageIndex {
	t.Helper()
	ix := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for architecture, img := range map[string]v1.Image{"amd64": amd64, "arm64": arm64} {
		ix = mutate.AppendManifests(ix, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	return ix
}

func labelled(t *testing.T, img v1.Image, key, value string) v1.Image {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	c.Labels = map[string]string{key: value}
	return built(t)(mutate.Config(img, c))
}

func annotated(t *testing.T, img v1.Image, annotations map[string]string) v1.Image {
	t.Helper()
	got, ok := mutate.Annotations(img, annotations).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	return got
}

// repacked compresses an image's layers in another way: what docker push may do.
func repacked(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.RootFS.DiffIDs, file.History = nil, nil
	again := built(t)(mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), file))
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		layer, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.NoCompression), tarball.WithMediaType(types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		again = built(t)(mutate.AppendLayers(again, layer))
	}
	return again
}

// forged is an image whose configuration lists the diff_ids of another one.
func forged(t *testing.T, img, of v1.Image) v1.Image {
	t.Helper()
	ids, err := partial.ConfigLayer(of)
	if err != nil || ids == nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := of.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.RootFS.DiffIDs = slices.Clone(theirs.RootFS.DiffIDs)
	return built(t)(mutate.ConfigFile(img, file))
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// Images are pushed on golden bases of several releases, with claims that are
// true and others.
func TestBaseImagesAreProvenFromTheLayers(t *testing.T) {
	t.Parallel()
	const (
		yes, no    = policy.VerdictPromoted, policy.VerdictRejected
		baseDigest = "org.opencontainers.image.base.digest"
		baseName   = "org.opencontainers.image.base.name"
	)
	b := newLineageBench(t)
	amd1, arm1 := debian(t, "1", "amd64"), debian(t, "1", "arm64")
	amd2, arm2 := debian(t, "2", "amd64"), debian(t, "2", "arm64")
	first, second := index(t, amd1, arm1), index(t, amd2, arm2)

	b.want(t, "team-strict/early:v1", on(t, amd1, "app"), no, "do not begin with those of a golden image")
	b.want(t, "base/debian:v1", first, yes, "")
	b.want(t, "team-strict/app:v1", on(t, amd1, "app"), yes, "")
	b.want(t, "team-strict/copy:v1", first, yes, "")
	b.want(t, "team-strict/platforms:v1", index(t, on(t, amd1, "app"), on(t, arm1, "app")), yes, "")
	b.want(t, "team-strict/half:v1", index(t, on(t, amd1, "app"), on(t, debian(t, "?", "arm64"), "app")), no, "do not begin")

	b.want(t, "base/debian:v2", second, yes, "")
	b.want(t, "team-strict/app:v2", on(t, amd1, "app 2"), no, "1 release behind in the repository")
	b.want(t, "team-lax/app:v2", on(t, amd1, "app 2"), yes, "")
	b.want(t, "team-strict/app:v3", on(t, amd2, "app 2"), yes, "")
	b.want(t, "team-strict/platforms:v2", index(t, on(t, amd2, "app"), on(t, arm1, "app")), no, "1 release behind")
	b.want(t, "base/debian:v3", index(t, debian(t, "3", "amd64"), debian(t, "3", "arm64")), yes, "")
	b.want(t, "team-lax/app:v3", on(t, amd1, "app 2"), no, "2 releases behind")
	b.want(t, "team-lax/app:v4", on(t, amd2, "app 2"), yes, "")

	faked := labelled(t, on(t, debian(t, "?", "amd64"), "app"), baseDigest, digestOf(t, second))
	b.want(t, "team-lax/faked:v1", faked, no, "the layers do not begin with those of a golden image")
	b.want(t, "team-lax/faked:v2", labelled(t, on(t, amd2, "app"), baseDigest, digestOf(t, first)), no, "the label "+baseDigest+" says")
	b.want(t, "team-lax/faked:v3", annotated(t, on(t, amd2, "app"), map[string]string{baseDigest: digestOf(t, amd1)}), no, "the annotation "+baseDigest+" says")
	b.want(t, "team-lax/true:v1", annotated(t, on(t, amd2, "app"), map[string]string{baseDigest: digestOf(t, second), baseName: b.staging + "/base/debian:v2"}), yes, "")
	b.want(t, "team-lax/true:v2", annotated(t, on(t, amd2, "app"), map[string]string{baseDigest: digestOf(t, amd2)}), yes, "")

	b.want(t, "team-lax/repacked:v1", repacked(t, on(t, amd2, "app")), yes, "")
	b.want(t, "team-lax/forged:v1", forged(t, repacked(t, debian(t, "?", "amd64")), amd2), policy.VerdictError, "unpacks to")

	list, err := b.journal.Rebuilds(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprintf("%s:%s -%d %s", r.Repository, strings.Join(r.Tags, ","), r.Bases[0].Behind, r.Bases[0].NewestTag))
	}
	slices.Sort(got)
	want := []string{
		"team-lax/app:v2 -2 v3", "team-lax/app:v4 -1 v3", "team-lax/repacked:v1 -1 v3", "team-lax/true:v1 -1 v3", "team-lax/true:v2 -1 v3",
		"team-strict/app:v1 -2 v3", "team-strict/app:v3 -1 v3", "team-strict/copy:v1 -2 v3", "team-strict/platforms:v1 -2 v3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rebuilds:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// A process without books of its own reads those of the service.
	s, err := withPolicies(t.Context(), b.config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := judgeOnce(t.Context(), s, b.staging+"/team-lax/app:v3", slog.New(slog.DiscardHandler))
	if err != nil || d.Verdict != no || !strings.Contains(d.FirstReason(), "2 releases behind") {
		t.Errorf("check: %s %q, %v", d.Verdict, d.FirstReason(), err)
	}
}
