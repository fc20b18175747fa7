package gatekeeper_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// dated leaves a tag with the day beside the pushed one.
var dated = strings.Replace(enforce, `tags: ["{{ .Tag }}"]`, `tags: ["{{ .Tag }}", "{{ .Tag }}-{{ .Date }}"]`, 1) //nolint:gochecknoglobals // a policy, as text

// goldenWorld is a world with a golden push, a month later.
func goldenWorld(t *testing.T) (*world, gatekeeper.Push) {
	t.Helper()
	w := newWorld(t, dated)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Fatalf("%+v", progress)
	}
	w.now = w.now.AddDate(0, 1, 0)
	p.Golden = true
	return w, p
}

func TestAGoldenPushIsJudgedAgainWithoutEffect(t *testing.T) {
	t.Parallel()
	stricter := strings.Replace(dated, "wait: 1h", "wait: 1h\n  patchLevel: {labels: {approved: \"yes\"}}", 1)
	for name, tt := range map[string]struct {
		change   func(w *world)
		recorded policy.Verdict // empty: nothing
	}{
		"nothing changed":                 {func(*world) {}, ""},
		"a policy that still says yes":    {func(w *world) { w.apply(strings.Replace(dated, "wait: 1h", "wait: 2h", 1)) }, policy.VerdictPromoted},
		"a policy that says no":           {func(w *world) { w.apply(stricter) }, policy.VerdictRejected},
		"a policy that waits":             {func(w *world) { w.signed = map[string]bool{} }, policy.VerdictRejected},
		"no policy any more":              {func(w *world) { w.apply() }, policy.VerdictRejected},
		"a policy in audit mode":          {func(w *world) { w.apply(strings.Replace(dated, "wait: 1h", "mode: audit", 1)) }, policy.VerdictPromoted},
		"the tag was deleted":             {func(w *world) { clear(w.tags) }, ""},
		"the tag moved":                   {func(w *world) { w.push("team-a/app", "v1", "b") }, ""},
		"deleted, and the policy says no": {func(w *world) { clear(w.tags); w.apply(stricter) }, policy.VerdictRejected},
		"a promotion to somewhere else": {func(w *world) {
			w.apply(strings.Replace(dated, `repository: "{{ .Repository }}"`, `repository: "elsewhere"`, 1))
		}, policy.VerdictPromoted},
		"a golden tag that another holds": {func(w *world) { w.golden["team-a/app:v1"] = digest("b") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p := goldenWorld(t)
			tt.change(w)
			golden, copied, history, attested := maps.Clone(w.golden), maps.Clone(w.copied), len(w.history), maps.Clone(w.attested)
			w.decisions[0].Golden = w.decisions[0].Golden[:1] // even when part of it is not on record
			want := gatekeeper.Progress{Verdict: policy.VerdictPromoted, JudgedBy: gatekeeper.JudgedBy(policy.NewSet(w.policies), p.Source, p.Repository, p.Tag, w.now, nil)}
			for range 2 {
				if got := w.process(p); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
			if !maps.Equal(golden, w.golden) || !maps.Equal(copied, w.copied) || !maps.Equal(attested, w.attested) || len(w.history) != history {
				t.Errorf("golden is %v, was %v", w.golden, golden)
			}
			if tt.recorded == "" {
				if len(w.decisions) != 1 || len(w.told) != 1 {
					t.Errorf("the same answer is on record again: %+v", w.last())
				}
				return
			}
			d := w.last()
			if len(w.decisions) != 2 || len(w.told) != 2 || d.Verdict != tt.recorded || d.Note != "judged again after its promotion" || len(d.Golden) > 0 {
				t.Errorf("%d decisions, %d told, the last: %+v", len(w.decisions), len(w.told), d)
			}
		})
	}
}

// An image that cannot be judged stays as it is.
func TestAGoldenPushThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fail  string
		with  error
		again bool
	}{
		"staging does not answer":    {"image", errOutage, true},
		"signatures cannot be read":  {"signatures", errOutage, true},
		"staging forgot the image":   {"image", gatekeeper.ErrNotFound, false},
		"staging serves other bytes": {"image", gatekeeper.ErrInvalidContent, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p := goldenWorld(t)
			w.fail[tt.fail] = tt.with
			p.Attempt = 5 // an error would be on record by now
			progress := w.process(p)
			if progress.Verdict != policy.VerdictPromoted || progress.Again.After(w.now) != tt.again || (progress.JudgedBy == "") != tt.again || progress.Unanswered != tt.again {
				t.Errorf("%+v", progress)
			}
			for attempt, pause := range map[int]time.Duration{0: 15 * time.Minute, 1: 30 * time.Minute, 3: 2 * time.Hour, 7: 24 * time.Hour, 1000: 24 * time.Hour} {
				p.Attempt = attempt
				if again := w.process(p).Again; tt.again && !again.Equal(w.now.Add(pause)) {
					t.Errorf("after %d attempts: again in %s, want %s", attempt, again.Sub(w.now), pause)
				}
			}
			if len(w.decisions) != 1 || len(w.told) != 1 {
				t.Errorf("it is on record: %+v", w.last())
			}
		})
	}
}

// What is missing counts against a golden image when it would count against a
// new one.
func TestAGoldenPushWaitsForWhatItWouldHaveWaitedFor(t *testing.T) {
	t.Parallel()
	w, p := goldenWorld(t)
	clear(w.signed)
	w.apply(strings.Replace(dated, "wait: 1h", "wait: 30d", 1))
	w.now = p.ReceivedAt.Add(time.Hour)
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted || !progress.Again.Equal(p.ReceivedAt.Add(30*24*time.Hour)) || len(w.decisions) != 1 {
		t.Errorf("%+v, %d decisions", progress, len(w.decisions))
	}
	w.now = p.ReceivedAt.Add(30 * 24 * time.Hour)
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted || !progress.Again.IsZero() || w.last().Verdict != policy.VerdictRejected {
		t.Errorf("%+v, %+v", progress, w.last())
	}
}

func TestAGoldenPushWhoseDecisionCannotBeRecorded(t *testing.T) {
	t.Parallel()
	w, p := goldenWorld(t)
	w.apply()
	w.fail["record"] = errOutage
	if progress, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) || progress != (gatekeeper.Progress{}) {
		t.Errorf("%+v, %v", progress, err)
	}
}

// What is judged again later says nothing about where golden tags point: the
// newer push keeps them, and the older one's record stays.
func TestJudgingAgainLeavesTheGoldenHistoryAlone(t *testing.T) {
	t.Parallel()
	w, p := goldenWorld(t)
	before, found, err := w.Golden(t.Context(), "golden", "team-a/app", "v1")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	w.apply()
	w.process(p)
	after, _, err := w.Golden(t.Context(), "golden", "team-a/app", "v1")
	if err != nil || before != after || len(w.decisions[0].Golden) != 2 {
		t.Errorf("%+v, was %+v (%v)", after, before, err)
	}
	// The same image under the same tag goes through again.
	w.apply(dated)
	clear(w.attested)
	again := w.push("team-a/app", "v1", "a")
	if progress := w.process(again); progress.Verdict != policy.VerdictPromoted || w.last().Push.ID != again.ID || len(w.last().Golden) != 2 {
		t.Errorf("%+v, %+v", progress, w.last())
	}
}
