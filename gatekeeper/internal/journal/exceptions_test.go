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

// past is what happens in a journal.
type past struct {
	t *testing.T
	j *journal.Journal
}

// push accepts a push of a tag.
func (p past) push(tag, letter string) gatekeeper.Push {
	p.t.Helper()
	return pushed(p.t, p.j, tag, digest(letter))
}

// judged records a judgement that took exceptions of the policy services.
func (p past) judged(push gatekeeper.Push, v policy.Verdict, exceptions ...string) gatekeeper.Decision {
	p.t.Helper()
	d := gatekeeper.Decision{Push: push, Verdict: v, Mode: policy.ModeEnforce, DecidedAt: push.ReceivedAt.Add(time.Second), Results: []policy.Result{
		{Policy: "infra", Verdict: v}, {Policy: "services", Verdict: v, Exceptions: exceptions},
	}}
	id, err := p.j.RecordDecision(p.t.Context(), d)
	if err != nil {
		p.t.Fatal(err)
	}
	d.ID = id
	return d
}

// golden records what a decision wrote.
func (p past) golden(d gatekeeper.Decision, tag string) {
	p.t.Helper()
	ref := gatekeeper.GoldenReference{Registry: "golden", Repository: "team/app", Tag: tag, Digest: d.Push.Digest, PushID: d.Push.ID}
	if err := p.j.RecordGolden(p.t.Context(), d.ID, []gatekeeper.GoldenReference{ref}); err != nil {
		p.t.Fatal(err)
	}
}

func TestWhatExceptionsAreNeededFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		happened func(past)
		want     []gatekeeper.ExceptionUse
	}{
		"nothing": {func(past) {}, nil},
		"no exception was taken": {func(p past) {
			p.judged(p.push("v1", "a"), policy.VerdictPromoted)
		}, nil},
		"two images, one with two": {func(p past) {
			p.judged(p.push("v1", "a"), policy.VerdictPromoted, "a", "b")
			p.judged(p.push("v2", "b"), policy.VerdictRejected, "a")
		}, []gatekeeper.ExceptionUse{
			{Policy: "services", Key: "a", Images: 2, Decision: 2, Examples: []string{"team/app:v2", "team/app:v1"}},
			{Policy: "services", Key: "b", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}},
		}},
		"not needed any more": {func(p past) {
			image := p.push("v1", "a")
			p.judged(image, policy.VerdictPromoted, "a")
			p.judged(image, policy.VerdictPromoted)
		}, nil},
		"another one is needed": {func(p past) {
			image := p.push("v1", "a")
			p.judged(image, policy.VerdictPromoted, "a")
			p.judged(image, policy.VerdictPromoted, "b")
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "b", Images: 1, Decision: 2, Examples: []string{"team/app:v1"}}}},
		"an outage says nothing": {func(p past) {
			image := p.push("v1", "a")
			p.judged(image, policy.VerdictPromoted, "a")
			p.judged(image, policy.VerdictError)
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "a", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}}}},
		"the tag moved on": {func(p past) {
			p.judged(p.push("v1", "a"), policy.VerdictPromoted, "a")
			p.push("v1", "b")
		}, nil},
		"the tag moved on, a golden one did not": {func(p past) {
			p.golden(p.judged(p.push("v1", "a"), policy.VerdictPromoted, "a"), "v1-golden.1")
			p.judged(p.push("v1", "b"), policy.VerdictPromoted)
		}, []gatekeeper.ExceptionUse{{Policy: "services", Key: "a", Images: 1, Decision: 1, Examples: []string{"team/app:v1"}}}},
		"the golden tag moved too": {func(p past) {
			p.golden(p.judged(p.push("v1", "a"), policy.VerdictPromoted, "a"), "stable")
			p.golden(p.judged(p.push("v1", "b"), policy.VerdictPromoted), "stable")
		}, nil},
	} {
		for engine, e := range engines() {
			t.Run(name+", "+engine, func(t *testing.T) {
				t.Parallel()
				j := e.openNew(t)
				tt.happened(past{t, j})
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
			last := past{t, j}.judged(p, policy.VerdictPromoted, "a")
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
