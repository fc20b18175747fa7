package chaos_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// ownAudit asks gatekeeper audit whether every golden tag has a summary that
// the gatekeeper signed, and counts its answers. What moved_back and missing
// say of a promotion that was not finished, because a newer push overtook it
// after its summary was written, is no problem.
func (sc *scene) ownAudit(tb testing.TB, golden map[string]*goldenRepository) (counts map[string]int, problems []string) {
	tb.Helper()
	args := []string{"audit", "--config", sc.path("gatekeeper.yaml"), "-o", "json"}
	for repository, g := range golden {
		if len(g.tags) > 0 { // else a promotion was not finished, and the registry knows no such repository
			args = append(args, sc.toGolden.host()+"/"+repository)
		}
	}
	out, err := exec.CommandContext(tb.Context(), harness.Gatekeeper(tb), args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || len(out) == 0) {
		tb.Fatalf("audit golden: %v\n%s", err, exit.Stderr)
	}
	var report struct {
		Repositories []struct {
			Repository, Error string
			Findings          []struct{ Tag, Status, Reason, Detail string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		tb.Fatalf("read the audit: %v\n%s", err, out)
	}
	counts = map[string]int{}
	for _, r := range report.Repositories {
		if r.Error != "" {
			problems = append(problems, fmt.Sprintf("audit: %s: %s", r.Repository, r.Error))
		}
		for _, f := range r.Findings {
			counts[f.Status]++
			if f.Status != "ok" && f.Reason != "moved_back" && f.Status != "missing" {
				problems = append(problems, fmt.Sprintf("audit: %s:%s is %s: %s, %s", r.Repository, f.Tag, f.Status, f.Reason, f.Detail))
			}
		}
	}
	return counts, problems
}
