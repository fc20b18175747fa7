package gatekeeper_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The states change to the second, and two weeks before the end.
func TestStatesOfExceptions(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		before time.Duration
		want   gatekeeper.ExceptionState
	}{
		"long before":             {100 * 24 * time.Hour, gatekeeper.ExceptionActive},
		"two weeks and a second":  {14*24*time.Hour + time.Second, gatekeeper.ExceptionActive},
		"two weeks":               {14 * 24 * time.Hour, gatekeeper.ExceptionExpiring},
		"a second before the end": {time.Second, gatekeeper.ExceptionExpiring},
		"at the end":              {0, gatekeeper.ExceptionExpired},
		"a second after it":       {-time.Second, gatekeeper.ExceptionExpired},
	} {
		if got := gatekeeper.ExceptionStateOf(policy.Exception{Expires: policy.Date{Time: end}}, end.Add(-tt.before)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestDescribedExceptions(t *testing.T) {
	t.Parallel()
	end := func(day int) policy.Date { return policy.Date{Time: time.Date(2026, 12, day, 0, 0, 0, 0, time.UTC)} }
	compiled, err := policy.CompileWith(policy.Policy{
		APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "services"},
		Spec: policy.Spec{
			From: "staging", Match: policy.Match{Repositories: []string{"**"}},
			Vulnerabilities: &policy.Vulnerabilities{
				Deny:           []policy.Deny{{Severity: policy.SeverityCritical}},
				Exceptions:     []policy.Exception{{ID: "CVE-1", Expires: end(30), Owner: "a", Reason: "r"}, {ID: "CVE-2", Expires: end(1), Owner: "b", Reason: "r"}},
				ExceptionLists: []string{"waivers"},
			},
			Promote: policy.Promote{To: "golden", Repository: "x", Tags: []string{"x"}},
		},
	}, policy.Lists{Exceptions: map[string][]policy.Exception{
		"waivers": {{ID: "CVE-1", Package: "openssl", Expires: end(20), Owner: "c", Reason: "r", Ticket: "SEC-1"}},
		"others":  {{ID: "CVE-9", Expires: end(20), Owner: "d", Reason: "r"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	x := compiled.Exceptions()
	use := gatekeeper.ExceptionUse{Policy: "services", Key: x[2].Key, Images: 3}
	uses := []gatekeeper.ExceptionUse{use, {Policy: "infra", Key: x[0].Key, Images: 1}, {Policy: "services", Key: "gone", Images: 1}}
	got := gatekeeper.DescribeExceptions([]*policy.Compiled{compiled}, uses, end(10).Time)
	want := []gatekeeper.ExceptionStatus{
		{Policy: "services", Key: x[1].Key, ID: "CVE-2", Owner: "b", Reason: "r", Expires: end(1).Time, State: gatekeeper.ExceptionExpired},
		{Policy: "services", List: "waivers", Key: x[2].Key, ID: "CVE-1", Package: "openssl", Owner: "c", Reason: "r", Ticket: "SEC-1", Expires: end(20).Time, State: gatekeeper.ExceptionExpiring, Use: &use},
		{Policy: "services", Key: x[0].Key, ID: "CVE-1", Owner: "a", Reason: "r", Expires: end(30).Time, State: gatekeeper.ExceptionActive, Unused: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
