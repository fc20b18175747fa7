package chaos_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// settings are the size of a run. Those that the environment can set are
// described in docs/chaos.md.
type settings struct {
	seed         uint64
	pushes       int
	repositories int
	duration     time.Duration // of the pushing, with faults all the while
	wait         time.Duration // how long the policy awaits signatures
	settle       time.Duration // how long the end may take to come, once the faults are over
	quiet        time.Duration // for how long nothing happens at the end
	replicas     int
	postgres     bool
	faults       []string
}

// reconcile is how often the gatekeepers look for what nobody told them.
const reconcile = 10 * time.Second

// The faults that can be switched on and off.
const (
	faultKill      = "kill"      // kill -9 of a gatekeeper
	faultStaging   = "staging"   // kill -9 of the staging registry, with the notifications that it has not sent
	faultGolden    = "golden"    // kill -9 of the golden registry
	faultDatabase  = "database"  // PostgreSQL restarts, or is killed and recovers
	faultNetwork   = "network"   // resets, delays, truncated answers, silence on the way to registries
	faultHTTP      = "http"      // 429, 500, 502, 503, slow and truncated answers of registries
	faultDrop      = "drop"      // notifications that get lost
	faultDuplicate = "duplicate" // notifications that come twice
	faultReorder   = "reorder"   // notifications that come later than those behind them
)

func allFaults() []string {
	return []string{faultKill, faultStaging, faultGolden, faultDatabase, faultNetwork, faultHTTP, faultDrop, faultDuplicate, faultReorder}
}

// newSettings reads what the environment says about a run; by itself it is
// the short form.
func newSettings(tb testing.TB) settings {
	tb.Helper()
	s := settings{
		seed:     uint64(number(tb, "CHAOS_SEED", int(rand.Uint32()))),
		pushes:   number(tb, "CHAOS_PUSHES", 60),
		duration: time.Duration(number(tb, "CHAOS_SECONDS", 12)) * time.Second,
		replicas: 1,
		// What nobody is told about is found by reconciling, which takes a
		// minute where a tag was pushed before: too long for the short form.
		faults: slices.DeleteFunc(allFaults(), func(f string) bool { return f == faultStaging || f == faultDrop }),
		wait:   6 * time.Second, settle: 3 * time.Minute, quiet: 3 * time.Second,
	}
	s.repositories = max(6, s.pushes/20)
	if !s.short() {
		s.faults, s.wait, s.settle, s.quiet = allFaults(), 20*time.Second, 6*time.Minute, 3*reconcile
	}
	if text, ok := os.LookupEnv("CHAOS_FAULTS"); ok {
		s.faults = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		for _, f := range s.faults {
			if !slices.Contains(allFaults(), f) {
				tb.Fatalf("CHAOS_FAULTS names the fault %q; there are %s", f, strings.Join(allFaults(), ", "))
			}
		}
	}
	return s
}

// short says whether the run is one of those beside the other tests.
func (s settings) short() bool { return s.duration < time.Minute }

func (s settings) has(fault string) bool { return slices.Contains(s.faults, fault) }

func number(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		tb.Fatalf("%s is %q; write a number", name, text)
	}
	return n
}

// dice is a source of chance that several goroutines share. The same seed and
// name throw the same numbers, in whatever order the goroutines ask for them.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

// newDice returns the dice of one part of a run.
func newDice(seed uint64, part string) *dice {
	var stream uint64
	for _, c := range part {
		stream = stream*31 + uint64(c)
	}
	return &dice{rand: rand.New(rand.NewPCG(seed, stream))}
}

// chance is true with a probability.
func (d *dice) chance(probability float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.Float64() < probability
}

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

// between returns a duration.
func (d *dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.below(int(most-least)))
}
