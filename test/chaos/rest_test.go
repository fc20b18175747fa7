package chaos_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// rest waits until everything that will happen has happened: nothing is wrong,
// and nothing changes any more for a while in which the gatekeepers reconcile
// again. It returns the world as it is then, or as it is when the time is over.
func (sc *scene) rest(tb testing.TB, pushes []made) world {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), sc.settle)
	defer cancel()
	known, since := -1, time.Now()
	for {
		w := sc.look(tb, pushes)
		if len(w.decisions) != known || !inspect(w).healed() {
			known, since = len(w.decisions), time.Now()
		}
		if time.Since(since) > sc.quiet || until(ctx, time.Now().Add(sc.quiet/5)) != nil {
			return w
		}
	}
}

// look takes down what there is now.
func (sc *scene) look(tb testing.TB, pushes []made) world {
	tb.Helper()
	w := world{made: pushes, acknowledged: sc.relay.acknowledged, wait: sc.wait, remembered: map[string]map[string]string{}}
	err := sc.ask(tb.Context(), &w)
	if err != nil {
		tb.Fatalf("ask for what was decided: %v", err)
	}
	if w.golden, err = readGolden(sc.golden.storage()); err != nil {
		tb.Fatalf("read the golden registry's storage: %v", err)
	}
	return w
}

// ask has one gatekeeper after the other answer what is asked of each of them.
func (sc *scene) ask(ctx context.Context, w *world) (err error) {
	first := api{client: sc.client, admin: sc.replicas[0].admin()}
	if w.decisions, err = first.decisions(ctx); err != nil {
		return err
	}
	for _, m := range w.made {
		if w.remembered[m.repository] != nil {
			continue
		}
		if w.remembered[m.repository], err = first.golden(ctx, m.repository); err != nil {
			return err
		}
	}
	for i, r := range sc.replicas {
		open, err := api{client: sc.client, admin: r.admin()}.open(ctx)
		if err != nil {
			return fmt.Errorf("gatekeeper %d: %w", i, err)
		}
		if len(open) > 0 {
			w.open = open
		}
	}
	return nil
}
