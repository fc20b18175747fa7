package journal_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// release is a golden image in a test.
type release struct {
	registry   string // golden when empty
	repository string
	tag        string
	channel    string
	platforms  []policy.Platform
	bases      []policy.BuiltOn
	digest     string // made of the platforms when empty
}

func hashed(text string) string {
	s := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(s[:])
}

// layered is a platform of an image with these layers, and labels that make it
// another one.
func layered(label string, contents ...string) policy.Platform {
	p := policy.Platform{Name: "linux/amd64", Digest: hashed(label + "\n" + strings.Join(contents, "\n")), Labels: map[string]string{"release": label}}
	for _, c := range contents {
		p.Layers = append(p.Layers, policy.Layer{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: hashed("gzip " + c), DiffID: hashed(c)})
	}
	return p
}

// unpacked says that a scan unpacked the layers.
func unpacked(p policy.Platform) policy.Platform {
	p.Scan = &policy.Scan{Catalogue: policy.Catalogue{From: policy.CatalogueLayers}}
	return p
}

// repacked is the platform with the same content in other layers.
func repacked(p policy.Platform) policy.Platform {
	p.Layers = slices.Clone(p.Layers)
	for i := range p.Layers {
		p.Layers[i].Digest = hashed("repacked " + p.Layers[i].DiffID)
	}
	return p
}

// promote puts a release on record, as the gate does.
func promote(t *testing.T, j *journal.Journal, r release) gatekeeper.GoldenReference {
	t.Helper()
	if r.digest == "" {
		for _, p := range r.platforms {
			r.digest = hashed(r.digest + p.Digest)
		}
	}
	pushed := pushOf(r.tag, r.digest)
	pushed.Repository = "src/" + r.repository
	if r.registry != "" {
		pushed.Repository = r.registry + "/" + r.repository
	}
	accept(t, j, pushed)
	status, err := j.Lookup(t.Context(), pushed.Repository, r.tag)
	if err != nil {
		t.Fatal(err)
	}
	p := status.Push
	registry := cmp.Or(r.registry, "golden")
	to := policy.Promotion{Registry: registry, Repository: r.repository, Tags: []string{r.tag}}
	if r.channel != "" {
		to.Channels = []string{r.channel}
	}
	id, err := j.RecordDecision(t.Context(), gatekeeper.Decision{
		Push: p, Verdict: policy.VerdictPromoted, Mode: policy.ModeEnforce, DecidedAt: p.ReceivedAt,
		Results:  []policy.Result{{Policy: "bases", Mode: policy.ModeEnforce, Verdict: policy.VerdictPromoted, Promotion: &to, Bases: r.bases}},
		Evidence: &policy.Evidence{Subject: policy.Subject{Registry: p.Source, Repository: p.Repository, Digest: p.Digest}, Image: policy.Image{Platforms: r.platforms}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var refs []gatekeeper.GoldenReference
	for _, tag := range append(slices.Clone(to.Channels), to.Tags...) {
		refs = append(refs, gatekeeper.GoldenReference{Registry: registry, Repository: r.repository, Tag: tag, Digest: p.Digest, PushID: p.ID, At: time.Now().UTC()})
	}
	for range 2 { // repeated after a crash
		if err := j.RecordGolden(t.Context(), id, refs); err != nil {
			t.Fatal(err)
		}
	}
	return refs[len(refs)-1]
}

// lineageOf asks what a platform is built on.
func lineageOf(t *testing.T, j *journal.Journal, p policy.Platform, claimed ...string) policy.Lineage {
	t.Helper()
	l, err := j.Lineage(t.Context(), gatekeeper.BaseQuery{Layers: gatekeeper.NewLayerChains(p.Layers), Claimed: claimed})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// short writes bases down: repository@tag, layers, proof, releases behind.
func short(l policy.Lineage) []string {
	list := []string{}
	for _, b := range l.Bases {
		text := fmt.Sprintf("%s:%s %d %s -%d", b.Repository, strings.Join(b.Tags, ","), b.Layers, b.Proof, b.Behind)
		if b.Newest != "" {
			text += " " + b.Channel + ">" + b.NewestTag
		}
		list = append(list, text)
	}
	return list
}

func TestLineage(t *testing.T) {
	t.Parallel()
	debian := func(tag, channel string, layers ...string) release {
		return release{repository: "base/debian", tag: tag, channel: channel, platforms: []policy.Platform{unpacked(layered(tag, layers...))}}
	}
	tests := []struct {
		name     string
		releases []release
		image    policy.Platform
		claimed  []string
		want     []string
	}{
		{"on nothing that is golden", []release{debian("1", "", "a")}, layered("", "x", "y"), nil, nil},
		{"on a base", []release{debian("1", "", "a")}, layered("", "a", "x"), nil, []string{"base/debian:1 1 digests -0"}},
		{"the base itself", []release{debian("1", "", "a")}, layered("1", "a"), nil, []string{"base/debian:1 1 digests -0"}},
		{"not all of the base's layers", []release{debian("1", "", "a", "b")}, layered("", "a", "x"), nil, nil},
		{"the base's layers, but not at the bottom", []release{debian("1", "", "a")}, layered("", "x", "a"), nil, nil},
		{"repeated layers", []release{debian("1", "", "a", "a")}, layered("", "a", "a", "a"), nil, []string{"base/debian:1 2 digests -0"}},
		{"fewer of the repeated layers", []release{debian("1", "", "a", "a")}, layered("", "a"), nil, nil},
		{"one release behind", []release{debian("1", "", "a"), debian("2", "", "b")}, layered("", "a", "x"), nil, []string{"base/debian:1 1 digests -1 >2"}},
		{"the newest of two", []release{debian("1", "", "a"), debian("2", "", "b")}, layered("", "b", "x"), nil, []string{"base/debian:2 1 digests -0"}},
		{"a release under two tags counts once", []release{debian("1", "", "a"), debian("2", "", "b"), {repository: "base/debian", tag: "2.0", platforms: []policy.Platform{unpacked(layered("2", "b"))}}}, layered("", "a", "x"), nil, []string{"base/debian:1 1 digests -1 >2.0"}},
		{"an old release under a new tag stays old", []release{debian("1", "", "a"), debian("2", "", "b"), {repository: "base/debian", tag: "3", platforms: []policy.Platform{unpacked(layered("1", "a"))}}}, layered("", "a", "x"), nil, []string{"base/debian:1,3 1 digests -1 >2"}},
		{"another repository's releases do not count", []release{debian("1", "", "a"), {repository: "base/alpine", tag: "2", platforms: []policy.Platform{layered("", "b")}}}, layered("", "a", "x"), nil, []string{"base/debian:1 1 digests -0"}},
		{"releases with the same layers are the same to who is built on them", []release{debian("1", "", "a"), debian("2", "", "a")}, layered("", "a", "x"), nil, []string{"base/debian:2 1 digests -0"}},
		{"but the one that is claimed is told", []release{debian("1", "", "a"), debian("2", "", "a")}, layered("", "a", "x"), []string{layered("1", "a").Digest}, []string{"base/debian:2 1 digests -0", "base/debian:1 1 digests -1 >2"}},
		{"the base with more layers", []release{debian("1", "", "a"), debian("2", "", "a", "b")}, layered("", "a", "b", "x"), nil, []string{"base/debian:2 2 digests -0"}},
		{"bases on bases", []release{debian("1", "", "a"), {repository: "base/node", tag: "22", platforms: []policy.Platform{layered("", "a", "b")}}}, layered("", "a", "b", "x"), nil, []string{"base/debian:1 1 digests -0", "base/node:22 2 digests -0"}},
		{"a channel", []release{debian("12.1", "12", "a"), debian("13.1", "13", "b")}, layered("", "a", "x"), nil, []string{"base/debian:12,12.1 1 digests -0"}},
		{"behind in its channel", []release{debian("12.1", "12", "a"), debian("13.1", "13", "b"), debian("12.2", "12", "c")}, layered("", "a", "x"), nil, []string{"base/debian:12,12.1 1 digests -1 12>12"}},
		{"behind in one of its channels", []release{debian("1", "edge", "a"), {repository: "base/debian", tag: "1", channel: "beta", platforms: []policy.Platform{unpacked(layered("1", "a"))}}, debian("2", "edge", "b")}, layered("", "a", "x"), nil, []string{"base/debian:1,beta,edge 1 digests -1 edge>edge"}},
		{"a channel that went back", []release{debian("1", "stable", "a"), debian("2", "stable", "b"), {repository: "base/debian", tag: "1", channel: "stable", platforms: []policy.Platform{unpacked(layered("1", "a"))}}}, layered("", "a", "x"), nil, []string{"base/debian:1,stable 1 digests -0"}},
		{"after a channel went back, the newer release is behind", []release{debian("1", "stable", "a"), debian("2", "stable", "b"), {repository: "base/debian", tag: "1", channel: "stable", platforms: []policy.Platform{unpacked(layered("1", "a"))}}}, layered("", "b", "x"), nil, []string{"base/debian:2,stable 1 digests -1 stable>stable"}},
		{"repacked layers", []release{debian("1", "", "a")}, repacked(layered("", "a", "x")), nil, []string{"base/debian:1 1 diffIDs -0"}},
		{"repacked layers of a base that nobody unpacked", []release{{repository: "base/debian", tag: "1", platforms: []policy.Platform{layered("1", "a")}}}, repacked(layered("", "a", "x")), nil, nil},
		{"unpacked when it was promoted again", []release{{repository: "base/debian", tag: "1", platforms: []policy.Platform{layered("1", "a")}}, {repository: "base/debian", tag: "1.0", platforms: []policy.Platform{unpacked(layered("1", "a"))}}}, repacked(layered("", "a", "x")), nil, []string{"base/debian:1,1.0 1 diffIDs -0"}},
		{"a base without layers is none", []release{{repository: "base/scratch", tag: "1", platforms: []policy.Platform{unpacked(layered("scratch"))}}}, layered("", "a"), nil, nil},
		{"a platform of an index", []release{{repository: "base/debian", tag: "1", platforms: []policy.Platform{layered("amd", "a"), layered("arm", "b")}}}, layered("", "b", "x"), nil, []string{"base/debian:1 1 digests -0"}},
	}
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			for i, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					apart := fmt.Sprint("world-", i)
					for _, r := range tt.releases {
						promote(t, j, r.in(apart))
					}
					claimed := slices.Clone(tt.claimed)
					for i := range claimed {
						claimed[i] = hashed(apart + claimed[i])
					}
					if got := short(lineageOf(t, j, moved(tt.image, apart), claimed...)); !gocmp.Equal(got, tt.want, cmpopts.EquateEmpty()) {
						t.Errorf("%q, want %q", got, tt.want)
					}
				})
			}
		})
	}
}

// in is the release in a registry of its own, with layers that are nowhere else.
func (r release) in(world string) release {
	r.registry, r.platforms = world, slices.Clone(r.platforms)
	for i := range r.platforms {
		r.platforms[i] = moved(r.platforms[i], world)
	}
	return r
}

func moved(p policy.Platform, world string) policy.Platform {
	p.Digest, p.Layers = hashed(world+p.Digest), slices.Clone(p.Layers)
	for i := range p.Layers {
		l := &p.Layers[i]
		l.Digest, l.DiffID = hashed(world+l.Digest), hashed(world+l.DiffID)
	}
	return p
}

// A layer may have the digest that stands for several, when somebody made it of
// their digests: it stands for itself alone.
func TestALayerIsNoChain(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			base := unpacked(layered("1", "a", "b"))
			promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{base}})
			chains := gatekeeper.NewLayerChains(base.Layers)
			forged := layered("", "x", "y")
			forged.Layers[0].Digest, forged.Layers[0].DiffID = chains.Digests[1], chains.DiffIDs[1]
			if l := lineageOf(t, j, forged); len(l.Bases) > 0 {
				t.Errorf("%+v", l)
			}
		})
	}
}

// What a base is, and what of what is claimed is golden.
func TestABaseIsDescribed(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			base := layered("1", "a")
			base.Labels["org.opencontainers.image.base.name"] = "docker.io/library/debian:12"
			ref := promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{base}})
			other := promote(t, j, release{repository: "base/alpine", tag: "3", platforms: []policy.Platform{layered("3", "z")}})
			got := lineageOf(t, j, layered("", "a", "x"), other.Digest, hashed("nobody knows"), base.Digest)
			want := policy.Lineage{
				Bases: []policy.Base{{
					Registry: "golden", Repository: "base/debian", Digest: ref.Digest, Manifest: base.Digest, Source: "src/base/debian", Tags: []string{"1"},
					Layers: 1, Proof: policy.ProofDigests, PromotedAt: ref.At, Claims: map[string][]string{"org.opencontainers.image.base.name": {"docker.io/library/debian:12"}},
				}},
				Golden: []string{other.Digest, base.Digest},
			}
			slices.Sort(want.Golden)
			slices.Sort(got.Golden)
			if diff := gocmp.Diff(want, got, cmpopts.EquateApproxTime(time.Second)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Thousands of layers and of releases are no trouble.
func TestALongLineage(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			layers := make([]string, 1000)
			for i := range layers {
				layers[i] = fmt.Sprint(i % 7)
			}
			promote(t, j, release{repository: "base/deep", tag: "1", platforms: []policy.Platform{unpacked(layered("", layers[:999]...))}})
			for i := range 30 {
				promote(t, j, release{repository: "base/same", tag: fmt.Sprint(i), platforms: []policy.Platform{layered(fmt.Sprint(i), layers[:3]...)}})
			}
			want := []string{"base/deep:1 999 digests -0", "base/same:29 3 digests -0"}
			if got := short(lineageOf(t, j, layered("", layers...))); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// Too many repositories are no answer.
func TestALineageHasALimit(t *testing.T) {
	t.Parallel()
	j := engines()["SQLite"].openNew(t)
	for i := range 101 {
		promote(t, j, release{repository: fmt.Sprint("copies/", i), tag: "1", platforms: []policy.Platform{layered("", "a")}})
	}
	if l, err := j.Lineage(t.Context(), gatekeeper.BaseQuery{Layers: gatekeeper.NewLayerChains(layered("", "a").Layers)}); err == nil {
		t.Errorf("%d bases", len(l.Bases))
	}
}

// What was promoted before there was a record of layers is known as soon as
// somebody asks; who only reads has no answer until then.
func TestOldPromotionsAreFilledIn(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			location := e.location(t)
			j := open(t, location, deps(t))
			t.Cleanup(func() { closeJournal(t, j) })
			promote(t, j, release{repository: "base/debian", tag: "1", channel: "stable", platforms: []policy.Platform{layered("1", "a")}})
			promote(t, j, release{repository: "base/debian", tag: "2", channel: "stable", platforms: []policy.Platform{layered("2", "b")}})
			if err := j.ForgetLineage(t.Context()); err != nil {
				t.Fatal(err)
			}
			// One that comes before the older ones are filled in.
			promote(t, j, release{repository: "base/debian", tag: "1", channel: "old", platforms: []policy.Platform{layered("1", "a")}})
			r, err := journal.OpenReader(t.Context(), location, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			q := gatekeeper.BaseQuery{Layers: gatekeeper.NewLayerChains(layered("", "a", "x").Layers)}
			if l, err := r.Lineage(t.Context(), q); err == nil {
				t.Errorf("a reader answers before that: %+v", l)
			}
			want := []string{"base/debian:1,old,stable 1 digests -1 stable>stable"}
			if got := short(lineageOf(t, j, layered("", "a", "x"))); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			l, err := r.Lineage(t.Context(), q)
			if got := short(l); err != nil || !slices.Equal(got, want) {
				t.Errorf("a reader: %q, %v", got, err)
			}
		})
	}
}

// Retention keeps bases, however old.
func TestBasesAreKept(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deps(t)
			d.Keep = day
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{layered("1", "a")}})
			promote(t, j, release{repository: "base/debian", tag: "2", platforms: []policy.Platform{layered("2", "b")}})
			if err := j.Age(t.Context(), 30*day); err != nil {
				t.Fatal(err)
			}
			accept(t, j, notifications.Push{Source: "staging", Repository: "team/app", Tag: "new", Digest: digest("f")})
			if err := j.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := short(lineageOf(t, j, layered("", "a"))), []string{"base/debian:1 1 digests -1 >2"}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// The newest release of a channel is found behind any number of images with the
// same layers that are in none, and is the current one though the repository has
// newer ones.
func TestTheHeadOfAChannelIsFoundBehindOthers(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			head := promote(t, j, release{repository: "base/debian", tag: "v7", channel: "stable", platforms: []policy.Platform{layered("v7", "a")}})
			for i := range 25 {
				tag := fmt.Sprintf("main-%d", i)
				promote(t, j, release{repository: "base/debian", tag: tag, platforms: []policy.Platform{layered(tag, "a")}})
			}
			for i := range 5 {
				tag := fmt.Sprintf("next-%d", i)
				promote(t, j, release{repository: "base/debian", tag: tag, platforms: []policy.Platform{layered(tag, "b", tag)}})
			}
			image := layered("", "a", "x")
			if l := lineageOf(t, j, image); len(l.Bases) != 1 || l.Bases[0].Digest != head.Digest || l.Bases[0].Behind != 0 {
				t.Errorf("%q: %+v", short(l), l.Bases)
			}
			promote(t, j, release{
				repository: "team/app", tag: "1", platforms: []policy.Platform{image},
				bases: []policy.BuiltOn{{Platform: "linux/amd64", Image: image.Digest, Registry: "golden", Repository: "base/debian", Digest: head.Digest, Manifest: layered("v7", "a").Digest}},
			})
			if outdated, err := j.Rebuilds(t.Context(), 10); err != nil || len(outdated) > 0 {
				t.Errorf("to be built again: %+v, %v", outdated, err)
			}
			promote(t, j, release{repository: "base/debian", tag: "v8", channel: "stable", platforms: []policy.Platform{layered("v8", "c")}})
			if l := lineageOf(t, j, image); len(l.Bases) == 0 || l.Bases[0].Digest != head.Digest || l.Bases[0].Behind != 1 {
				t.Errorf("after the next one: %q", short(l))
			}
			if outdated, err := j.Rebuilds(t.Context(), 10); err != nil || len(outdated) != 1 {
				t.Errorf("to be built again: %+v, %v", outdated, err)
			}
		})
	}
}

// However often an image became golden under other digests, as where each
// commit has a label of its own, the newest of them is found, and the one that
// an image names.
func TestAnImageThatBecameGoldenOften(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			base := layered("", "a")
			first := promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{base}})
			const times = 6000
			if err := j.Rerelease(t.Context(), times); err != nil {
				t.Fatal(err)
			}
			image := layered("", "a", "x")
			l := lineageOf(t, j, image, first.Digest)
			var found []string
			for _, b := range l.Bases {
				found = append(found, fmt.Sprintf("%s -%d", b.Digest, b.Behind))
			}
			want := []string{fmt.Sprintf("%s-%d -0", first.Digest, times), fmt.Sprintf("%s -%d", first.Digest, times)}
			if diff := gocmp.Diff(want, found); diff != "" {
				t.Errorf("bases (-want +got):\n%s", diff)
			}
		})
	}
}
