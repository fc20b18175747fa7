package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func unsigned() gatekeeper.Decision {
	deadline := time.Date(2026, 11, 20, 8, 10, 0, 0, time.UTC)
	return gatekeeper.Decision{
		Push:    gatekeeper.Push{Repository: "team-a/app", Tag: "v1", Digest: "sha256:abc"},
		Verdict: policy.VerdictPending, Mode: policy.ModeEnforce, Took: 1234 * time.Millisecond,
		Results: []policy.Result{{
			Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictPending, Deadline: &deadline,
			Findings: []policy.Finding{{
				Check: policy.CheckSignatures, Rule: "ci", Outcome: policy.OutcomePending, Reason: policy.ReasonAbsent,
				Found: "no signature", Expected: "a signature by ci", Remedy: "sign it",
			}},
		}},
	}
}

func TestTextSaysWhatWasFoundExpectedAndWhatToDo(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := report.Text(&b, unsigned()); err != nil {
		t.Fatal(err)
	}
	want := `team-a/app:v1 (sha256:abc): pending, 1.23s after the push.

Policy services (enforce): pending
  What is missing is awaited until 2026-11-20 08:10:00 UTC.
  waiting signatures ci: no signature
    expected: a signature by ci
    what to do: sign it
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTextIsHarmlessToATerminal(t *testing.T) {
	t.Parallel()
	d := unsigned()
	d.Results[0].Findings[0].Found = "a label \x1b]0;owned\x07 \u202etxet"
	var b strings.Builder
	if err := report.Text(&b, d); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
		t.Errorf("%q", b.String())
	}
	if got := report.Reason(d); strings.ContainsAny(got, "\x1b\x07\u202e\n") {
		t.Errorf("%q", got)
	}
}

func TestTextStopsAfterSomeFindings(t *testing.T) {
	t.Parallel()
	d := unsigned()
	for range 99 {
		d.Results[0].Findings = append(d.Results[0].Findings, d.Results[0].Findings[0])
	}
	var b strings.Builder
	if err := report.Hypothetical(&b, d); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "what to do"); n != 20 {
		t.Errorf("%d findings are spelled out", n)
	}
	for _, want := range []string{"would be pending", "and 80 more findings"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestReasonOfAYesNamesTheException(t *testing.T) {
	t.Parallel()
	d := gatekeeper.Decision{Verdict: policy.VerdictPromoted, Results: []policy.Result{{
		Verdict:  policy.VerdictPromoted,
		Findings: []policy.Finding{{Outcome: policy.OutcomeInfo, Reason: policy.ReasonExcepted, Found: "CVE-1 excused by sec"}},
	}}}
	if got := report.Reason(d); got != "passes; CVE-1 excused by sec" {
		t.Errorf("%q", got)
	}
}

func TestStatusBeforeTheFirstDecision(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := report.Status(&b, gatekeeper.ImageStatus{
		Push: gatekeeper.Push{Repository: "app", Tag: "v1", ReceivedAt: time.Unix(0, 0)}, State: "retrying", Problem: "the registry answers 503",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "app:v1 was pushed at 1970-01-01 00:00:00 UTC and is retrying; there is no decision yet.\nThe last attempt failed: the registry answers 503\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// What was golden once and is refused by now is still there.
func TestStatusOfAGoldenImageThatIsRefusedNow(t *testing.T) {
	t.Parallel()
	d := unsigned()
	d.Verdict, d.Note, d.Results = policy.VerdictRejected, "judged again after its promotion", nil
	for state, want := range map[string]string{
		"promoted": "\nIt was promoted before, and stays golden.\n",
		"queued":   "\nIt is being judged again (queued).\n",
		"rejected": "judged again after its promotion\n",
	} {
		var b strings.Builder
		if err := report.Status(&b, gatekeeper.ImageStatus{Decision: &d, State: state}); err != nil || !strings.HasSuffix(b.String(), want) {
			t.Errorf("%s: %q, %v", state, b.String(), err)
		}
	}
}

func TestWhoSignedIsShown(t *testing.T) {
	t.Parallel()
	d := gatekeeper.Decision{Verdict: policy.VerdictPromoted, Evidence: &policy.Evidence{
		Signatures: []policy.Signature{
			{Form: "tag", Result: policy.Verified, VerifiedBy: []string{"sha256:0123456789abcdef0123"}},
			{Form: "bundle", Result: policy.Invalid, Reason: "it is the signature of \x1b[31manother image"},
		},
		Attestations: []policy.Attestation{{Form: "bundle", PredicateType: "https://slsa.dev/provenance/v1", Result: policy.Verified, Identities: []policy.Identity{
			{Issuer: "https://issuer.example.com", Subject: "ci@acme.example"},
		}}},
	}}
	var b strings.Builder
	if err := report.Text(&b, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"signature (tag): by sha256:0123456789ab\n",
		"signature (bundle): invalid: it is the signature of \uFFFD[31manother image\n",
		"attestation https://slsa.dev/provenance/v1 (bundle): by ci@acme.example (issued by https://issuer.example.com)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
}
