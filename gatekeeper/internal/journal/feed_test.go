package journal_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// What a process accepted that died before it queued the job is judged by
// another.
func TestWhatWasAcceptedAndNotQueued(t *testing.T) {
	t.Parallel()
	location := postgresLocation(t)
	dead := open(t, location, deps(t)) // it never runs
	t.Cleanup(func() { closeJournal(t, dead) })
	const pushes = 1200 // more than a round takes
	var many []notifications.Push
	for i := range pushes {
		many = append(many, pushTo(fmt.Sprintf("team/app-%d", i%7), fmt.Sprintf("v%d", i)))
	}
	accept(t, dead, many[:700]...)
	accept(t, dead, many[700:]...)
	j, p := open(t, location, deps(t)), newProcessor()
	t.Cleanup(func() { closeJournal(t, j) })
	run(t, j, p)
	seen := map[string]bool{}
	for range pushes {
		c := p.next(t)
		if seen[c.push.Tag] {
			t.Errorf("%s:%s comes twice", c.push.Repository, c.push.Tag)
		}
		seen[c.push.Tag] = true
		c.verdict(policy.VerdictPromoted)
	}
}

// Two processes that queue jobs for the same pushes queue one for each.
func TestOneJobForEachPush(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			acceptQueued(t, j, pushOf("v1", digest("a")))
			before, err := j.JobOf(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			run(t, j, newProcessor()) // it remembers the push, and feeds first
			if err := j.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after, err := j.JobOf(t.Context(), 1); err != nil || after != before {
				t.Errorf("job %d, then %d, %v", before, after, err)
			}
		})
	}
}

// The steps of queueing are reached once for each push: who finds that another
// has queued its job does nothing.
func TestOneQueueingForEachPush(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, d := make(chan string, 100), deps(t)
			d.Reached = func(step string) { steps <- step }
			j := open(t, e.location(t), d)
			t.Cleanup(func() { closeJournal(t, j) })
			acceptQueued(t, j, pushOf("v1", digest("a")))
			if err := j.Feed(t.Context()); err != nil { // it remembers the push
				t.Fatal(err)
			}
			close(steps)
			var reached []string
			for step := range steps {
				reached = append(reached, step)
			}
			if diff := cmp.Diff([]string{"accept", "accepted", "queue", "queued"}, reached); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}
