package policyset_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
)

var waived = strings.Replace(services, "wait: 1h", //nolint:gochecknoglobals // a policy, as text
	"wait: 1h\n  vulnerabilities: {deny: [{severity: high}], exceptionLists: [waivers]}\n  patchLevel: {versions: {lists: [platform]}}", 1)

const (
	waivers = `apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers}
spec:
  exceptions:
    - {id: CVE-1, repositories: ["team-a/**"], expires: 2026-12-31, owner: sec, reason: r}
    - {id: CVE-2, repositories: ["team-b/**"], expires: 2026-12-31, owner: sec, reason: r}
`
	platform = `apiVersion: gatekeeper/v1alpha1
kind: VersionList
metadata: {name: platform}
spec: {packages: [{type: npm, name: express, versions: ">= 4.21.2"}]}
`
)

func newListWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.write("services.yaml", waived)
	w.write("lists/waivers.yaml", waivers)
	w.write("lists/platform.yaml", platform)
	w.open()
	return w
}

// A list that changed comes into force with its policies, and has judged again
// what it affects.
func TestAChangedListComesIntoForce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		swaps  bool // the set
		judges bool // images of team-a by something else
	}{
		"nothing": {func(*world) {}, false, false},
		"an exception of team-a was prolonged": {func(w *world) {
			w.write("lists/waivers.yaml", strings.Replace(waivers, "2026-12-31", "2027-12-31", 1))
		}, true, true},
		"an exception of team-b was revoked": {func(w *world) {
			w.write("lists/waivers.yaml", waivers[:strings.Index(waivers, "    - {id: CVE-2")])
		}, true, false},
		"an exception has a second left": {func(w *world) { w.now = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC) }, false, false},
		"an exception ended":             {func(w *world) { w.now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }, false, true},
		"another version is recommended": {func(w *world) {
			w.write("lists/platform.yaml", strings.Replace(platform, "4.21.2", "4.21.3", 1))
		}, true, true},
		"a list moved":      {func(w *world) { w.remove("lists/waivers.yaml"); w.write("other.yaml", waivers) }, false, false},
		"a comment":         {func(w *world) { w.write("lists/waivers.yaml", "# by the security team\n"+waivers) }, false, false},
		"a list of nobody":  {func(w *world) { w.write("z.yaml", strings.Replace(waivers, "name: waivers", "name: z", 1)) }, false, false},
		"no list any more":  {func(w *world) { w.write("services.yaml", services); w.remove("lists/waivers.yaml") }, true, true},
		"all in one file":   {func(w *world) { w.remove("lists/waivers.yaml"); w.write("services.yaml", waived+"---\n"+waivers) }, false, false},
		"reasons, as texts": {func(w *world) { w.write("lists/waivers.yaml", strings.ReplaceAll(waivers, "reason: r", `reason: "r"`)) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newListWorld(t)
			before := w.inForce()
			tt.change(w)
			w.look()
			w.look()
			if swapped := !slices.Equal(before, w.inForce()); swapped != tt.swaps {
				t.Errorf("in force is %v, was %v: %s", w.inForce(), before, w.log.String())
			}
			if judged := w.rejudged[len(w.rejudged)-1] != w.rejudged[0]; judged != tt.judges {
				t.Errorf("judged by %v", w.rejudged)
			}
			if w.failed || w.logged("ERROR") > 0 {
				t.Errorf("failed: %v, %s", w.failed, w.log.String())
			}
		})
	}
}

func TestAMistakeInAListLeavesThePoliciesInForce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		says   string
	}{
		"half written":    {func(w *world) { w.write("lists/waivers.yaml", waivers[:len(waivers)-20]) }, "waivers.yaml:"},
		"cut after a key": {func(w *world) { w.write("lists/platform.yaml", platform[:strings.Index(platform, "spec")]) }, "platform.yaml:"},
		"empty":           {func(w *world) { w.write("lists/waivers.yaml", "") }, "holds no policy and no list"},
		"gone":            {func(w *world) { w.remove("lists/waivers.yaml") }, `no ExceptionList is named`},
		"without an expiry": {func(w *world) {
			w.write("lists/waivers.yaml", strings.Replace(waivers, "expires: 2026-12-31, ", "", 1))
		}, "expires: missing"},
		"there a second time": {func(w *world) { w.write("z.yaml", platform) }, "is also the name of a list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newListWorld(t)
			before := w.state()
			tt.change(w)
			for range 3 {
				w.look()
			}
			w.wantUnchanged(before)
			if err := w.watcher.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) || !w.failed {
				t.Errorf("%v, failed %v", err, w.failed)
			}
			w.write("lists/waivers.yaml", waivers)
			w.write("lists/platform.yaml", platform)
			w.write("z.yaml", strings.Replace(waivers, "name: waivers", "name: z", 1))
			w.look()
			w.wantUnchanged(before)
			if err := w.watcher.Ready(t.Context()); err != nil || w.failed {
				t.Errorf("mended: %v, failed %v", err, w.failed)
			}
		})
	}
}

func TestReadSetHasTheListsToo(t *testing.T) {
	t.Parallel()
	w := newListWorld(t)
	set, err := policyset.Source{Location: w.dir}.ReadSet(t.Context())
	if err != nil || len(set.Policies) != 1 || len(set.Lists) != 2 {
		t.Errorf("%+v, %v", set, err)
	}
}
