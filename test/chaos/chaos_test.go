// Package chaos_test pushes images while everything around the gatekeeper
// breaks, and counts what is wrong afterwards. What it counts:
//
// A push is lost when the gatekeepers have no record of it although one of
// them acknowledged its notification, or although its tag points to it still:
// then reconciling has to find it. A push whose notification got lost and
// whose tag has moved on since cannot be found by anybody; these are counted
// apart, as moved on from unseen.
//
// A push is a duplicate when it has more than one final verdict, be it in one
// record or in several. Wrong are a promotion against the policy, a refusal
// against it, a push superseded by nothing, a golden tag that is not the newest
// push that passed or not what the gatekeeper remembers, and a manifest in
// golden that nobody approved and that belongs to nothing approved.
package chaos_test

import (
	"context"
	"testing"
)

// One process on SQLite, killed and started again.
func TestOneProcessOnSQLite(t *testing.T) {
	chaos(t, newSettings(t))
}

// Several processes that share a PostgreSQL server.
func TestReplicasOnPostgreSQL(t *testing.T) {
	s := newSettings(t)
	s.postgres, s.replicas = true, number(t, "CHAOS_REPLICAS", 2)
	chaos(t, s)
}

func chaos(t *testing.T, s settings) {
	t.Helper()
	if s.short() {
		t.Parallel()
	}
	t.Logf("CHAOS_SEED=%d makes the same pushes and the same faults", s.seed)
	sc := newScene(t, s)
	p := &pusher{registry: sc.staging.host, client: sc.client, maker: sc.maker}
	pushing, stop := context.WithCancel(t.Context())
	defer stop()
	var pushes []made
	ended := make(chan error, 1)
	go func() {
		var err error
		pushes, err = p.run(t.Context(), plan(s), s.duration)
		ended <- err
		stop()
	}()
	sc.trouble(pushing, t)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	sc.relay.late.Wait()
	w := sc.rest(t, pushes)
	a := inspect(w)
	counts, problems := sc.ownAudit(t, w.golden)
	t.Logf("chaos\n%s%-24s %v", sc.report(w, a), "gatekeeper audit", counts)
	problems = append(a.problems(), problems...)
	for i, problem := range problems {
		if i == 40 {
			t.Errorf("and %d more", len(problems)-i)
			break
		}
		t.Error(problem)
	}
}
