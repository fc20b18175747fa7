package gatekeeper_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/vex"
	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

const (
	fromReports = "  vulnerabilities: {report: {from: [attestation], signedBy: [ci]}, deny: [{severity: critical}], vex: {signedBy: [ci]}}\n"
	fromBoth    = "  vulnerabilities: {report: {from: [scanner, attestation], signedBy: [ci]}, deny: [{severity: critical}]}\n"
)

// report is an attestation with a report that names these vulnerabilities.
func (w *world) report(ids ...string) policy.Attestation {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id":%q,"severity":[{"score":"9.8"}]}`, id))
	}
	at := w.now.Add(-time.Minute).UTC().Format(time.RFC3339)
	a := w.sbom(fmt.Sprintf(`{"scanner":{"uri":"x","db":{"lastUpdate":%q},"result":[%s]},"metadata":{"scanFinishedOn":%q}}`, at, strings.Join(list, ","), at))
	a.PredicateType = vulnreport.PredicateInTotoV02
	return a
}

func (w *world) states(id string) policy.Attestation {
	a := w.sbom(fmt.Sprintf(`{"@context":"https://openvex.dev/ns","timestamp":%q,"statements":[{"vulnerability":{"name":%q},"status":"fixed"}]}`,
		w.now.Add(-time.Minute).UTC().Format(time.RFC3339), id))
	a.PredicateType = vex.PredicateOpenVEX
	return a
}

// A report by the signer is awaited, and with it alone nothing is scanned.
func TestSignedReportsStandInForScanning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		rules   string
		arrange func(w *world)
		want    policy.Verdict
		scanned int
	}{
		{"no report yet", fromReports, func(*world) {}, policy.VerdictPending, 0},
		{"a clean report", fromReports, func(w *world) { w.claims = append(w.claims, w.report()) }, policy.VerdictPromoted, 0},
		{"a report that names one", fromReports, func(w *world) { w.claims = append(w.claims, w.report("CVE-1")) }, policy.VerdictRejected, 0},
		{"a report that names one, excused", fromReports, func(w *world) { w.claims = append(w.claims, w.report("CVE-1"), w.states("CVE-1")) }, policy.VerdictPromoted, 0},
		{"the scanner too, without a report", fromBoth, func(*world) {}, policy.VerdictPending, 1},
		{"the scanner too", fromBoth, func(w *world) { w.claims = append(w.claims, w.report()) }, policy.VerdictPromoted, 1},
		{"an index", fromReports, func(w *world) {
			w.children = []string{digest("c"), digest("d")}
			w.claims = append(w.claims, w.report())
		}, policy.VerdictRejected, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, also(tt.rules, ""))
			w.sign("a")
			tt.arrange(w)
			if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != tt.want {
				t.Errorf("%+v: %+v", progress, w.last().Results)
			}
			if len(w.scanned) != tt.scanned {
				t.Errorf("scanned %q", w.scanned)
			}
			checked, err := w.gate().Check(t.Context(), "staging", "team-a/app", "v1", digest("a"))
			if err != nil || checked.Verdict != tt.want {
				t.Errorf("checked: %s, %v", checked.Verdict, err)
			}
		})
	}
}

// What was recorded is enough to judge again, by another policy too.
func TestReportsAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(fromReports, ""))
	w.sign("a")
	w.claims = append(w.claims, w.report("CVE-1"), w.states("CVE-1"))
	w.process(w.push("team-a/app", "v1", "a"))
	text, err := json.Marshal(w.last())
	if err != nil {
		t.Fatal(err)
	}
	var recorded gatekeeper.Decision
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	for rules, want := range map[string]policy.Verdict{
		fromReports: policy.VerdictPromoted,
		strings.Replace(fromReports, ", vex: {signedBy: [ci]}", "", 1): policy.VerdictRejected,
		fromBoth: policy.VerdictError, // nobody scanned
	} {
		w.apply(also(rules, ""))
		if got := gatekeeper.Replay(recorded, policy.NewSet(w.policies)); got.Verdict != want {
			t.Errorf("%s: %s, want %s", rules, got.Verdict, want)
		}
	}
}
