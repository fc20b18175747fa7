package policy_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	onBase    = `patchLevel: {base: {repositories: ["golden/base/**"]}}` + "\n"
	newest    = `patchLevel: {base: {repositories: ["golden/base/**"], maxBehind: 0}}` + "\n"
	oneBehind = `patchLevel: {base: {repositories: ["golden/base/**"], maxBehind: 1}}` + "\n"
	freshBase = `patchLevel: {base: {repositories: ["golden/base/**"], maxAge: 30d}}` + "\n"
)

// digestOf makes a digest out of a letter.
func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// debian is a golden base that was promoted just now.
func debian(change ...func(b *policy.Base)) policy.Base {
	b := policy.Base{
		Registry: "golden", Repository: "base/debian", Digest: digestOf("1"), Manifest: digestOf("2"), Source: "base-team/debian", Tags: []string{"12"},
		Layers: 2, Proof: policy.ProofDigests, PromotedAt: received(),
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

// builtOn is the lineage of an image with these bases.
func builtOn(bases ...policy.Base) edit {
	return func(_ keys, ev *policy.Evidence) {
		platform(ev).Lineage = &policy.Lineage{Bases: append([]policy.Base{}, bases...)}
	}
}

func behind(n int) func(b *policy.Base) {
	return func(b *policy.Base) {
		if b.Behind = n; n > 0 {
			b.Newest, b.NewestTag = digestOf("9"), "13"
		}
	}
}

func promotedTo(repository string, layers int) func(b *policy.Base) {
	return func(b *policy.Base) { b.Repository, b.Source, b.Layers = repository, repository, layers }
}

func byDiffIDs(b *policy.Base) { b.Proof = policy.ProofDiffIDs }

func promoted(age time.Duration) func(b *policy.Base) {
	return func(b *policy.Base) { b.PromotedAt = *ago(age) }
}

// says is an image on debian that says something about its base in a label,
// or in an annotation.
func claiming(key, value string, label bool, bases ...policy.Base) edit {
	return func(k keys, ev *policy.Evidence) {
		builtOn(bases...)(k, ev)
		if label {
			platform(ev).Labels[key] = value
			return
		}
		platform(ev).Annotations = map[string]string{key: value}
	}
}

func severally(edits ...edit) edit {
	return func(k keys, ev *policy.Evidence) {
		for _, e := range edits {
			e(k, ev)
		}
	}
}

const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

func TestBases(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	fromSBOM := scanIs(func(s *policy.Scan) { s.Catalogue.From = policy.CatalogueSBOM })
	noScan := func(_ keys, ev *policy.Evidence) { platform(ev).Scan = nil }
	for _, tt := range []struct {
		name   string
		rules  string
		edit   edit
		later  time.Duration
		want   policy.Verdict
		reason policy.Reason // of the first finding
		says   string        // its text
	}{
		{"on a base", onBase, builtOn(debian()), 0, yes, "", ""},
		{"on no base", onBase, builtOn(), 0, no, policy.ReasonAbsent, "do not begin with those of a golden image"},
		{"nobody looked", onBase, nil, 0, unknown, policy.ReasonUnavailable, "nobody looked"},
		{"nobody could say", onBase, severally(builtOn(debian()), problem(policy.PartLineage, "linux/amd64")), 0, unknown, policy.ReasonUnavailable, "503"},
		{"nobody could say of another platform", onBase, severally(builtOn(debian()), problem(policy.PartLineage, "linux/s390x")), 0, yes, "", ""},
		{"not asked for", young, problem(policy.PartLineage, ""), 0, yes, "", ""},
		{"on another golden image", onBase, builtOn(debian(promotedTo("team-b/app", 9))), 0, no, policy.ReasonDenied, "built on golden/team-b/app:12@sha256:1"},
		{"on a base of another registry", onBase, builtOn(debian(func(b *policy.Base) { b.Registry = "silver" })), 0, no, policy.ReasonDenied, "silver/base/debian"},
		{"a base that is left out", `patchLevel: {base: {repositories: ["golden/**", "!golden/base/**"]}}` + "\n", builtOn(debian()), 0, no, policy.ReasonDenied, ""},
		{"the image itself is no base", `patchLevel: {base: {repositories: ["golden/**"]}}` + "\n", builtOn(debian(promotedTo("team-a/app", 9))), 0, no, policy.ReasonAbsent, ""},
		{"nor is it another golden image", onBase, builtOn(debian(promotedTo("copies/app", 9), func(b *policy.Base) { b.Digest = "sha256:" + strings.Repeat("ab", 32) })), 0, no, policy.ReasonAbsent, ""},
		{"an image that is the base", onBase, builtOn(debian(func(b *policy.Base) { b.Digest = "sha256:" + strings.Repeat("ab", 32) })), 0, yes, "", ""},
		{"one platform on none", onBase, severally(builtOn(debian()), secondPlatform(func(p *policy.Platform) { p.Lineage = &policy.Lineage{} })), 0, no, policy.ReasonAbsent, ""},
		{"one platform that nobody looked at", onBase, severally(builtOn(debian()), secondPlatform(func(p *policy.Platform) { p.Lineage = nil })), 0, unknown, policy.ReasonUnavailable, ""},

		{"the newest release", newest, builtOn(debian()), 0, yes, "", ""},
		{"one release behind the newest", newest, builtOn(debian(behind(1))), 0, no, policy.ReasonTooOld, "1 release behind in the repository"},
		{"one release behind, as it may be", oneBehind, builtOn(debian(behind(1))), 0, yes, "", ""},
		{"two releases behind", oneBehind, builtOn(debian(behind(2), func(b *policy.Base) { b.Channel = "stable" })), 0, no, policy.ReasonTooOld, "2 releases behind in the channel stable"},
		{"any number behind", onBase, builtOn(debian(behind(99))), 0, yes, "", ""},
		{"the base with the most layers counts", newest, builtOn(debian(behind(3)), debian(promotedTo("base/node", 5))), 0, yes, "", ""},
		{"whatever its release", newest, builtOn(debian(), debian(promotedTo("base/node", 5), behind(1))), 0, no, policy.ReasonTooOld, "base/node"},
		{"of the same layers the newest release", newest, builtOn(debian(behind(3)), debian(func(b *policy.Base) { b.Digest = digestOf("3") })), 0, yes, "", ""},
		{"of two repositories the one that went on", newest, builtOn(debian(promotedTo("base/old", 2)), debian(behind(1))), 0, no, policy.ReasonTooOld, "base/debian"},

		{"a base of exactly the allowed age", freshBase, builtOn(debian(promoted(30 * dayAge))), 0, yes, "", ""},
		{"a base older by a second", freshBase, builtOn(debian(promoted(30 * dayAge))), time.Second, no, policy.ReasonTooOld, "golden since 2026-10-21, 30 days ago"},

		{"by diff_ids that a scan compared", onBase, builtOn(debian(byDiffIDs)), 0, yes, "", ""},
		{"by diff_ids that nobody compared", onBase, severally(builtOn(debian(byDiffIDs)), noScan), 0, unknown, policy.ReasonUnavailable, "unpacked"},
		{"by diff_ids beside an SBOM", onBase, severally(builtOn(debian(byDiffIDs)), fromSBOM), 0, unknown, policy.ReasonUnavailable, "unpacked"},
		{"by diff_ids that the scan found wrong", onBase, severally(builtOn(debian(byDiffIDs)), problem(policy.PartScan, "linux/amd64")), 0, unknown, policy.ReasonUnavailable, "503"},
		{"by digests without a scan", onBase, severally(builtOn(debian()), noScan), 0, yes, "", ""},

		{"the label with the index", onBase, claiming(baseDigest, digestOf("1"), true, debian()), 0, yes, "", ""},
		{"the label with the manifest", onBase, claiming(baseDigest, digestOf("2"), true, debian()), 0, yes, "", ""},
		{"another digest in the label", onBase, claiming(baseDigest, digestOf("7"), true, debian()), 0, no, policy.ReasonInvalid, "the label " + baseDigest},
		{"another digest in the annotation", onBase, claiming(baseDigest, digestOf("7"), false, debian()), 0, no, policy.ReasonInvalid, "the layers say golden/base/debian:12@"},
		{"another digest on the index", onBase, severally(builtOn(debian()), func(_ keys, ev *policy.Evidence) { ev.Image.Annotations = map[string]string{baseDigest: digestOf("7")} }), 0, no, policy.ReasonInvalid, "annotation"},
		{"the name", onBase, claiming(baseName, "golden.example.com:5000/base/debian:12", true, debian()), 0, yes, "", ""},
		{"the name with the digest", onBase, claiming(baseName, "golden.example.com/base/debian:12@"+digestOf("1"), true, debian()), 0, yes, "", ""},
		{"the name with another digest", onBase, claiming(baseName, "golden.example.com/base/debian:12@"+digestOf("7"), true, debian()), 0, no, policy.ReasonInvalid, ""},
		{"the name in staging", onBase, claiming(baseName, "staging.example.com/base-team/debian:12", false, debian()), 0, yes, "", ""},
		{"the name without a host", onBase, claiming(baseName, "/base/debian:12", false, debian()), 0, yes, "", ""},
		{"another name", onBase, claiming(baseName, "golden.example.com/base/hardened:12", true, debian()), 0, no, policy.ReasonInvalid, "hardened"},
		{"OpenShift's label", onBase, claiming("io.openshift.build.image", "golden.example.com/base/debian@"+digestOf("2"), true, debian()), 0, yes, "", ""},
		{"OpenShift's label of another image", onBase, claiming("io.openshift.build.image", "golden.example.com/base/debian@"+digestOf("7"), true, debian()), 0, no, policy.ReasonInvalid, ""},
		{"source-to-image's label", onBase, claiming("io.openshift.s2i.build.image", "base/debian:12", true, debian()), 0, yes, "", ""},
		{"source-to-image's label of another image", onBase, claiming("io.openshift.s2i.build.image", "base/ruby:3", true, debian()), 0, no, policy.ReasonInvalid, ""},
		{"a label without a value", onBase, claiming(baseDigest, "", true, debian()), 0, yes, "", ""},
		{"a digest that is none", onBase, claiming(baseDigest, "debian", true, debian()), 0, no, policy.ReasonInvalid, ""},
		{"a release that is not the newest with the layers", newest, claiming(baseDigest, digestOf("3"), true, debian(), debian(behind(1), func(b *policy.Base) { b.Digest = digestOf("3") })), 0, yes, "", ""},
		{"a base below the base", onBase, claiming(baseDigest, digestOf("1"), true, debian(), debian(promotedTo("base/node", 5), func(b *policy.Base) { b.Digest = digestOf("4") })), 0, yes, "", ""},
		{"a label that the base has, too", onBase, claiming(baseName, "docker.io/library/debian:12", true, debian(func(b *policy.Base) { b.Claims = map[string][]string{baseName: {"docker.io/library/debian:12"}} })), 0, yes, "", ""},
		{"an annotation that the base has, too", onBase, claiming(baseName, "docker.io/library/debian:12", false, debian(func(b *policy.Base) { b.Claims = map[string][]string{baseName: {"docker.io/library/debian:12"}} })), 0, yes, "", ""},
		{"a label that the base has with another value", onBase, claiming(baseName, "docker.io/library/debian:13", true, debian(func(b *policy.Base) { b.Claims = map[string][]string{baseName: {"docker.io/library/debian:12"}} })), 0, no, policy.ReasonInvalid, ""},
		{"a base that is not ours", onBase, claiming(baseName, "docker.io/library/debian:12", true), 0, no, policy.ReasonAbsent, "which nothing here can prove"},
		{"a golden base that the layers do not have", onBase, severally(claiming(baseDigest, digestOf("1"), true), func(_ keys, ev *policy.Evidence) { platform(ev).Lineage.Golden = []string{digestOf("1")} }), 0, no, policy.ReasonInvalid, "the layers do not begin with those of a golden image"},
		{"claims are nobody's business without the rule", young, claiming(baseDigest, digestOf("7"), true, debian()), 0, yes, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newKeys(t)
			ev := k.good()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received().Add(tt.later))
			if got.Verdict != tt.want {
				t.Fatalf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			if tt.reason == "" {
				if len(got.Findings) > 0 {
					t.Errorf("%+v", got.Findings)
				}
				return
			}
			f := findingAbout(t, got, tt.reason)
			if !strings.Contains(f.Found, tt.says) || f.Expected == "" || f.Remedy == "" {
				t.Errorf("%+v, want it to say %q", f, tt.says)
			}
		})
	}
}

// findingAbout returns the first finding about the base with a reason.
func findingAbout(t *testing.T, r policy.Result, reason policy.Reason) policy.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == policy.CheckBase && f.Reason == reason {
			return f
		}
	}
	t.Fatalf("nothing about the base is %s: %+v", reason, r.Findings)
	return policy.Finding{}
}

func TestTheResultSaysWhatAnImageIsBuiltOn(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := k.good()
	builtOn(debian(behind(1)))(k, ev)
	platform(ev).Digest = digestOf("c")
	got := policy.Evaluate(k.compile(t, oneBehind), ev, received())
	want := policy.BuiltOn{
		Platform: "linux/amd64", Image: digestOf("c"), Registry: "golden", Repository: "base/debian", Digest: digestOf("1"), Manifest: digestOf("2"), Behind: 1,
	}
	if len(got.Bases) != 1 || got.Bases[0] != want {
		t.Errorf("%+v, want %+v", got.Bases, want)
	}
	if got := policy.Evaluate(k.compile(t, young), ev, received()); got.Bases != nil {
		t.Errorf("without the rule: %+v", got.Bases)
	}
}

// Rules see the labels and layers of an image, and no lineage: what of it is
// proven, only the policy's own check knows.
func TestExpressionsSeeNoLineage(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := k.good()
	builtOn(debian())(k, ev)
	c := k.compile(t, `rules: [{name: x, expression: '!("lineage" in dyn(image))'}]`+"\n")
	if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", got.Findings)
	}
}

func TestTheOrderOfBasesIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, `patchLevel: {base: {repositories: ["golden/base/**"], maxBehind: 1, maxAge: 30d}}`+"\n")
	rapid.Check(t, func(t *rapid.T) {
		ev := k.good()
		bases := drawnBases(t)
		builtOn(bases...)(k, ev)
		platform(ev).Labels[baseDigest] = digestOf(rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "claim"))
		secondPlatform(func(p *policy.Platform) { p.Lineage = &policy.Lineage{Bases: bases} })(k, ev)
		first := policy.Evaluate(c, ev, received())
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffle(r, ev.Image.Platforms)
		for _, p := range ev.Image.Platforms {
			shuffle(r, p.Lineage.Bases)
		}
		second := policy.Evaluate(c, ev, received())
		if a, b := text(t, first), text(t, second); !bytes.Equal(a, b) {
			t.Errorf("%s\n%s", a, b)
		}
	})
}

func drawnBases(t *rapid.T) []policy.Base {
	bases := make([]policy.Base, rapid.IntRange(0, 4).Draw(t, "bases"))
	for i := range bases {
		draw := func(what string, from, to int) int {
			return rapid.IntRange(from, to).Draw(t, fmt.Sprint(what, " ", i))
		}
		bases[i] = debian(behind(draw("behind", 0, 2)), promoted(time.Duration(draw("age", 29, 31))*dayAge), func(b *policy.Base) {
			b.Repository = []string{"base/debian", "base/node", "other"}[draw("repository", 0, 2)]
			b.Layers, b.Digest = draw("layers", 1, 3), digestOf(fmt.Sprint(draw("digest", 1, 3)))
			if draw("proof", 0, 3) == 0 {
				b.Proof = policy.ProofDiffIDs
			}
		})
	}
	return bases
}

// Whatever is not known any more, a no does not become a yes.
func TestWithoutALineageNoBaseIsAccepted(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, oneBehind)
	changes := map[string]func(ev *policy.Evidence){
		"take the lineage away":   func(ev *policy.Evidence) { platform(ev).Lineage = nil },
		"take the bases away":     func(ev *policy.Evidence) { platform(ev).Lineage.Bases = nil },
		"take the scan away":      func(ev *policy.Evidence) { platform(ev).Scan = nil },
		"take the platforms away": func(ev *policy.Evidence) { ev.Image.Platforms = nil },
		"fail":                    func(ev *policy.Evidence) { problem(policy.PartLineage, "")(k, ev) },
	}
	rapid.Check(t, func(t *rapid.T) {
		ev := k.good()
		builtOn(drawnBases(t)...)(k, ev)
		name := rapid.SampledFrom(sorted(changes)).Draw(t, "change")
		changes[name](ev)
		if after := policy.Evaluate(c, ev, received()); after.Verdict == policy.VerdictPromoted && name != "take the scan away" {
			t.Errorf("%s: %+v", name, after)
		} else if after.Verdict == policy.VerdictPromoted && platform(ev).Lineage.NeedsLayers() {
			t.Errorf("%s: believes diff_ids: %+v", name, platform(ev).Lineage)
		}
	})
}

func TestMistakesInTheBase(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		`{}`:                                  "spec.patchLevel.base.repositories: missing; write globs",
		`{repositories: []}`:                  "spec.patchLevel.base.repositories: missing",
		`{repositories: [""]}`:                "spec.patchLevel.base.repositories[0]: \"\" is no glob",
		`{repositories: ["base"]}`:            `spec.patchLevel.base.repositories[0]: "base" names no repository of a registry`,
		`{repositories: ["!golden/base/**"]}`: "only leaves out",
		`{repositories: ["golden/base/**"], maxBehind: -1}`:  "spec.patchLevel.base.maxBehind: -1; write how many",
		`{repositories: ["golden/[base/**"], maxBehind: 0}`:  "is no glob",
		`{repositories: ["golden/base/**"], maxBehind: 1}`:   "",
		`{repositories: ["**"], maxAge: 90d, maxBehind: 12}`: "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policyfile.Parse("test.yaml", []byte(`apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: test}
spec:
  from: staging
  match: {repositories: ["**"]}
  patchLevel: {base: `+name+`}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`), nil)
			switch {
			case want == "" && err != nil:
				t.Errorf("%v", err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}

func FuzzBaseClaims(f *testing.F) {
	f.Add("golden.example.com:5000/base/debian:12@"+digestOf("1"), digestOf("1"))
	f.Add("debian", "sha256:")
	f.Add("localhost/a:b/c@@:", strings.Repeat("é", 2000))
	f.Fuzz(func(t *testing.T, name, digest string) {
		p := policy.Platform{Labels: map[string]string{baseName: name, baseDigest: digest}, Annotations: map[string]string{baseName: digest}}
		image := policy.Image{Annotations: maps.Clone(p.Annotations), Platforms: []policy.Platform{p}}
		for _, c := range policy.BaseClaims(image, p) {
			if len(c.Value) > 1024 || len(c.Repository)+len(c.Digest) > len(c.Value) || c.Value == "" {
				t.Errorf("%+v", c)
			}
		}
		for key, values := range policy.InheritableClaims(p) {
			for _, value := range values {
				if !strings.HasPrefix(p.Labels[key], value) && !strings.HasPrefix(p.Annotations[key], value) || len(value) > 1024 {
					t.Errorf("%s=%q", key, value)
				}
			}
		}
	})
}

func TestTheBaseIsExplained(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for rules, want := range map[string]string{
		onBase:    "layers that begin with all of those of a golden image of golden/base/**\nno label",
		newest:    "the newest release of that base",
		oneBehind: "at most 1 release behind the newest",
		freshBase: "became golden within the last 30d",
	} {
		var all []string
		for _, s := range k.compile(t, rules).Explain(received()) {
			all = append(all, s.Lines...)
		}
		if text := strings.Join(all, "\n"); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
