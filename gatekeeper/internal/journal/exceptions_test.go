package journal_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// excused records a judgement that took exceptions of the policy services.
func excused(t *testing.T, j *journal.Journal, p gatekeeper.Push, v policy.Verdict, exceptions ...string) gatekeeper.Decision {
	t.Helper()
	d := gatekeeper.Decision{Push: p, Verdict: v, Mode: policy.ModeEnforce, DecidedAt: p.ReceivedAt.Add(time.Second), Results: []policy.Result{
		{Policy: "infra", Verdict: v}, {Policy: "services", Verdict: v, Exceptions: exceptions},
	}}
	id, err := j.RecordDecision(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	d.ID = id
	return d
}

func TestWhatExceptionsAreNeededFor(t *testing.T) {
	t.Parallel()
	type journalOf = func(t *testing.T, j *journal.Journal)
	push := func(t *testing.T, j *journal.Journal, tag, letter string) gatekeeper.Push {
		t.Helper()
		return pushed(t, j, tag, digest(letter))
	}
	golden := func(t *testing.T, j *journal.Journal, d gatekeeper.Decision, tag string) {
		t.Helper()
		ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: tag, Digest: d.Push.Digest, PushID: d.Push.ID}
		if err := j.RecordGolden(t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		happened journalOf
		want     []gatekeeper.ExceptionUse
	}{
		"nothing": {func(*testing.T, *journal.Journal) {}, nil},
		"no exception was taken": {func(t *testing.T, j *journal.Journal) {
			excused(t, j, push(t, j, "v1", "a"), policy.VerdictPromoted)
		}, nil},
		"two images, one with two": {func(t *testing.T, j *journal.Journal) {
			excused(t, j, push(t, j, "v1", "a"), policy.VerdictPromoted, "a", "b")
			excused(t, j, push(t, j, "v2", "b"), policy.VerdictRejected, "a")
		}, []gatekeeper.ExceptionUse{
			{Policy: "services", Key: "a", Images: 2, Decision: 2, Examples: []string{"team/app:v2", "team/app:v1"}},
			{Policy: "services", Key: "b", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}},
		}},
		"not needed any more": {func(t *testing.T, j *journal.Journal) {
			p := push(t, j, "v1", "a")
			excused(t, j, p, policy.VerdictPromoted, "a")
			excused(t, j, p, policy.VerdictPromoted)
		}, nil},
		"another one is needed": {func(t *testing.T, j *journal.Journal) {
			p := push(t, j, "v1", "a")
			excused(t, j, p, policy.VerdictPromoted, "a")
			excused(t, j, p, policy.VerdictPromoted, "b")
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "b", Images: 1, Decision: 2, Examples: []string{"team/app:v1"}}}},
		"an outage says nothing": {func(t *testing.T, j *journal.Journal) {
			p := push(t, j, "v1", "a")
			excused(t, j, p, policy.VerdictPromoted, "a")
			excused(t, j, p, policy.VerdictError)
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "a", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}}}},
		"the tag moved on": {func(t *testing.T, j *journal.Journal) {
			excused(t, j, push(t, j, "v1", "a"), policy.VerdictPromoted, "a")
			push(t, j, "v1", "b")
		}, nil},
		"the tag moved on, a golden one did not": {func(t *testing.T, j *journal.Journal) {
			golden(t, j, excused(t, j, push(t, j, "v1", "a"), policy.VerdictPromoted, "a"), "v1-golden.1")
			excused(t, j, push(t, j, "v1", "b"), policy.VerdictPromoted)
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "a", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}}}},
		"the golden tag moved too": {func(t *testing.T, j *journal.Journal) {
			golden(t, j, excused(t, j, push(t, j, "v1", "a"), policy.VerdictPromoted, "a"), "stable")
			golden(t, j, excused(t, j, push(t, j, "v1", "b"), policy.VerdictPromoted), "stable")
		}, nil},
	} {
		for engine, e := range engines() {
			t.Run(name+", "+engine, func(t *testing.T) {
				t.Parallel()
				j := e.openNew(t)
				tt.happened(t, j)
				got, err := j.ExceptionUses(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(gatekeeper.ExceptionUse{}, "JudgedAt")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Many images are looked through in pages, and few of them are named.
func TestAnExceptionForManyImages(t *testing.T) {
	t.Parallel()
	const many = 501
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := e.openNew(t)
			p := pushed(t, j, "v1", digest("a"))
			last := excused(t, j, p, policy.VerdictPromoted, "a")
			if err := j.Repeat(t.Context(), p.ID, many-1); err != nil {
				t.Fatal(err)
			}
			got, err := j.ExceptionUses(t.Context())
			if err != nil || len(got) != 1 || got[0].Images != many || len(got[0].Examples) != 10 || got[0].Decision < last.ID+many-1 {
				t.Errorf("%+v, %v", got, err)
			}
			if !got[0].JudgedAt.Equal(last.DecidedAt) {
				t.Errorf("judged at %s, want %s", got[0].JudgedAt, last.DecidedAt)
			}
		})
	}
}
