package promote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys/keystest"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// signing makes a key and trusts it.
func signing(t *testing.T) promote.Signing {
	t.Helper()
	key, public := keystest.New(t)
	trust, err := summary.NewTrust([][]byte{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return promote.Signing{Signer: summary.KeySigner{Key: key}, Trust: trust, Verifier: summary.Verifier{ID: summary.DefaultVerifier, Version: "test"}}
}

// decided is a recorded yes about a digest of staging.
func decided(of string, to policy.Promotion) (gatekeeper.Decision, policy.Result) {
	d := gatekeeper.Decision{
		ID: 1, Push: gatekeeper.Push{Source: "staging", Repository: "team-a/app", Digest: of}, DecidedAt: time.Unix(1_800_000_000, 5),
	}
	return d, policy.Result{Policy: "services", Fingerprint: of, Verdict: policy.VerdictPromoted, Inputs: []policy.Input{{Manifest: of}}, Promotion: &to}
}

// find lists the summaries of a digest in a repository.
func (b *bench) find(t *testing.T, repo registry.Repository, of string, trust *summary.Trust) []summary.Found {
	t.Helper()
	found, err := summary.Find(t.Context(), b.registries, repo, of, trust)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func goldenRepo() registry.Repository {
	return registry.Repository{Registry: "golden", Name: "gold/app"}
}

func TestASummaryIsLeftBesideTheImage(t *testing.T) {
	t.Parallel()
	for kind, registries := range map[string]func(*testing.T) (string, string){
		"Distribution": func(t *testing.T) (string, string) {
			t.Helper()
			return registrytest.Distribution(t), registrytest.Distribution(t)
		},
		"with a referrers API": func(t *testing.T) (string, string) {
			t.Helper()
			return registrytest.Distribution(t), registrytest.WithReferrers(t)
		},
		"within one registry":   func(t *testing.T) (string, string) { t.Helper(); d := registrytest.Distribution(t); return d, d },
		"within one repository": func(t *testing.T) (string, string) { t.Helper(); d := registrytest.Distribution(t); return d, d },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			staging, golden := registries(t)
			b := newBench(t, staging, golden)
			s := signing(t)
			attester := promote.NewAttester(b.promoter, s)
			img := image(t, 1)
			b.push(t, ":v1", img)
			p := to("v1")
			p.Channels = []string{"stable", "v1"}
			if kind == "within one repository" {
				p.Registry, p.Repository = "staging", "team-a/app"
			}
			of := digest(t, img)
			if err := b.promoter.Copy(t.Context(), subject(of), p); err != nil {
				t.Fatal(err)
			}
			d, r := decided(of, p)
			if err := attester.Attest(t.Context(), d, r); err != nil {
				t.Fatal(err)
			}
			if kind != "within one repository" && b.has(t, ":v1") {
				t.Error("attesting wrote the tag")
			}
			repo := registry.Repository{Registry: p.Registry, Name: p.Repository}
			host, err := b.registries.Host(p.Registry)
			if err != nil {
				t.Fatal(err)
			}
			found := b.find(t, repo, of, s.Trust)
			if len(found) != 1 || found[0].Err != nil {
				t.Fatalf("found %+v", found)
			}
			if want := []string{host + "/" + p.Repository + ":v1", host + "/" + p.Repository + ":stable"}; !slices.Equal(found[0].Names, want) {
				t.Errorf("it approves %v, want %v", found[0].Names, want)
			}
			if !found[0].At.Equal(d.DecidedAt) || found[0].ResourceURI != host+"/"+p.Repository+"@"+of {
				t.Errorf("it says %+v", found[0].Summary)
			}

			// Again: nothing is written, not even by another process of
			// another version.
			b.traffic.reset()
			s.Verifier.Version = "newer"
			other := promote.NewAttester(promote.New(b.registries, time.Now), s)
			if err := other.Attest(t.Context(), d, r); err != nil {
				t.Fatal(err)
			}
			if sent := b.traffic.bytes["golden out"] + b.traffic.bytes["staging out"]; sent > 0 {
				t.Errorf("%d bytes were sent again", sent)
			}
			if again := b.find(t, repo, of, s.Trust); len(again) != 1 {
				t.Errorf("%d summaries", len(again))
			}
		})
	}
}

// Where cosign finds one bundle, it looks at no signature of the older form:
// beside such signatures the summary takes their form.
func TestBesideOlderSignaturesTheSummaryHasTheirForm(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.WithReferrers(t))
	s := signing(t)
	attester := promote.NewAttester(b.promoter, s)
	img := image(t, 1)
	of := digest(t, img)
	b.push(t, ":v1", img)
	b.push(t, ":"+registry.FallbackTag(of, ".sig"), signature(t, "a signature"))
	b.push(t, ":"+registry.FallbackTag(of, ".att"), signature(t, "an attestation"))
	layers := func() int {
		t.Helper()
		att, err := remote.Image(ref(t, b.golden+"/gold/app:"+registry.FallbackTag(of, ".att")))
		if err != nil {
			t.Fatal(err)
		}
		all, err := att.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			r, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("a layer in golden: %v", err)
			}
		}
		config, err := att.ConfigFile()
		if err != nil || len(config.RootFS.DiffIDs) != len(all) {
			t.Errorf("%d layers, the configuration has %+v (%v)", len(all), config, err)
		}
		return len(all)
	}
	d, r := decided(of, to("v1"))
	promote := func() {
		t.Helper()
		b.promote(t, of, to("v1"))
		if err := attester.Attest(t.Context(), d, r); err != nil {
			t.Fatal(err)
		}
		if found := b.find(t, goldenRepo(), of, s.Trust); len(found) != 1 || found[0].Err != nil {
			t.Errorf("found %+v", found)
		}
		if bundles, err := summary.HasBundle(t.Context(), b.registries, goldenRepo(), of); err != nil || bundles {
			t.Errorf("there is a bundle: %v, %v", bundles, err)
		}
	}
	promote()
	if n := layers(); n != 2 {
		t.Errorf("%d attestations in golden, want the source's and ours", n)
	}
	b.traffic.reset()
	promote() // again
	if sent := b.traffic.bytes["golden out"]; sent > 0 {
		t.Errorf("%d bytes were sent again", sent)
	}
	// Another attestation arrives in staging, and the image is promoted again.
	more, err := mutate.AppendLayers(signature(t, "an attestation"), static.NewLayer([]byte("another"), "application/vnd.dsse.envelope.v1+json"))
	if err != nil {
		t.Fatal(err)
	}
	b.push(t, ":"+registry.FallbackTag(of, ".att"), more)
	promote()
	if n := layers(); n != 3 {
		t.Errorf("%d attestations in golden, want the source's two and ours", n)
	}
}

func TestTheFormCanBeChosen(t *testing.T) {
	t.Parallel()
	for form, bundles := range map[promote.Form]bool{promote.FormOfSignatures: true, promote.FormBundle: true, promote.FormTag: false} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
			s := signing(t)
			s.Form = form
			img := image(t, 1)
			b.push(t, ":v1", img)
			b.promote(t, digest(t, img), to("v1"))
			d, r := decided(digest(t, img), to("v1"))
			if err := promote.NewAttester(b.promoter, s).Attest(t.Context(), d, r); err != nil {
				t.Fatal(err)
			}
			if found := b.find(t, goldenRepo(), d.Push.Digest, s.Trust); len(found) != 1 || found[0].Err != nil {
				t.Errorf("found %+v", found)
			}
			if got, err := summary.HasBundle(t.Context(), b.registries, goldenRepo(), d.Push.Digest); err != nil || got != bundles {
				t.Errorf("a bundle: %v, %v", got, err)
			}
		})
	}
}

// cosign attest alone leaves no signature, and its attestations would be as
// invisible beside a bundle.
func TestTheFormGoesByAttestationsToo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		attested      bool
		bundle, older bool
	}{
		{"an attestation of the older form", true, false, true},
		{"beside a bundle", true, true, false},
		{"nothing", false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
			s := signing(t)
			img := image(t, 1)
			of := digest(t, img)
			b.push(t, ":v1", img)
			if tt.attested {
				b.push(t, ":"+registry.FallbackTag(of, ".att"), signature(t, "an attestation"))
			}
			b.promote(t, of, to("v1"))
			if tt.bundle {
				other := signing(t)
				other.Form = promote.FormBundle
				d, r := decided(of, to("v1"))
				if err := promote.NewAttester(b.promoter, other).Attest(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // our own summary changes nothing
				d, r := decided(of, to("v1"))
				if err := promote.NewAttester(b.promoter, s).Attest(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
			}
			layers, err := summary.Envelopes(t.Context(), b.registries, goldenRepo(), of)
			if err != nil || (len(layers) == 1) != tt.older {
				t.Errorf("%d summaries of the older form, %v", len(layers), err)
			}
		})
	}
}

// reading counts what is read from golden.
type reading struct {
	promote.Registries
	mu    sync.Mutex
	blobs int
}

func (r *reading) Blob(ctx context.Context, repo registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	r.mu.Lock()
	r.blobs++
	r.mu.Unlock()
	return r.Registries.Blob(ctx, repo, d, limit)
}

// Other bundles, however many, are not read again to read back our own.
func TestWhatWasWrittenIsReadBackAlone(t *testing.T) {
	t.Parallel()
	for _, form := range []promote.Form{promote.FormBundle, promote.FormTag} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
			s := signing(t)
			s.Form = form
			img := image(t, 1)
			b.push(t, ":v1", img)
			of := digest(t, img)
			if err := b.promoter.Copy(t.Context(), subject(of), to("v1")); err != nil {
				t.Fatal(err)
			}
			const times = 4
			counted := &reading{Registries: b.registries}
			for i := range times {
				d, r := decided(of, to("v1"))
				d.DecidedAt = d.DecidedAt.Add(time.Duration(i) * time.Minute)
				if err := promote.NewAttester(promote.New(counted, time.Now), s).Attest(t.Context(), d, r); err != nil {
					t.Fatal(err)
				}
			}
			// Each looks at what was there, and reads its own back.
			if want := times*(times-1)/2 + times; counted.blobs != want {
				t.Errorf("%d blobs were read, want %d", counted.blobs, want)
			}
		})
	}
}

// A referrer that is listed as something else is not read, and an envelope
// that is too large says so.
func TestWhatCanBeNoSummaryIsNotRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	of := digest(t, img)
	b.push(t, ":v1", img)
	for i := range 5 {
		r := refers(t, img, fmt.Sprint(i))
		b.push(t, "@"+digest(t, r), r)
	}
	large, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: static.NewLayer(make([]byte, summary.MaxBundle+1), summary.EnvelopeType), Annotations: summary.LayerAnnotations(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.push(t, ":"+registry.FallbackTag(of, ".att"), large)
	b.promote(t, of, to("v1"))
	fresh := newBench(t, b.staging, b.golden)
	found := fresh.find(t, goldenRepo(), of, signing(t).Trust)
	if len(found) != 1 || !errors.Is(found[0].Err, summary.ErrMalformed) {
		t.Errorf("%+v", found)
	}
	// The referrers API that is not there, the list, and the attestations,
	// with a ping before.
	if n := fresh.traffic.requests["golden"]; n > 4 {
		t.Errorf("%d requests", n)
	}
}

// flaky is a registry that fails at one write: before it, or after it took
// effect, as a crash does.
type flaky struct {
	promote.Registries
	mu     sync.Mutex
	writes int
	at     int // the write that fails; 0: none
	after  bool
}

var errCrash = errors.New("crash")

func (f *flaky) write(do func() error) error {
	f.mu.Lock()
	f.writes++
	fails := f.writes == f.at
	f.mu.Unlock()
	if fails && !f.after {
		return errCrash
	}
	if err := do(); err != nil {
		return err
	}
	if fails {
		return errCrash
	}
	return nil
}

func (f *flaky) PushBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, body io.Reader, begun *registry.Upload) error {
	return f.write(func() error { return f.Registries.PushBlob(ctx, r, d, body, begun) })
}

func (f *flaky) PutManifest(ctx context.Context, r registry.Repository, reference string, content registry.Content) (listed bool, err error) {
	err = f.write(func() error {
		listed, err = f.Registries.PutManifest(ctx, r, reference, content)
		return err
	})
	return listed, err
}

func TestACrashAtAnyStepLeavesOneSummary(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(testing.TB) string{"Distribution": registrytest.Distribution, "with a referrers API": registrytest.WithReferrers} {
		for i := range 4 {
			after, older := i%2 == 1, i >= 2
			t.Run(fmt.Sprintf("%s, after the write %v, older form %v", kind, after, older), func(t *testing.T) {
				t.Parallel()
				golden := start(t)
				b := newBench(t, registrytest.Distribution(t), golden)
				s := signing(t)
				survived := false
				for at := 1; !survived; at++ {
					img := image(t, 1)
					b.push(t, ":v1", img)
					if older {
						b.push(t, ":"+registry.FallbackTag(digest(t, img), ".sig"), signature(t, "a signature"))
						b.push(t, ":"+registry.FallbackTag(digest(t, img), ".att"), signature(t, "an attestation"))
					}
					p := to(fmt.Sprintf("v%d", at))
					d, r := decided(digest(t, img), p)
					f := &flaky{Registries: b.registries, at: at, after: after}
					whole := func() error {
						promoter := promote.New(f, time.Now)
						if err := promoter.Copy(t.Context(), subject(d.Push.Digest), p); err != nil {
							return err
						}
						if err := promote.NewAttester(promoter, s).Attest(t.Context(), d, r); err != nil {
							return err
						}
						return promoter.Tag(t.Context(), subject(d.Push.Digest), p, p.Tags[0])
					}
					switch err := whole(); {
					case err == nil && f.writes < at:
						survived = true
					case !errors.Is(err, errCrash):
						t.Fatalf("write %d: %v", at, err)
					case b.has(t, ":"+p.Tags[0]) && len(b.find(t, goldenRepo(), d.Push.Digest, s.Trust)) == 0:
						t.Fatalf("write %d: the tag was there before the summary", at)
					default:
						if err := whole(); err != nil {
							t.Fatalf("again after write %d: %v", at, err)
						}
					}
					if found := b.find(t, goldenRepo(), d.Push.Digest, s.Trust); len(found) != 1 || found[0].Err != nil || !b.has(t, ":"+p.Tags[0]) {
						t.Errorf("crash at write %d: %d summaries: %+v", at, len(found), found)
					}
				}
			})
		}
	}
}

// Processes that promote the same digest at the same time, and different ones,
// lose nothing that refers to them.
func TestSeveralProcessesLoseNoReferrer(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprintf("older form %v", older), func(t *testing.T) {
			t.Parallel()
			severalProcesses(t, older)
		})
	}
}

func severalProcesses(t *testing.T, older bool) {
	t.Helper()
	golden, staging := registrytest.Distribution(t), registrytest.Distribution(t)
	s := signing(t)
	first := newBench(t, staging, golden)
	const referrers, processes = 3, 4
	// sign pushes an image, and signatures of the older form.
	sign := func(tag string) v1.Image {
		img := image(t, 1)
		first.push(t, tag, img)
		if older {
			first.push(t, ":"+registry.FallbackTag(digest(t, img), ".sig"), signature(t, "a signature"))
			first.push(t, ":"+registry.FallbackTag(digest(t, img), ".att"), signature(t, "an attestation"))
		}
		return img
	}
	img := sign(":v1")
	for i := range referrers {
		r := refers(t, img, fmt.Sprint(i))
		first.push(t, "@"+digest(t, r), r)
	}
	others := make([]string, processes)
	var wg sync.WaitGroup
	for i := range processes {
		others[i] = digest(t, sign(fmt.Sprintf(":other%d", i)))
		// A client and a promoter of its own: no lock is shared.
		b := newBench(t, staging, golden)
		attester := promote.NewAttester(b.promoter, s)
		for _, of := range []string{digest(t, img), others[i]} {
			wg.Go(func() {
				p := to(fmt.Sprintf("v%d-%s", i, of[7:12]))
				d, r := decided(of, p)
				if err := b.promoter.Copy(t.Context(), subject(of), p); err != nil {
					t.Error(err)
				}
				if err := attester.Attest(t.Context(), d, r); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	b := newBench(t, staging, golden)
	bundles := processes
	if older {
		bundles = 0
	}
	list, err := b.registries.Referrers(t.Context(), goldenRepo(), digest(t, img))
	if err != nil || len(list) != referrers+bundles {
		t.Errorf("%d referrers, want %d (%v)", len(list), referrers+bundles, err)
	}
	if found := b.find(t, goldenRepo(), digest(t, img), s.Trust); len(found) != processes {
		t.Errorf("%d summaries, want %d: %+v", len(found), processes, found)
	}
	for _, of := range others {
		if found := b.find(t, goldenRepo(), of, s.Trust); len(found) != 1 || found[0].Err != nil {
			t.Errorf("%s: %+v", of, found)
		}
	}
}

// interrupted lets something happen between a copy's look at golden and its
// write there: before a certain blob is brought over.
type interrupted struct {
	promote.Registries
	blob string
	once sync.Once
	by   func()
}

func (i *interrupted) HasBlob(ctx context.Context, r registry.Repository, digest string) (bool, error) {
	if digest == i.blob {
		i.once.Do(i.by)
	}
	return i.Registries.HasBlob(ctx, r, digest)
}

// One image is pushed under two tags. While the second copy brings a blob
// over, the first promotion is completed: its summary stays.
func TestACopyOverAnotherPromotionKeepsItsSummary(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	s := signing(t)
	img := image(t, 1)
	of := digest(t, img)
	b.push(t, ":v1", img)
	b.push(t, ":"+registry.FallbackTag(of, ".sig"), signature(t, "a signature"))
	att := signature(t, "an attestation")
	b.push(t, ":"+registry.FallbackTag(of, ".att"), att)
	config, err := att.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	whole := func(registries promote.Registries, tag string) {
		t.Helper()
		promoter := promote.New(registries, time.Now)
		if err := promoter.Copy(t.Context(), subject(of), to(tag)); err != nil {
			t.Error(err)
		}
		d, r := decided(of, to(tag))
		if err := promote.NewAttester(promoter, s).Attest(t.Context(), d, r); err != nil {
			t.Error(err)
		}
	}
	whole(&interrupted{Registries: b.registries, blob: config.String(), by: func() { whole(b.registries, "v1") }}, "latest")
	if found := b.find(t, goldenRepo(), of, s.Trust); len(found) != 2 {
		t.Errorf("%d summaries, want one for each tag: %+v", len(found), found)
	}
}

// Of the signatures of two keys the signed text is the same, and has one
// digest; the signatures are annotations. Both come over.
func TestSignaturesOfSeveralKeysComeAlong(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
	img := image(t, 1)
	of := digest(t, img)
	b.push(t, ":v1", img)
	signed := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for i := range 3 {
		var err error
		signed, err = mutate.Append(signed, mutate.Addendum{
			Layer:       static.NewLayer([]byte("the same text"), "application/vnd.dev.cosign.simplesigning.v1+json"),
			Annotations: map[string]string{"dev.cosignproject.cosign/signature": fmt.Sprint(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.push(t, ":"+registry.FallbackTag(of, ".sig"), signed)
		b.promote(t, of, to("v1"))
		got, err := remote.Image(ref(t, b.golden+"/gold/app:"+registry.FallbackTag(of, ".sig")))
		if err != nil || digest(t, got) != digest(t, signed) {
			t.Errorf("after signature %d: golden has other ones than the source (%v)", i, err)
		}
	}
}

// overwriting plays another process that read the list before our write, and
// writes its own after it.
type overwriting struct {
	promote.Registries
	stale registry.Content
	times int
}

func (o *overwriting) PutManifest(ctx context.Context, r registry.Repository, reference string, content registry.Content) (bool, error) {
	listed, err := o.Registries.PutManifest(ctx, r, reference, content)
	if err == nil && o.times > 0 && content.MediaType == o.stale.MediaType {
		o.times--
		_, err = o.Registries.PutManifest(ctx, r, reference, o.stale)
	}
	return listed, err
}

func TestAListThatIsOverwrittenIsMended(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		times int
		fails bool
	}{{"some times", 3, false}, {"all the time", 1000, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
			s := signing(t)
			img := image(t, 1)
			b.push(t, ":v1", img)
			of := digest(t, img)
			if err := b.promoter.Copy(t.Context(), subject(of), to("v1")); err != nil {
				t.Fatal(err)
			}
			// The other process' list holds its own referrer.
			theirs := refers(t, img, "theirs")
			if err := remote.Write(ref(t, b.golden+"/gold/app@"+digest(t, theirs)), theirs); err != nil {
				t.Fatal(err)
			}
			stale, err := b.registries.ManifestByTag(t.Context(), goldenRepo(), registry.FallbackTag(of, ""))
			if err != nil {
				t.Fatal(err)
			}
			o := &overwriting{Registries: b.registries, stale: stale, times: tt.times}
			d, r := decided(of, to("v1"))
			err = promote.NewAttester(promote.New(o, time.Now), s).Attest(t.Context(), d, r)
			if tt.fails {
				if err == nil {
					t.Error("a summary that nobody can find is taken for good")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			list, err := b.registries.Referrers(t.Context(), goldenRepo(), of)
			if err != nil || len(list) != 2 {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
}

// What does not verify with our own trust is not written, however often it is
// tried, and the error names what to mend.
func TestASummaryThatDoesNotVerifyIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		form    promote.Form
		keyless bool
		names   string
	}{
		{"a bundle", promote.FormBundle, false, "signing.key"},
		{"the older form", promote.FormTag, false, "signing.key"},
		{"with a certificate", promote.FormBundle, true, "signing.keyless"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, registrytest.Distribution(t), registrytest.Distribution(t))
			img := image(t, 1)
			b.push(t, ":v1", img)
			of := digest(t, img)
			if err := b.promoter.Copy(t.Context(), subject(of), to("v1")); err != nil {
				t.Fatal(err)
			}
			mixed := signing(t)
			mixed.Trust, mixed.Form = signing(t).Trust, tt.form
			if tt.keyless {
				mixed.Signer = otherSigner{mixed.Signer}
			}
			d, r := decided(of, to("v1"))
			b.traffic.reset()
			for range 2 {
				err := promote.NewAttester(b.promoter, mixed).Attest(t.Context(), d, r)
				if !errors.Is(err, summary.ErrUnknownSigner) || !strings.Contains(err.Error(), tt.names+":") {
					t.Errorf("%v", err)
				}
			}
			if found := b.find(t, goldenRepo(), of, mixed.Trust); len(found) > 0 || b.traffic.bytes["golden out"] > 0 {
				t.Errorf("it was written: %d bytes, %+v", b.traffic.bytes["golden out"], found)
			}
		})
	}
}

// otherSigner is a signer that is not known to have a key that lasts.
type otherSigner struct{ summary.Signer }

// zot let a user who may only create tags overwrite one (CVE-2026-31801). Here
// an immutable golden tag stays, and nothing is signed about another digest
// under its name.
func TestAttack_CVE_2026_31801(t *testing.T) {
	t.Parallel()
	b := newBench(t, registrytest.Distribution(t), registrytest.WithReferrers(t))
	s := signing(t)
	attester := promote.NewAttester(b.promoter, s)
	first, second := image(t, 1), image(t, 1)
	b.push(t, ":v1", first)
	b.promote(t, digest(t, first), to("v1"))
	b.push(t, ":v1", second)
	b.promote(t, digest(t, second), to("v2"))
	d, r := decided(digest(t, second), to("v1"))
	var conflict *gatekeeper.ConflictError
	if err := attester.Attest(t.Context(), d, r); !errors.As(err, &conflict) {
		t.Errorf("attest: %v", err)
	}
	if err := b.promoter.Tag(t.Context(), subject(digest(t, second)), to("v1"), "v1"); !errors.As(err, &conflict) {
		t.Errorf("tag: %v", err)
	}
	if got, err := remote.Head(ref(t, b.golden+"/gold/app:v1")); err != nil || got.Digest.String() != digest(t, first) {
		t.Errorf("v1 is %v, %v", got, err)
	}
	if found := b.find(t, goldenRepo(), digest(t, second), s.Trust); len(found) > 0 {
		t.Errorf("it was said to be approved: %+v", found)
	}
}
