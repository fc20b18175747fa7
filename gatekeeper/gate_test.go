package gatekeeper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func (w *world) wantGolden(want map[string]string) {
	w.t.Helper()
	if len(w.golden) != len(want) {
		w.t.Errorf("golden has %v, want %v", w.golden, want)
	}
	for name, image := range want {
		if w.golden[name] != digest(image) {
			w.t.Errorf("golden %s is %s, want %s", name, w.golden[name], digest(image))
		}
	}
}

func TestASignedPushIsPromoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	progress := w.process(w.push("team-a/app", "v1", "a"))
	if progress.Verdict != policy.VerdictPromoted || !progress.Again.IsZero() {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	d := w.last()
	if len(d.Golden) != 1 || d.Evidence == nil || d.Golden[0].PushID != 1 {
		t.Errorf("%+v", d)
	}
	if len(w.told) != 1 || len(w.told[0].Golden) != 1 {
		t.Errorf("the observer heard %+v", w.told)
	}
}

func TestAnUnsignedPushWaitsAndIsThenRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.push("team-a/app", "v1", "a")
	progress := w.process(p)
	if progress.Verdict != policy.VerdictPending || !progress.Again.Equal(w.now.Add(time.Hour)) {
		t.Errorf("%+v", progress)
	}
	w.process(p) // woken for nothing
	if len(w.decisions) != 1 || len(w.told) != 1 {
		t.Errorf("%d decisions, %d told: the same answer is recorded once", len(w.decisions), len(w.told))
	}
	w.now = w.now.Add(time.Hour)
	if progress := w.process(p); progress.Verdict != policy.VerdictRejected {
		t.Errorf("%+v", progress)
	}
	w.sign("a") // late, but still
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
}

// An outage is no answer: it is tried again, and shows after some attempts.
func TestOutagesAreNoVerdict(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"signatures", "image", "overtaken", "record", "copy", "attest", "tag", "golden", "resolve"} {
		t.Run(port, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sign("a")
			p := w.push("team-a/app", "v1", "a")
			w.fail[port] = errOutage
			progress, err := w.gate().Process(t.Context(), p)
			if err == nil && progress.Verdict != policy.VerdictError {
				t.Errorf("%+v", progress)
			}
			for _, d := range w.decisions {
				if d.Verdict == policy.VerdictRejected {
					t.Errorf("an outage refused: %+v", d)
				}
			}
			if w.golden["team-a/app:v1"] != "" && port != "golden" {
				t.Error("it is golden")
			}
			delete(w.fail, port)
			if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
				t.Errorf("afterwards: %+v", progress)
			}
			yes := 0
			for _, d := range w.decisions {
				if d.Verdict == policy.VerdictPromoted {
					yes++
				}
			}
			if yes != 1 || len(w.last().Golden) != 1 {
				t.Errorf("%d decisions to promote, the last %+v", yes, w.last())
			}
		})
	}
}

func TestAnOutageShowsAfterSomeAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fail["signatures"] = errOutage
	p := w.push("team-a/app", "v1", "a")
	for p.Attempt = range 5 {
		progress := w.process(p)
		if progress.Verdict != policy.VerdictError || progress.Reason == "" {
			t.Errorf("attempt %d: %+v", p.Attempt, progress)
		}
		if shown := len(w.decisions) > 0; shown != (p.Attempt >= 3) {
			t.Errorf("attempt %d: recorded %v", p.Attempt, shown)
		}
	}
	if len(w.decisions) != 1 {
		t.Errorf("%d decisions", len(w.decisions))
	}
}

// What only an operator can mend shows at once.
func TestAMissingDatabaseShowsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(enforce, "  promote:", "  vulnerabilities: {deny: [{severity: critical}]}\n  promote:", 1))
	w.sign("a")
	w.problem = &policy.Problem{Part: policy.PartVulnerabilities, Reason: "there is no vulnerability database"}
	if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictError {
		t.Errorf("%+v", progress)
	}
	if d := w.last(); d.Verdict != policy.VerdictError || d.FirstReason() != "there is no vulnerability database" {
		t.Errorf("%+v", d)
	}
	w.wantGolden(nil)
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		reason policy.Reason
	}{
		"invalid": {fmt.Errorf("%w: an index within an index", gatekeeper.ErrInvalidContent), policy.ReasonInvalid},
		"gone":    {fmt.Errorf("manifest: %w", gatekeeper.ErrNotFound), policy.ReasonAbsent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fail["image"] = tt.err
			if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictRejected {
				t.Errorf("%+v", progress)
			}
			if f := w.last().Findings; len(f) != 1 || f[0].Reason != tt.reason || f[0].Remedy == "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestWithoutAPolicyNothingIsPromoted(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"no policy": newWorld(t, ""), "none that matches": newWorld(t)} {
		w.sign("a")
		if progress := w.process(w.push("elsewhere/app", "v1", "a")); progress.Verdict != policy.VerdictRejected {
			t.Errorf("%s: %+v", name, progress)
		}
		if f := w.last().Findings; len(f) != 1 || f[0].Reason != policy.ReasonNoMatch {
			t.Errorf("%s: %+v", name, f)
		}
		w.wantGolden(nil)
	}
}

func TestAuditModeHasNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(enforce, "  wait:", "  mode: audit\n  wait:", 1))
	w.sign("a")
	if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	if d := w.last(); d.Mode != policy.ModeAudit || len(d.Golden) > 0 {
		t.Errorf("%+v", d)
	}
	w.wantGolden(nil)
	if len(w.copied) > 0 {
		t.Error("something was copied")
	}
}

// never is a policy for the same images that says no.
func never(repository string) string {
	return strings.NewReplacer("{name: services}", "{name: never}", `"{{ .Repository }}"`, `"`+repository+`"`,
		"  promote:", "  rules: [{name: never, expression: 'false'}]\n  promote:").Replace(enforce)
}

func TestPoliciesWithOneDestinationHaveToAgree(t *testing.T) {
	t.Parallel()
	t.Run("the same destination", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, enforce, never("{{ .Repository }}"))
		w.sign("a")
		if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictRejected {
			t.Errorf("%+v", progress)
		}
		w.wantGolden(nil)
	})
	t.Run("another destination", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, enforce, never("prod/{{ .Repository }}"))
		w.sign("a")
		w.process(w.push("team-a/app", "v1", "a"))
		w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	})
	t.Run("an audit policy has no say", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, enforce, strings.Replace(never("{{ .Repository }}"), "  wait:", "  mode: audit\n  wait:", 1))
		w.sign("a")
		w.process(w.push("team-a/app", "v1", "a"))
		w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	})
}

func TestAnImmutableTagIsARefusalWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	w.sign("b")
	w.process(w.push("team-a/app", "v1", "a"))
	p := w.push("team-a/app", "v1", "b")
	if progress := w.process(p); progress.Verdict != policy.VerdictRejected {
		t.Errorf("%+v", progress)
	}
	f := w.last().Findings
	if len(f) != 1 || f[0].Reason != policy.ReasonConflict || !strings.Contains(f[0].Found, digest("a")) {
		t.Errorf("%+v", f)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	// Looked at again, it is refused for the same and nothing new is on record;
	// once the tag is free it is approved.
	before := len(w.decisions)
	w.fail["free"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Errorf("%v", err)
	}
	delete(w.fail, "free")
	if progress := w.process(p); progress.Verdict != policy.VerdictRejected || len(w.decisions) != before {
		t.Errorf("again: %+v, %d more decisions", progress, len(w.decisions)-before)
	}
	delete(w.golden, "team-a/app:v1")
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("afterwards: %+v", progress)
	}
}

// What one destination got is on record though another one refuses.
func TestWhatWasWrittenBeforeAConflictIsOnRecord(t *testing.T) {
	t.Parallel()
	second := strings.NewReplacer("{name: services}", "{name: taken}", `"{{ .Repository }}"`, `"prod/{{ .Repository }}"`).Replace(enforce)
	w := newWorld(t, enforce, second)
	w.golden["prod/team-a/app:v1"] = digest("z")
	w.sign("a")
	if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictRejected {
		t.Errorf("%+v", progress)
	}
	if len(w.history) != 1 || w.history[0].Repository != "team-a/app" || w.history[0].Digest != digest("a") {
		t.Errorf("on record: %+v", w.history)
	}
}

// What one destination has is on record before the next one is tried, and is
// not written again when that goes on.
func TestEachDestinationIsOnRecordByItself(t *testing.T) {
	t.Parallel()
	second := strings.NewReplacer("{name: services}", "{name: later}", `"{{ .Repository }}"`, `"prod/{{ .Repository }}"`).Replace(enforce)
	w := newWorld(t, enforce, second)
	w.sign("a")
	w.fail["copy to prod/team-a/app"] = errOutage
	p := w.push("team-a/app", "v1", "a")
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Fatal(err)
	}
	if len(w.history) != 1 || w.history[0].Repository != "team-a/app" || len(w.told) != 0 {
		t.Errorf("on record: %+v, told %d", w.history, len(w.told))
	}
	w.fail["copy to team-a/app"], w.fail["copy to prod/team-a/app"] = errOutage, nil
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a", "prod/team-a/app:v1": "a"})
	if len(w.history) != 2 || len(w.decisions) != 1 || len(w.told) != 1 {
		t.Errorf("%d references, %d decisions, told %d times", len(w.history), len(w.decisions), len(w.told))
	}
}

// A channel that a newer push holds stays there, and keeps no other tag back.
func TestAHeldChannelKeepsNoOtherTagBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(movable(), `tags: ["{{ .Tag }}"]`, `tags: ["{{ .Tag }}"], channels: [stable]`, 1))
	older, newer := w.push("team-a/app", "v1.0.1", "a"), w.push("team-a/app", "v1.0.2", "b")
	w.process(older)
	w.sign("b")
	w.process(newer)
	w.sign("a")
	if progress := w.process(older); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1.0.1": "a", "team-a/app:v1.0.2": "b", "team-a/app:stable": "b"})
	if _, said := w.attested["team-a/app:stable@"+digest("a")]; said {
		t.Error("the older image was said to be approved for the channel")
	}
	told := len(w.told)
	if progress := w.process(older); progress.Verdict != policy.VerdictPromoted || len(w.decisions) != 3 || len(w.told) != told {
		t.Errorf("again: %+v, %d decisions, told %d more", progress, len(w.decisions), len(w.told)-told)
	}
}

// A signing service that hangs ends as an error, and lets go of those who wait
// for their turn before that.
func TestAHangingSignatureHoldsNobodyForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, movable())
		w.sign("a")
		w.sign("b")
		w.hang = true
		gate := w.gate()
		first, second := w.push("team-a/app", "v1", "a"), w.push("team-a/app", "v2", "b")
		started := time.Now()
		ended := make(chan error)
		go func() {
			_, err := gate.Process(t.Context(), first)
			ended <- err
		}()
		synctest.Wait()
		if _, err := gate.Process(t.Context(), second); err == nil || !strings.Contains(err.Error(), "another promotion to golden/team-a/app is under way") {
			t.Errorf("the second: %v", err)
		} else if _, busy := errors.AsType[*gatekeeper.BusyError](err); !busy {
			t.Errorf("to wait for another is a failure: %v", err)
		}
		if waited := time.Since(started); waited > time.Minute {
			t.Errorf("it waited %s", waited)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Minute {
			t.Errorf("the first: %v after %s", err, time.Since(started))
		}
		w.wantGolden(nil)
	})
}

func movable() string { return strings.Replace(enforce, "immutable: true", "immutable: false", 1) }

func TestANewerPushOvertakes(t *testing.T) {
	t.Parallel()
	t.Run("before the judgement", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, movable())
		w.sign("a")
		w.sign("b")
		first, second := w.push("team-a/app", "v1", "a"), w.push("team-a/app", "v1", "b")
		if progress := w.process(first); progress.Verdict != policy.VerdictSuperseded {
			t.Errorf("%+v", progress)
		}
		if note := w.last().Note; !strings.Contains(note, digest("b")) {
			t.Errorf("note %q", note)
		}
		w.process(second)
		w.wantGolden(map[string]string{"team-a/app:v1": "b"})
	})
	t.Run("and a third, before a crash lets the first be finished", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, movable())
		first := w.push("team-a/app", "v1", "a")
		w.push("team-a/app", "v1", "b")
		w.process(first)
		recorded := len(w.decisions)
		w.push("team-a/app", "v1", "c")
		if progress := w.process(first); progress.Verdict != policy.VerdictSuperseded || len(w.decisions) != recorded {
			t.Errorf("%+v, and %d decisions instead of %d", progress, len(w.decisions), recorded)
		}
	})
	t.Run("while the first is copied, though no notification came yet", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, movable())
		w.sign("a")
		first := w.push("team-a/app", "v1", "a")
		w.tags["team-a/app:v1"] = digest("b") // the registry knows more than the journal
		if _, err := w.gate().Process(t.Context(), first); err == nil {
			t.Error("a tag that may not be visible yet counts as moved")
		}
		w.now = w.now.Add(time.Minute)
		if progress := w.process(first); progress.Verdict != policy.VerdictSuperseded {
			t.Errorf("%+v", progress)
		}
		w.wantGolden(nil)
	})
	t.Run("the tag was deleted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, movable())
		w.sign("a")
		first := w.push("team-a/app", "v1", "a")
		delete(w.tags, "team-a/app:v1")
		if _, err := w.gate().Process(t.Context(), first); err == nil {
			t.Error("a tag that may not be visible yet counts as deleted")
		}
		w.now = w.now.Add(time.Minute)
		if progress := w.process(first); progress.Verdict != policy.VerdictSuperseded {
			t.Errorf("%+v", progress)
		}
		w.wantGolden(nil)
	})
	t.Run("several at once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, movable())
		g := w.gate()
		var pushes []gatekeeper.Push
		for _, image := range []string{"a", "b", "c", "d", "e"} {
			w.sign(image)
			pushes = append(pushes, w.push("team-a/app", "v1", image))
		}
		var wg sync.WaitGroup
		for _, p := range pushes {
			wg.Go(func() {
				if _, err := g.Process(t.Context(), p); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantGolden(map[string]string{"team-a/app:v1": "e"})
	})
}

// A push of another tag with the same golden tag does not undo a newer one.
func TestAnOlderPushNeverTakesAGoldenTagBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(movable(), `tags: ["{{ .Tag }}"]`, `tags: ["latest"]`, 1))
	older := w.push("team-a/app", "v1", "a")
	w.sign("b")
	w.process(w.push("team-a/app", "v2", "b"))
	w.sign("a")
	if progress := w.process(older); progress.Verdict != policy.VerdictSuperseded {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:latest": "b"})
	if _, said := w.attested["team-a/app:latest@"+digest("a")]; said {
		t.Error("the older push was said to be approved for a tag that it does not get")
	}
}

// What a crash interrupts goes on as it was recorded, whatever the day: the
// same tags, the same statement.
func TestAnInterruptedPromotionGoesOnAsRecorded(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"copy", "attest", "tag", "golden"} {
		t.Run(port, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, strings.Replace(enforce, `tags: ["{{ .Tag }}"]`, `tags: ["{{ .Tag }}-{{ .Date }}"]`, 1))
			w.sign("a")
			p := w.push("team-a/app", "v1", "a")
			w.fail[port] = errOutage
			if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
				t.Fatalf("%v", err)
			}
			delete(w.fail, port)
			decided := w.now
			w.now = w.now.Add(24 * time.Hour)
			w.process(p)
			w.wantGolden(map[string]string{"team-a/app:v1-20261120": "a"})
			if len(w.attested) != 1 || !w.attested["team-a/app:v1-20261120@"+digest("a")].Equal(decided) {
				t.Errorf("attested %v, want it as of %s", w.attested, decided)
			}
		})
	}
	t.Run("but not when the record cannot be read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sign("a")
		p := w.push("team-a/app", "v1", "a")
		w.fail["tag"] = errOutage
		if _, err := w.gate().Process(t.Context(), p); err == nil {
			t.Fatal("no error")
		}
		delete(w.fail, "tag")
		w.fail["decision"] = errOutage
		if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
			t.Errorf("%v", err)
		}
		w.wantGolden(nil)
	})
}

// While an approved promotion cannot be finished, nothing is put on record
// between it and its end, whatever else fails meanwhile.
func TestAnOutageOfEvidenceIsNoDecisionAboutWhatWasApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.fail["copy"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Fatal(err)
	}
	w.fail["signatures"] = errOutage
	for p.Attempt = range 6 {
		if progress := w.process(p); progress.Verdict != policy.VerdictError {
			t.Errorf("attempt %d: %+v", p.Attempt, progress)
		}
	}
	delete(w.fail, "signatures")
	delete(w.fail, "copy")
	w.process(p)
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	if len(w.decisions) != 1 {
		t.Errorf("%d decisions: %+v", len(w.decisions), w.decisions)
	}
}

// What one policy approved is finished though another one, with a destination
// of its own, cannot decide meanwhile.
func TestAnApprovedPromotionGoesOnBesideAnError(t *testing.T) {
	t.Parallel()
	scanned := strings.NewReplacer("{name: services}", "{name: scanned}", `"{{ .Repository }}"`, `"scanned/{{ .Repository }}"`,
		"  promote:", "  vulnerabilities: {deny: [{severity: critical}]}\n  promote:").Replace(enforce)
	w := newWorld(t, enforce, scanned)
	w.sign("a")
	w.problem = &policy.Problem{Part: policy.PartVulnerabilities, Reason: "there is no vulnerability database"}
	p := w.push("team-a/app", "v1", "a")
	w.fail["copy"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Fatalf("%v", err)
	}
	delete(w.fail, "copy")
	p.Attempt = 1
	w.process(p)
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
}

// An outage of evidence shows for what was refused because a tag is taken.
func TestAnOutageShowsAfterAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	w.sign("b")
	w.process(w.push("team-a/app", "v1", "a"))
	p := w.push("team-a/app", "v1", "b")
	w.process(p)
	w.fail["signatures"] = errOutage
	p.Attempt = 5
	w.process(p)
	if d := w.last(); d.Verdict != policy.VerdictError {
		t.Errorf("the last decision is %s", d.Verdict)
	}
}

func TestUntaggedManifestsWakeTheirSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := gatekeeper.Push{ID: 1, Source: "staging", Repository: "team-a/app", Digest: digest("s")}
	w.process(p)
	if len(w.woken) > 0 {
		t.Errorf("woken %v by what refers to nothing", w.woken)
	}
	w.subject = digest("a")
	w.process(p)
	if len(w.woken) != 1 || w.woken[0] != digest("a") {
		t.Errorf("woken %v", w.woken)
	}
	if len(w.decisions) > 0 {
		t.Errorf("decided about %+v", w.decisions)
	}
	w.fail["subject"] = errOutage
	if _, err := w.gate().Process(t.Context(), p); !errors.Is(err, errOutage) {
		t.Errorf("%v", err)
	}
}

func TestATagWithoutADigestIsResolvedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	p.Digest = ""
	w.pushes[0].Digest = ""
	w.process(p)
	if d := w.last(); d.Push.Digest != digest("a") || d.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v", d)
	}
}

func TestCheckRecordsAndPromotesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign("a")
	w.push("team-a/app", "v1", "a")
	d, err := w.gate().Check(t.Context(), "staging", "team-a/app", "v1", "")
	if err != nil || d.Verdict != policy.VerdictPromoted || d.Push.Digest != digest("a") {
		t.Errorf("%+v, %v", d, err)
	}
	if len(w.decisions) > 0 || len(w.golden) > 0 || len(w.copied) > 0 || len(w.told) > 0 {
		t.Error("a check has effects")
	}
	if _, err := w.gate().Check(t.Context(), "staging", "team-a/app", "absent", ""); !errors.Is(err, gatekeeper.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
