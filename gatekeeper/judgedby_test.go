package gatekeeper_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// inLog asks for a signature in the log of a trust root.
var inLog = strings.Replace(enforce, "{keyFile: ci.pub}", "{keyFile: ci.pub, trustRoot: acme}", 1) //nolint:gochecknoglobals // a policy, as text

func TestWhatAPushIsJudgedBy(t *testing.T) {
	t.Parallel()
	other := strings.NewReplacer("services", "other", "team-*/**", "team-a/**").Replace(enforce)
	elsewhere := strings.NewReplacer("services", "elsewhere", "team-*/**", "infra/**").Replace(enforce)
	judgedBy := func(w *world, repository string) string {
		return gatekeeper.JudgedBy(policy.NewSet(w.policies), "staging", repository, "v1", w.now, func(name string) (string, error) { return w.Fingerprint(t.Context(), name) })
	}
	w := newWorld(t, enforce, other)
	by, none := judgedBy(w, "team-a/app"), judgedBy(w, "infra/app")
	for name, tt := range map[string]struct {
		change func()
		same   bool
	}{
		"nothing":                           {func() {}, true},
		"the order of policies":             {func() { slices.Reverse(w.policies) }, true},
		"a policy about other images":       {func() { w.apply(enforce, other, elsewhere) }, true},
		"one policy less":                   {func() { w.apply(enforce) }, false},
		"a policy that asks for more":       {func() { w.apply(enforce, strings.Replace(other, "wait: 1h", "wait: 2h", 1)) }, false},
		"a policy that is enforced no more": {func() { w.apply(enforce, strings.Replace(other, "wait: 1h", "mode: audit", 1)) }, false},
		"a policy of another name":          {func() { w.apply(enforce, strings.Replace(other, "name: other", "name: another", 1)) }, false},
		"another key":                       {func() { w.policies = newWorld(t, enforce, other).policies }, false},
		"no policy":                         {func() { w.apply() }, false},
	} {
		w.apply(enforce, other)
		tt.change()
		if got := judgedBy(w, "team-a/app"); got == "" || (got == by) != tt.same {
			t.Errorf("after a change of %s: %q, before %q", name, got, by)
		}
	}
	if w.apply(); none != judgedBy(w, "team-a/app") || none == "" {
		t.Errorf("no policy matches: %q and %q", none, judgedBy(w, "team-a/app"))
	}
}

func TestATrustRootIsPartOfWhatAPushIsJudgedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inLog)
	w.key.ID = w.policies[0].Authorities()[0].ID
	w.sign("a")
	p := w.push("team-a/app", "v1", "a")
	if progress := w.process(p); progress.JudgedBy != "" {
		t.Errorf("the trust root cannot be read, and it was judged by %q", progress.JudgedBy)
	}
	w.roots["acme"], w.roots["unused"] = "one", "one"
	one := w.process(p).JudgedBy
	w.roots["unused"] = "two"
	if again := w.process(p).JudgedBy; again != one || one == "" {
		t.Errorf("%q, then %q", one, again)
	}
	w.roots["acme"] = "two"
	if two := w.process(p).JudgedBy; two == one || two == "" {
		t.Errorf("the trust root changed: %q, then %q", one, two)
	}
}

func TestProgressSaysWhatAPushWasJudgedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := gatekeeper.JudgedBy(policy.NewSet(w.policies), "staging", "team-a/app", "v1", w.now, nil)
	for _, tt := range []struct {
		name    string
		prepare func() gatekeeper.Push
		verdict policy.Verdict
		by      string
	}{
		{"pending", func() gatekeeper.Push { return w.push("team-a/app", "v1", "a") }, policy.VerdictPending, by},
		{"promoted", func() gatekeeper.Push { w.sign("b"); return w.push("team-a/app", "v2", "b") }, policy.VerdictPromoted, by},
		{"could not be decided", func() gatekeeper.Push {
			w.fail["signatures"] = errOutage
			return w.push("team-a/app", "v3", "c")
		}, policy.VerdictError, by},
		{
			"no policy", func() gatekeeper.Push { return w.push("infra/app", "v1", "a") }, policy.VerdictRejected,
			gatekeeper.JudgedBy(policy.NewSet(nil), "", "", "", w.now, nil),
		},
		{"overtaken", func() gatekeeper.Push {
			older := w.push("team-a/app", "v4", "d")
			w.push("team-a/app", "v4", "e")
			return older
		}, policy.VerdictSuperseded, ""},
	} {
		p := tt.prepare()
		w.asked = 0
		progress := w.process(p)
		delete(w.fail, "signatures")
		if progress.Verdict != tt.verdict || progress.JudgedBy != tt.by {
			t.Errorf("%s: %+v, want %s by %q", tt.name, progress, tt.verdict, tt.by)
		}
		if w.asked > 1 {
			t.Errorf("%s: the policies were asked for %d times", tt.name, w.asked)
		}
	}
}
