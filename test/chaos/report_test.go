package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report writes down a run for people.
func (sc *scene) report(w world, a *audit) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		b.WriteString(fmt.Sprintf("%-24s ", name) + fmt.Sprintf(format, args...) + "\n")
	}
	row("seed", "%d", sc.seed)
	row("storage", "%s, %d gatekeepers", map[bool]string{true: "PostgreSQL", false: "SQLite"}[sc.postgres], len(sc.replicas))
	row("pushes", "%d in %d repositories within %s", len(w.made), sc.repositories, sc.duration)
	row("verdicts", "%d promoted, %d rejected, %d superseded", a.verdicts["promoted"], a.verdicts["rejected"], a.verdicts["superseded"])
	row("moved on from unseen", "%d", a.unseen)
	row("killed or restarted", "%s", sc.harmed())
	row("notifications", "%d lost, %d doubled, %d late", sc.relay.lost.Load(), sc.relay.doubled.Load(), sc.relay.delayed.Load())
	row("answers spoiled", "%d of staging, %d of golden, without those of the network", sc.toStaging.front.spoiled.Load(), sc.toGolden.front.spoiled.Load())
	row("", "")
	row("events lost", "%d", len(a.lost))
	row("without a final verdict", "%d", len(a.undecided))
	row("duplicates", "%d", len(a.duplicates))
	row("wrong promotions", "%d", len(a.wrong))
	row("last decision", "%s after the faults", lastOf(w.decisions).Sub(sc.ended).Round(time.Millisecond))
	row("recovery", "%s", spread(recoveries(sc.done, w.decisions)))
	for _, l := range latencies(w) {
		row(l.name, "%s", spread(l.took))
	}
	return b.String()
}

// harmed counts what was done to processes.
func (sc *scene) harmed() string {
	counts := map[string]int{}
	for _, f := range sc.done {
		counts[f.name]++
	}
	return fmt.Sprintf("%d gatekeepers, %d times staging, %d times golden, %d times the database",
		counts[faultKill], counts[faultStaging], counts[faultGolden], counts[faultDatabase])
}

// recoveries is how long after each kill of a gatekeeper or of its database
// the next decision was recorded, by whomever.
func recoveries(done []fault, decisions []decision) []time.Duration {
	times := make([]time.Time, 0, len(decisions))
	for _, d := range decisions {
		times = append(times, d.DecidedAt)
	}
	slices.SortFunc(times, time.Time.Compare)
	var took []time.Duration
	for _, f := range done {
		if f.name != faultKill && f.name != faultDatabase {
			continue
		}
		if i, _ := slices.BinarySearchFunc(times, f.at, time.Time.Compare); i < len(times) {
			took = append(took, times[i].Sub(f.at))
		}
	}
	return took
}

func lastOf(decisions []decision) (last time.Time) {
	for _, d := range decisions {
		if d.DecidedAt.After(last) {
			last = d.DecidedAt
		}
	}
	return last
}

type latency struct {
	name string
	took []time.Duration
}

// latencies is how long verdicts took, from when the registry had the push, or
// the signature if that came later, to the golden tag or the refusal.
func latencies(w world) []latency {
	kinds := []latency{{name: "push to golden"}, {name: "push to refusal"}, {name: "signature to golden"}}
	decided := map[string]decision{}
	for _, d := range w.decisions {
		decided[d.Push.Digest] = d
	}
	for _, m := range w.made {
		d := decided[m.digest]
		switch {
		case d.Verdict == "promoted" && len(d.Golden) > 0 && m.signing == signedLater:
			kinds[2].took = append(kinds[2].took, d.Golden[len(d.Golden)-1].At.Sub(m.signed))
		case d.Verdict == "promoted" && len(d.Golden) > 0:
			kinds[0].took = append(kinds[0].took, d.Golden[len(d.Golden)-1].At.Sub(m.at))
		case d.Verdict == "rejected" && m.user == "root":
			kinds[1].took = append(kinds[1].took, d.DecidedAt.Sub(m.at))
		}
	}
	return kinds
}

// spread is the middle and the end of a distribution.
func spread(took []time.Duration) string {
	if len(took) == 0 {
		return "none"
	}
	slices.Sort(took)
	at := func(part float64) time.Duration {
		return took[int(part*float64(len(took)-1)+0.5)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, at most %s, of %d", at(0.5), at(0.99), at(1), len(took))
}
