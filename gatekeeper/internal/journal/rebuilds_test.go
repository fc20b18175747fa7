package journal_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// app is a golden image on a release of a base.
func app(repository string, p policy.Platform, base gatekeeper.GoldenReference, of policy.Platform) release {
	return release{repository: repository, tag: "v1", platforms: []policy.Platform{p}, bases: []policy.BuiltOn{{
		Platform: p.Name, Image: p.Digest, Registry: base.Registry, Repository: base.Repository, Digest: base.Digest, Manifest: of.Digest,
	}}}
}

func wantRebuilds(t *testing.T, j *journal.Journal, want ...gatekeeper.RebuildNeeded) {
	t.Helper()
	got, err := j.Rebuilds(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]gatekeeper.RebuildNeeded{}, want...), got); diff != "" {
		t.Errorf("rebuilds (-want +got):\n%s", diff)
	}
}

func TestANewerBaseAsksForRebuilds(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			first, second := layered("1", "a"), layered("2", "b")
			v1 := promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{first}})
			one := promote(t, j, app("team/app", layered("", "a", "x"), v1, first))
			promote(t, j, app("team/other", layered("", "a", "y"), v1, first))
			wantRebuilds(t, j)

			// The same layers again are no reason.
			promote(t, j, release{repository: "base/debian", tag: "1.1", platforms: []policy.Platform{layered("1.1", "a")}})
			wantRebuilds(t, j)

			v2 := promote(t, j, release{repository: "base/debian", tag: "2", platforms: []policy.Platform{second}})
			outdated := []gatekeeper.OutdatedBase{{Registry: "golden", Repository: "base/debian", Digest: v1.Digest, Behind: 1, Newest: v2.Digest, NewestTag: "2"}}
			needed := func(ref gatekeeper.GoldenReference) gatekeeper.RebuildNeeded {
				return gatekeeper.RebuildNeeded{
					Registry: "golden", Repository: ref.Repository, Digest: ref.Digest, Tags: []string{ref.Tag}, Policies: []string{"bases"}, Bases: outdated,
				}
			}
			other, _, err := j.Golden(t.Context(), "golden", "team/other", "v1")
			if err != nil {
				t.Fatal(err)
			}
			wantRebuilds(t, j, needed(one), needed(other))
			if got, err := j.Rebuilds(t.Context(), 1); err != nil || len(got) != 1 {
				t.Errorf("%+v, %v; want one", got, err)
			}

			// The tag moves on to an image on the newest base.
			promote(t, j, app("team/app", layered("", "b", "x"), v2, second))
			wantRebuilds(t, j, needed(other))
			if err := j.ForgetLineage(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantRebuilds(t, j, needed(other)) // what is filled in is the same
		})
	}
}

func TestRebuildsAreCountedByPolicy(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			base := layered("1", "a")
			v1 := promote(t, j, release{repository: "base/debian", tag: "1", platforms: []policy.Platform{base}})
			promote(t, j, app("team/app", layered("", "a", "x"), v1, base))
			promote(t, j, release{repository: "base/debian", tag: "2", platforms: []policy.Platform{layered("2", "b")}})
			got, err := j.RebuildsNeeded(t.Context())
			if want := map[string]int{"bases": 1}; err != nil || !maps.Equal(got, want) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		})
	}
}
