package policy_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const (
	liveRuntimes = "patchLevel: {runtimes: {endOfLife: deny}}\n"
	someRuntimes = `patchLevel: {runtimes: {endOfLife: deny, allow: ["nodejs >= 22", "java >= 17", go]}}` + "\n"
	listedOnly   = `patchLevel: {runtimes: {allow: ["nodejs >= 22"]}}` + "\n"
)

// running puts one runtime beside what the image has; its end is that far away, and
// unknown when it is zero.
func running(name, version string, end time.Duration) edit {
	return scanIs(func(s *policy.Scan) {
		r := policy.Runtime{Name: name, Version: version, Package: name + " " + version + "+1"}
		if end != 0 {
			at := received().Add(end)
			r.EndOfLife = &at
		}
		s.Runtimes = append(s.Runtimes, r)
	})
}

func TestDecisionsAboutRuntimes(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	const check = policy.CheckRuntimes
	k := newKeys(t)
	good := func() *policy.Evidence {
		ev := k.good()
		platform(ev).Scan.Runtimes = []policy.Runtime{}
		return ev
	}
	judge(t, k, good, []decision{
		{"none", liveRuntimes, nil, 0, yes, "", ""},
		{"a second before its end", liveRuntimes, running("nodejs", "22.1.0", time.Second), 0, yes, "", ""},
		{"at its end", liveRuntimes, running("nodejs", "22.1.0", time.Second), time.Second, no, check, "the image holds nodejs 22.1.0 (nodejs 22.1.0+1), whose support ended before 2026-11-20"},
		{"an end that nobody knows", liveRuntimes, running("nodejs", "99.0.0", 0), 0, no, check, "not known"},
		{"a version that nobody knows", liveRuntimes, running("go", "", 0), 0, no, check, "not known"},
		{"an end that nobody knows, on the list", someRuntimes, running("nodejs", "99.0.0", 0), 0, yes, "", ""},
		{"on the list, any version", someRuntimes, running("go", "", 0), 0, yes, "", ""},
		{"on the list but past its end", someRuntimes, running("nodejs", "23.1.0", -time.Second), 0, no, check, "support ended"},
		{"an older release than the list has", someRuntimes, running("nodejs", "21.7.3", dayAge), 0, no, check, "not on the list"},
		{"another runtime than the list has", someRuntimes, running("ruby", "3.4.8", dayAge), 0, no, check, "not on the list"},
		{"past its end where only the list counts", listedOnly, running("nodejs", "23.1.0", -time.Second), 0, yes, "", ""},
		{"not on the only list", listedOnly, running("nodejs", "20.1.0", dayAge), 0, no, check, "not on the list"},
		{"no version where the list has one", listedOnly, running("nodejs", "", dayAge), 0, no, check, ""},
		{"one of two", liveRuntimes, func(k keys, ev *policy.Evidence) {
			running("nodejs", "22.1.0", dayAge)(k, ev)
			running("python", "3.8.1", -dayAge)(k, ev)
		}, 0, no, check, "python 3.8.1"},
		{"nobody looked", liveRuntimes, scanIs(func(s *policy.Scan) { s.Runtimes = nil }), 0, unknown, check, "nobody looked"},
		{"no scan", liveRuntimes, noScan, 0, unknown, check, "not scanned"},
		{"a scan that failed", liveRuntimes, problem(policy.PartScan, ""), 0, unknown, check, "503"},
		{"every platform", liveRuntimes, secondPlatform(func(p *policy.Platform) {
			p.Scan.Runtimes = []policy.Runtime{{Name: "perl", Version: "5.8", Package: "perl 5.8", EndOfLife: ago(dayAge)}}
		}), 0, no, check, "perl 5.8"},
	})
	if !k.compile(t, liveRuntimes).NeedsScan() {
		t.Error("a policy about runtimes needs no scan")
	}
}

// The order of runtimes is irrelevant, and taking what is known of them away
// makes no yes of a no.
func TestRuntimesInAnyOrder(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	policies := []*policy.Compiled{k.compile(t, liveRuntimes), k.compile(t, someRuntimes), k.compile(t, listedOnly)}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(policies).Draw(t, "policy")
		ev := k.good()
		platform(ev).Scan.Runtimes = []policy.Runtime{}
		for i := range rapid.IntRange(0, 4).Draw(t, "runtimes") {
			name := rapid.SampledFrom(policy.RuntimeNames()).Draw(t, fmt.Sprint("name ", i))
			days := rapid.IntRange(-1, 1).Draw(t, fmt.Sprint("days ", i))
			running(name, fmt.Sprint(20+i), time.Duration(days)*dayAge)(k, ev)
		}
		first := policy.Evaluate(c, ev, received())
		shuffle(rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))), platform(ev).Scan.Runtimes)
		if a, b := text(t, first), text(t, policy.Evaluate(c, ev, received())); string(a) != string(b) {
			t.Errorf("%s\n%s", a, b)
		}
		platform(ev).Scan.Runtimes = nil
		if got := policy.Evaluate(c, ev, received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("promoted without it: %+v", got)
		}
	})
}
