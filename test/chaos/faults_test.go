package chaos_test

import (
	"context"
	"testing"
	"time"
)

// trouble makes faults until ctx ends. Those of the network are made beside,
// those of processes by the test's own goroutine: only that may give up.
func (sc *scene) trouble(ctx context.Context, tb testing.TB) {
	tb.Helper()
	sc.relay.trouble.Store(&relayTrouble{
		drop: sc.probability(faultDrop, 0.05), duplicate: sc.probability(faultDuplicate, 0.15), delay: sc.probability(faultReorder, 0.2),
	})
	ended := make(chan error, 1)
	go func() { ended <- sc.troubleRoads(ctx) }()
	sc.troubleProcesses(ctx, tb)
	if err := <-ended; err != nil {
		tb.Error(err)
	}
	sc.relay.trouble.Store(&relayTrouble{})
	sc.ended = time.Now()
}

func (sc *scene) probability(fault string, p float64) float64 {
	if sc.has(fault) {
		return p
	}
	return 0
}

// pause is about how long passes between one fault and the next.
func (sc *scene) pause() time.Duration {
	return max(sc.duration/60, 500*time.Millisecond)
}

// troubleRoads has the ways to the registries go bad and well again.
func (sc *scene) troubleRoads(ctx context.Context) error {
	d := newDice(sc.seed, "roads")
	for {
		if until(ctx, time.Now().Add(d.between(sc.pause()/4, sc.pause()))) != nil {
			return nil //nolint:nilerr // that is the end of it
		}
		r := []*road{sc.toStaging, sc.toGolden}[d.below(2)]
		byAnswers := d.chance(0.5)
		switch {
		case byAnswers && sc.has(faultHTTP):
			r.front.trouble.Store(true)
		case !byAnswers && sc.has(faultNetwork):
			if err := r.spoil(d); err != nil {
				return err
			}
		}
		stop := until(ctx, time.Now().Add(d.between(300*time.Millisecond, max(sc.pause(), 2*time.Second))))
		r.front.trouble.Store(false)
		r.mend(context.WithoutCancel(ctx))
		if stop != nil {
			return nil //nolint:nilerr // that is the end of it
		}
	}
}

// troubleProcesses kills what runs, and starts it again. Everything has its
// turn before anything has its next.
func (sc *scene) troubleProcesses(ctx context.Context, tb testing.TB) {
	tb.Helper()
	d := newDice(sc.seed, "processes")
	var deck []string
	for {
		if len(deck) == 0 {
			deck = sc.deck(d)
		}
		if until(ctx, time.Now().Add(d.between(sc.pause()/2, sc.pause()*2))) != nil {
			return
		}
		if len(deck) > 0 {
			// What was ended comes back after a while, sooner at the end.
			sc.harm(tb, d, deck[0], func() { _ = until(ctx, time.Now().Add(d.between(50*time.Millisecond, 2*time.Second))) }) //nolint:contextcheck // processes outlive the faults
			deck = deck[1:]
		}
	}
}

// deck is a shuffled list of what can happen to processes.
func (sc *scene) deck(d *dice) []string {
	var deck []string
	for _, name := range []string{faultKill, faultStaging, faultKill, faultGolden, faultKill, faultDatabase} {
		if sc.has(name) && (name != faultDatabase || sc.database != nil) {
			deck = append(deck, name)
		}
	}
	for i := len(deck) - 1; i > 0; i-- {
		j := d.below(i + 1)
		deck[i], deck[j] = deck[j], deck[i]
	}
	return deck
}

// harm ends a process as a power failure would, and starts it again after it
// was away.
func (sc *scene) harm(tb testing.TB, d *dice, name string, away func()) {
	tb.Helper()
	f := fault{name: name, at: time.Now()}
	switch name {
	case faultKill:
		r := sc.replicas[d.below(len(sc.replicas))]
		r.process.Kill()
		away()
		r.start(sc.processes)
	case faultStaging, faultGolden:
		r := map[string]*registryProcess{faultStaging: sc.staging, faultGolden: sc.golden}[name]
		r.process.Kill()
		away()
		r.start(sc.processes)
	case faultDatabase:
		sc.harmDatabase(tb, d, away)
	}
	f.ended = time.Now()
	sc.done = append(sc.done, f)
}

func (sc *scene) harmDatabase(tb testing.TB, d *dice, away func()) {
	tb.Helper()
	if d.chance(0.5) {
		if err := sc.database.Restart(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		return
	}
	if err := sc.database.Kill(); err != nil {
		tb.Fatal(err)
	}
	away()
	if err := sc.database.StartAgain(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}
