package gatekeeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The registry lets a tag point to something else between the judgement and the
// copy: golden gets what was judged, or nothing.
func TestAttack_GHSA_wfqx_gjrf_g28r(t *testing.T) {
	t.Parallel()
	w := newWorld(t, movable())
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	w.now = w.now.Add(time.Minute)
	w.beforeTag = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tags["team-a/app:v1"] = digest("z") // signed by nobody
	}
	w.process(p)
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
	// The same before the copy: nothing more is written.
	w.beforeTag = nil
	q := w.push("team-a/app", "v2", "b")
	w.sign("b")
	w.tags["team-a/app:v2"] = digest("z")
	w.now = w.now.Add(time.Minute)
	if progress := w.process(q); progress.Verdict != policy.VerdictSuperseded {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})
}

// The registry points a tag back to an older image, which was signed once: no
// push is made of that, and a golden tag that is not to move does not.
func TestAttack_CVE_2023_47630(t *testing.T) {
	t.Parallel()
	w := newWorld(t, movable())
	w.sign("a")
	w.sign("b")
	w.process(w.push("team-a/app", "v1", "a"))
	newer := w.push("team-a/app", "v1", "b")
	w.now = w.now.Add(time.Minute)
	w.tags["team-a/app:v1"] = digest("a")
	if progress := w.process(newer); progress.Verdict != policy.VerdictSuperseded || !strings.Contains(w.last().Note, digest("a")) {
		t.Errorf("%+v: %s", progress, w.last().Note)
	}
	w.wantGolden(map[string]string{"team-a/app:v1": "a"})

	fixed := newWorld(t)
	fixed.sign("a")
	fixed.sign("b")
	fixed.process(fixed.push("team-a/app", "v1", "b"))
	if progress := fixed.process(fixed.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictRejected {
		t.Errorf("a tag that is not to move: %+v", progress)
	}
	fixed.wantGolden(map[string]string{"team-a/app:v1": "b"})
}
