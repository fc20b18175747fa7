package journal_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// pushed accepts a push and returns it as the journal keeps it.
func pushed(t *testing.T, j *journal.Journal, tag, digest string) gatekeeper.Push {
	t.Helper()
	accept(t, j, pushOf(tag, digest))
	return awaitState(t, j, tag, "queued").Push
}

func decide(t *testing.T, j *journal.Journal, p gatekeeper.Push, v policy.Verdict, policies ...string) gatekeeper.Decision {
	t.Helper()
	d := gatekeeper.Decision{Push: p, Verdict: v, Mode: policy.ModeEnforce, DecidedAt: p.ReceivedAt.Add(time.Second), Results: []policy.Result{}}
	for _, name := range policies {
		d.Results = append(d.Results, policy.Result{Policy: name, Mode: policy.ModeEnforce, Verdict: v, Findings: []policy.Finding{}})
	}
	d.Evidence = &policy.Evidence{Subject: policy.Subject{Registry: p.Source, Repository: p.Repository, Digest: p.Digest}}
	id, err := j.RecordDecision(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	d.ID = id
	return d
}

func TestADecisionIsReadAsItWasRecorded(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			p := pushed(t, j, "v1", digest("a"))
			if _, err := j.LastDecision(t.Context(), p.ID); !errors.Is(err, gatekeeper.ErrNotFound) {
				t.Errorf("before the first decision: %v", err)
			}
			want := decide(t, j, p, policy.VerdictPromoted, "services")
			want.Golden = []gatekeeper.GoldenReference{
				{Registry: "golden", Repository: "team/app", Tag: "v1", Digest: p.Digest, PushID: p.ID, At: want.DecidedAt},
				{Registry: "golden", Repository: "team/app", Tag: "stable", Digest: p.Digest, PushID: p.ID, At: want.DecidedAt},
			}
			for range 2 { // repeated after a crash
				if err := j.RecordGolden(t.Context(), want.ID, want.Golden); err != nil {
					t.Fatal(err)
				}
			}
			got, err := j.Decision(t.Context(), want.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("by its number (-want +got):\n%s", diff)
			}
			want.Evidence = nil
			last, err := j.LastDecision(t.Context(), p.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, last, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("as the push's last (-want +got):\n%s", diff)
			}
			status, err := j.Lookup(t.Context(), p.Repository, p.Digest)
			if err != nil || status.Decision == nil || status.Decision.ID != want.ID {
				t.Errorf("looked up by digest: %+v, %v", status, err)
			}
		})
	}
}

func TestTheNewestPromotionOfATagIsFound(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			if _, found, err := j.Golden(t.Context(), "golden", "team/app", "v1"); found || err != nil {
				t.Fatalf("found %t, %v", found, err)
			}
			for _, letter := range []string{"a", "b"} {
				p := pushed(t, j, "v1", digest(letter))
				d := decide(t, j, p, policy.VerdictPromoted, "services")
				ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: "v1", Digest: p.Digest, PushID: p.ID}
				if err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
					t.Fatal(err)
				}
				got, found, err := j.Golden(t.Context(), "golden", "team/app", "v1")
				if err != nil || !found || got.Digest != p.Digest || got.PushID != p.ID {
					t.Errorf("after %s: %+v %t %v", letter, got, found, err)
				}
				for _, repository := range []string{"", "team/app"} {
					if list, err := j.GoldenTags(t.Context(), repository, 10); err != nil || len(list) != 1 || list[0].Digest != p.Digest {
						t.Errorf("golden tags of %q after %s: %+v %v", repository, letter, list, err)
					}
				}
				if list, err := j.GoldenTags(t.Context(), "elsewhere", 10); err != nil || len(list) > 0 {
					t.Errorf("golden tags of another repository: %+v %v", list, err)
				}
			}
		})
	}
}

func TestDecisionsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			first := decide(t, j, pushed(t, j, "v1", digest("a")), policy.VerdictRejected, "services", "base")
			second := decide(t, j, pushed(t, j, "v2", digest("b")), policy.VerdictPromoted, "services")
			third := decide(t, j, pushed(t, j, "v3", digest("c")), policy.VerdictRejected)
			for _, tt := range []struct {
				name  string
				query gatekeeper.DecisionQuery
				want  []int64
			}{
				{"all", gatekeeper.DecisionQuery{}, []int64{third.ID, second.ID, first.ID}},
				{"by verdict", gatekeeper.DecisionQuery{Verdict: policy.VerdictRejected}, []int64{third.ID, first.ID}},
				{"by policy", gatekeeper.DecisionQuery{Policy: "services"}, []int64{second.ID, first.ID}},
				{"by policy, in upper case", gatekeeper.DecisionQuery{Policy: "SERVICES"}, []int64{second.ID, first.ID}},
				{"by the whole name of a policy", gatekeeper.DecisionQuery{Policy: "service"}, []int64{}},
				{"by tag", gatekeeper.DecisionQuery{Tag: "v2"}, []int64{second.ID}},
				{"by digest", gatekeeper.DecisionQuery{Digest: digest("a")}, []int64{first.ID}},
				{"by source and repository", gatekeeper.DecisionQuery{Source: "staging", Repository: "team/app"}, []int64{third.ID, second.ID, first.ID}},
				{"of another repository", gatekeeper.DecisionQuery{Repository: "team/other"}, []int64{}},
				{"a page", gatekeeper.DecisionQuery{Limit: 1, Before: third.ID}, []int64{second.ID}},
			} {
				t.Run(tt.name, func(t *testing.T) {
					list, err := j.Decisions(t.Context(), tt.query)
					if err != nil {
						t.Fatal(err)
					}
					ids := []int64{}
					for _, d := range list {
						ids = append(ids, d.ID)
						if d.Evidence != nil {
							t.Error("a listing carries evidence")
						}
					}
					if !slices.Equal(ids, tt.want) {
						t.Errorf("got %v, want %v", ids, tt.want)
					}
				})
			}
			if _, err := j.Decision(t.Context(), 12345); !errors.Is(err, gatekeeper.ErrNotFound) {
				t.Errorf("an unknown decision: %v", err)
			}
		})
	}
}

func TestGoldenImagesAreCounted(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			promote := func(tag, digest string) gatekeeper.Push {
				p := pushed(t, j, tag, digest)
				d := decide(t, j, p, policy.VerdictPromoted, "services")
				ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: tag, Digest: digest, PushID: p.ID}
				if err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
					t.Fatal(err)
				}
				return p
			}
			promote("v1", digest("a"))
			promote("v1", digest("b")) // v1 moved on: a is golden no more
			later := promote("v2", digest("c"))
			decide(t, j, later, policy.VerdictRejected, "services") // judged again
			got, err := j.GoldenImages(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, _ gatekeeper.GoldenCount) int {
				if a.Compliant {
					return -1
				}
				return 1
			})
			want := []gatekeeper.GoldenCount{{Policy: "services", Compliant: true, Images: 1}, {Policy: "services", Compliant: false, Images: 1}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
