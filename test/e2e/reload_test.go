package e2e_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// reload asks for the policies to be read again, and waits until the metric
// says that they were, or could not be.
func reload(t *testing.T, s *harness.Stack, failed float64) {
	t.Helper()
	if err := s.Process.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for s.Metric(t, "gatekeeper_policy_reload_failed") != failed {
		select {
		case <-ctx.Done():
			t.Fatalf("the metric does not become %v", failed)
		case <-tick.C:
		}
	}
}

// A mistake changes nothing, a new key counts without a restart.
func TestPoliciesChangeUnderARunningService(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	next := harness.GenerateKeys(t, t.TempDir(), "next")
	push := func(name, key, want string) {
		t.Helper()
		reference := s.Staging + "/team-a/" + name
		digest := harness.Push(t, reference+":v1")
		harness.Sign(t, "tag", key, reference+"@"+digest.String())
		s.Await(t, "team-a/"+name, digest, harness.Verdict(want))
	}
	push("before", next.Private, "rejected")
	sound, err := os.ReadFile(s.Path("policies/policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "policies/policy.yaml", strings.Replace(string(sound), "to: golden", "to: gold", 1))
	reload(t, s, 1)
	push("meanwhile", s.Keys.Private, "promoted")
	if status, body := harness.Get(t, s.Admin+"/readyz"); status != 200 || !strings.Contains(string(body), `no registry \"gold\"`) {
		t.Errorf("%d %s", status, body)
	}

	public, err := os.ReadFile(next.Public)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Keys.Public, public, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Write(t, "policies/policy.yaml", string(sound))
	reload(t, s, 0)
	push("after", next.Private, "promoted")
	push("late", s.Keys.Private, "rejected")
}
