package gatekeeper_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// reordered pushes v1 twice, and has the second notification arrive first.
func reordered(w *world) (heardFirst, heardLast gatekeeper.Push) {
	w.push("team-a/app", "v1", "a")
	w.push("team-a/app", "v1", "b")
	w.pushes[0].Digest, w.pushes[1].Digest = w.pushes[1].Digest, w.pushes[0].Digest
	return w.pushes[0], w.pushes[1]
}

// The registry knows which push came last, whatever order notifications arrive
// in, and whatever becomes of the older one.
func TestReorderedNotificationsPromoteWhatTheTagPointsTo(t *testing.T) {
	t.Parallel()
	for name, signed := range map[string][]string{"both pass": {"a", "b"}, "the older one does not": {"b"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, image := range signed {
				w.sign(image)
			}
			newest, older := reordered(w)
			if progress := w.process(newest); progress.Verdict != policy.VerdictPromoted {
				t.Errorf("what the tag points to: %+v", progress)
			}
			w.now = w.now.Add(time.Minute)
			if progress := w.process(older); progress.Verdict == policy.VerdictPromoted {
				t.Errorf("what it pointed to before: %+v", progress)
			}
			w.wantGolden(map[string]string{"team-a/app:v1": "b"})
		})
	}
}

// What a tag was moved to without a notification, or with one that is taken
// for older, is judged.
func TestWhatATagPointsToByNowIsJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.tags["team-a/app:v1"] = digest("b")
	if _, err := w.gate().Process(t.Context(), p); err == nil || len(w.noticed) != 0 {
		t.Errorf("before the registry can have written the tag: %v, noticed %q", err, w.noticed)
	}
	w.now = w.now.Add(time.Minute)
	if progress := w.process(p); progress.Verdict != policy.VerdictSuperseded {
		t.Errorf("%+v", progress)
	}
	if want := []string{"team-a/app:v1@" + digest("b")}; !slices.Equal(w.noticed, want) {
		t.Errorf("noticed %q, want %q", w.noticed, want)
	}
	w.wantGolden(map[string]string{})
}

// Other processes are kept out while tags are written, and let in again
// whatever happens.
func TestAPromotionTakesItsTurnAmongProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.fail["tag"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Fatal(err)
	}
	w.fail["tag"] = nil
	w.beforeTag = func() {
		if len(w.turns)%2 == 0 {
			t.Error("a tag is written out of turn")
		}
	}
	w.process(p)
	turn, end := "golden/team-a/app", "end of golden/team-a/app"
	if want := []string{turn, end, turn, end}; !slices.Equal(w.turns, want) {
		t.Errorf("turns %q, want %q", w.turns, want)
	}
	w.fail["turn"] = errOutage
	if _, err := w.gate().Process(t.Context(), w.push("team-a/app", "v2", "a")); !errors.Is(err, errOutage) {
		t.Errorf("without a turn: %v", err)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
}

// hosted knows where registries are.
type hosted struct{ *world }

func (hosted) Host(string) (string, error) { return "registry.example", nil }

// Two names of one registry are one place.
func TestATurnIsOfAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	gate := w.gate()
	gate.Resolver = hosted{w}
	if _, err := gate.Process(t.Context(), w.push("team-a/app", "v1", "a")); err != nil {
		t.Fatal(err)
	}
	if want := "registry.example/team-a/app"; len(w.turns) == 0 || w.turns[0] != want {
		t.Errorf("turns %q, want %q", w.turns, want)
	}
}

// A large image is judged only where it holds up nobody.
func TestALargeImageIsJudgedApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	w.children = []string{digest("c"), digest("d")} // both count
	p := w.push("team-a/app", "v1", "a")
	for size, large := range map[int64]bool{gatekeeper.LargeImage / 2: false, gatekeeper.LargeImage/2 + 1: true} {
		w.layer = size
		if progress := w.process(p); progress.Large != large || large && progress.Verdict != "" {
			t.Errorf("two layers of %d bytes: %+v", size, progress)
		}
	}
	p.Slow = true
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("apart: %+v", progress)
	}
	if d, err := w.gate().Check(t.Context(), "staging", "team-a/app", "v1", digest("a")); err != nil || d.Verdict != policy.VerdictPromoted {
		t.Errorf("check: %v %v", d.Verdict, err)
	}
}

// interrupted pushes the image a, whose promotion breaks off after its first tag.
func (w *world) interrupted(tag string) gatekeeper.Push {
	w.t.Helper()
	w.sign("a")
	p := w.push("team-a/app", tag, "a")
	tagged := 0
	w.beforeTag = func() {
		if tagged++; tagged == 2 {
			w.fail["tag"] = errOutage
		}
	}
	if _, err := w.gate().Process(w.t.Context(), p); !errors.Is(err, errOutage) {
		w.t.Fatal(err)
	}
	w.beforeTag, w.fail["tag"] = nil, nil
	return p
}

// A promotion that was interrupted between its tag and the record of it, and
// then overtaken, leaves no golden tag that the history does not know.
func TestAnOvertakenPromotionIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.fail["golden"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Fatal(err)
	}
	w.fail["golden"] = nil
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	w.history = nil // it was not stored
	for i := range w.decisions {
		w.decisions[i].Golden = nil
	}
	w.push("team-a/app", "v1", "b")
	for range 2 { // it is safe to repeat
		if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
			t.Errorf("%+v", progress)
		}
	}
	if len(w.history) != 1 || w.history[0].Digest != digest("a") || w.history[0].PushID != p.ID {
		t.Errorf("on record: %+v", w.history)
	}
	if len(w.told) != 1 || w.told[0].Verdict != policy.VerdictPromoted || len(w.told[0].Golden) != 1 {
		t.Errorf("told %+v", w.told)
	}
}

// elsewhere is a policy that promotes to another place what more holds for.
func elsewhere(more string) string {
	return strings.NewReplacer("{name: services}", "{name: elsewhere}", `"{{ .Repository }}"`, `"elsewhere/{{ .Repository }}"`, "  promote:", more+"  promote:").Replace(enforce)
}

// A push that is golden in one place, and has no verdict for another when it is
// overtaken, ends as superseded: it waits for nothing any more.
func TestAPushThatIsGoldenInOnePlaceIsOvertakenInTheOther(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		more    string
		problem *policy.Problem
		before  policy.Verdict
	}{
		"it was pending":         {`  attestations: [{name: tests, predicateType: "https://in-toto.io/attestation/test-result/v0.1", signedBy: [ci]}]` + "\n", nil, policy.VerdictPending},
		"it could not be judged": {scanning, &policy.Problem{Part: policy.PartVulnerabilities, Reason: "no database"}, policy.VerdictError},
		"it was refused":         {`  rules: [{name: never, expression: "false"}]` + "\n", nil, policy.VerdictRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, enforce, elsewhere(tt.more))
			w.sign("a")
			w.problem = tt.problem
			p := w.push("team-a/app", "v1", "a")
			p.Attempt = 5
			if progress := w.process(p); progress.Verdict != tt.before {
				t.Fatalf("%+v", progress)
			}
			w.wantGolden(map[string]string{"team-a/app:v1": "a"})
			w.push("team-a/app", "v1", "b")
			for range 2 {
				if progress := w.process(p); progress.Verdict != policy.VerdictSuperseded || !progress.Again.IsZero() {
					t.Errorf("%+v", progress)
				}
			}
			if len(w.told) != 2 {
				t.Errorf("told %+v", w.told)
			}
			w.wantGolden(map[string]string{"team-a/app:v1": "a"})
		})
	}
}

// What one place got before the push was overtaken is told, though another does
// not get it any more.
func TestAPromotionThatIsOvertakenOnTheWayIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enforce, elsewhere(""))
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.beforeTag = func() {
		w.beforeTag = nil
		w.push("team-a/app", "v1", "b")
		w.now = w.now.Add(time.Minute)
	}
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	if len(w.told) != 1 || len(w.told[0].Golden) != 1 {
		t.Errorf("told %+v", w.told)
	}
}

// A promotion that was interrupted and overtaken is finished by what is in force:
// not when the policy that approved it is gone, or another, or audits only.
func TestAnOvertakenPromotionIsFinishedByWhatIsInForce(t *testing.T) {
	t.Parallel()
	channels := strings.Replace(enforce, "immutable: true", "channels: [stable]", 1)
	for name, policies := range map[string][]string{
		"no policy":       {""},
		"one that audits": {strings.Replace(channels, "  wait: 1h", "  wait: 1h\n  mode: audit", 1)},
		"a stricter one":  {strings.Replace(channels, "  promote:", `  rules: [{name: never, expression: "false"}]`+"\n  promote:", 1)},
		"a second one":    {channels, strings.Replace(channels, "{name: services}", "{name: second}", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, channels)
			p := w.interrupted("v1")
			w.apply(policies...)
			w.push("team-a/app", "v1", "b")
			if progress := w.process(p); progress.Verdict != policy.VerdictSuperseded {
				t.Errorf("%+v", progress)
			}
			w.wantGolden(map[string]string{"team-a/app:v1": "a"})
		})
	}
}

// What a golden registry lost since a promotion was interrupted is copied again.
func TestAnInterruptedPromotionCopiesWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(enforce, "immutable: true", "channels: [stable]", 1))
	p := w.interrupted("v1")
	clear(w.copied)
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a", "team-a/app:stable": "a"})
}

// A promotion that was interrupted leaves tags that a newer one took since to that,
// also where they never move.
func TestAnInterruptedPromotionLeavesTagsToNewerPushes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(enforce, `tags: ["{{ .Tag }}"]`, `tags: ["{{ .Tag }}", "latest"]`, 1))
	w.sign("b")
	p := w.interrupted("v1.3.0")
	w.process(w.push("team-a/app", "v1.3.1", "b"))
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v: %+v", progress, w.last().Findings)
	}
	w.wantGolden(map[string]string{"team-a/app:v1.3.0": "a", "team-a/app:v1.3.1": "b", "team-a/app:latest": "b"})
}

// A policy that refuses a tag because it can make no name of it holds back who
// promotes to the same repository.
func TestAPolicyWithoutANameForATagHoldsOthersBack(t *testing.T) {
	t.Parallel()
	for name, tags := range map[string]string{"a template": `["{{ .Version.Major }}"]`, "the length": `["{{ .Tag }}-` + strings.Repeat("x", 125) + `"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			strict := strings.Replace(enforce, `tags: ["{{ .Tag }}"]`, "tags: "+tags, 1)
			lax := strings.NewReplacer("{name: services}", "{name: lax}").Replace(enforce)
			w := newWorld(t, strict, lax)
			w.sign("a")
			if progress := w.process(w.push("team-a/app", "latest", "a")); progress.Verdict != policy.VerdictRejected {
				t.Errorf("%+v", progress)
			}
			w.wantGolden(map[string]string{})
		})
	}
}

// One that can make no name of a repository holds back the whole registry.
func TestAPolicyWithoutANameForARepositoryHoldsOthersBack(t *testing.T) {
	t.Parallel()
	strict := strings.Replace(enforce, `"{{ .Repository }}"`, `"{{ .Tag }}"`, 1)
	w := newWorld(t, strict, strings.Replace(enforce, "{name: services}", "{name: lax}", 1))
	w.sign("a")
	if progress := w.process(w.push("team-a/app", "V1", "a")); progress.Verdict != policy.VerdictRejected {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{})
}

// A promotion that was interrupted between two of its tags, and overtaken since,
// ends as it would have without: with both, while no newer push holds one.
func TestAnOvertakenPromotionIsFinished(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		newer  string // the push that overtook it
		signed bool
		golden map[string]string
	}{
		"by one that is refused":     {"b", false, map[string]string{"team-a/app:v1": "a", "team-a/app:stable": "a"}},
		"by one that is promoted":    {"b", true, map[string]string{"team-a/app:v1": "b", "team-a/app:stable": "b"}},
		"and the image left staging": {"b", false, map[string]string{"team-a/app:v1": "a", "team-a/app:stable": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, strings.Replace(enforce, "immutable: true", "channels: [stable]", 1))
			p := w.interrupted("v1")
			w.wantGolden(map[string]string{"team-a/app:v1": "a"})
			if tt.signed {
				w.sign(tt.newer)
			}
			if strings.Contains(name, "left staging") {
				w.fail["copy"] = gatekeeper.ErrNotFound
			}
			q := w.push("team-a/app", "v1", tt.newer)
			for range 2 {
				if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
					t.Errorf("%+v", progress)
				}
			}
			w.fail["copy"] = nil
			w.process(q)
			w.wantGolden(tt.golden)
		})
	}
}
