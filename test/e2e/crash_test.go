package e2e_test

import (
	"fmt"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// However often the gatekeeper is killed while it works, every signed push
// becomes golden, once, and nothing else does.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	const rounds, each = 3, 4
	digests := map[string]v1.Hash{}
	for round := range rounds {
		for i := range each {
			repository := fmt.Sprintf("team-a/app-%d-%d", round, i)
			digest := harness.Push(t, s.Staging+"/"+repository+":v1")
			harness.Sign(t, "tag", s.Keys.Private, s.Staging+"/"+repository+"@"+digest.String())
			digests[repository] = digest
		}
		s.Process.Kill()
		s.Serve(t)
	}
	for repository, digest := range digests {
		s.Await(t, repository, digest, harness.Promoted)
		if got := harness.DigestOf(t, s.Golden+"/"+repository+":v1"); got != digest.String() {
			t.Errorf("golden %s:v1 points to %q, want %s", repository, got, digest)
		}
		yes := 0
		for _, d := range s.Decisions(t, "repository="+repository) {
			if d.Verdict == "promoted" {
				yes++
			}
		}
		if yes != 1 {
			t.Errorf("%s has %d decisions to promote, want 1", repository, yes)
		}
	}
	if got := harness.Catalog(t, s.Golden); len(got) != len(digests) {
		t.Errorf("golden has %d repositories, want %d", len(got), len(digests))
	}
}

// While the gatekeeper is away the registry keeps what it could not report.
func TestPushesDuringAnOutageOfTheGatekeeperAreJudgedAfterwards(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	s.Process.Stop(t)
	digest := harness.Push(t, s.Staging+"/team-a/app:v1")
	harness.Sign(t, "bundle", s.Keys.Private, s.Staging+"/team-a/app@"+digest.String())
	s.Serve(t)
	s.Await(t, "team-a/app", digest, harness.Promoted)
}
