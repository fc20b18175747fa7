package e2e_test

import (
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// However often the gatekeeper is killed while it works, every signed push
// becomes golden, once, and nothing else does.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, signedPolicy)
	const rounds, each = 3, 4
	digests := map[string]v1.Hash{}
	for round := range rounds {
		for i := range each {
			repository := fmt.Sprintf("team-a/app-%d-%d", round, i)
			digest := push(t, s.staging+"/"+repository+":v1")
			sign(t, "tag", s.keys.private, s.staging+"/"+repository+"@"+digest.String())
			digests[repository] = digest
		}
		s.process.kill()
		s.serve(t)
	}
	for repository, digest := range digests {
		s.await(t, repository, digest, promoted)
		if got := digestOf(t, s.golden+"/"+repository+":v1"); got != digest.String() {
			t.Errorf("golden %s:v1 points to %q, want %s", repository, got, digest)
		}
		yes := 0
		for _, d := range s.decisions(t, "repository="+repository) {
			if d.Verdict == "promoted" {
				yes++
			}
		}
		if yes != 1 {
			t.Errorf("%s has %d decisions to promote, want 1", repository, yes)
		}
	}
	if got := catalog(t, s.golden); len(got) != len(digests) {
		t.Errorf("golden has %d repositories, want %d", len(got), len(digests))
	}
}

// While the gatekeeper is away the registry keeps what it could not report.
func TestPushesDuringAnOutageOfTheGatekeeperAreJudgedAfterwards(t *testing.T) {
	t.Parallel()
	s := newStack(t, signedPolicy)
	s.process.stop(t)
	digest := push(t, s.staging+"/team-a/app:v1")
	sign(t, "bundle", s.keys.private, s.staging+"/team-a/app@"+digest.String())
	s.serve(t)
	s.await(t, "team-a/app", digest, promoted)
}
