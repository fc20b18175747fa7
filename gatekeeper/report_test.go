package gatekeeper_test

import (
	"encoding/json"
	"fmt"
	"slices"
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

// excuse is an attestation that CVE-1 is fixed.
func (w *world) excuse() policy.Attestation {
	a := w.sbom(fmt.Sprintf(`{"@context":"https://openvex.dev/ns","timestamp":%q,"statements":[{"vulnerability":{"name":"CVE-1"},"status":"fixed"}]}`,
		w.now.Add(-time.Minute).UTC().Format(time.RFC3339)))
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
		{"a report that names one, excused", fromReports, func(w *world) { w.claims = append(w.claims, w.report("CVE-1"), w.excuse()) }, policy.VerdictPromoted, 0},
		{"the scanner too, without a report", fromBoth, func(*world) {}, policy.VerdictPending, 1},
		{"the scanner too", fromBoth, func(w *world) { w.claims = append(w.claims, w.report()) }, policy.VerdictPromoted, 1},
		{"a report about an index", fromReports, func(w *world) {
			w.children = []string{digest("c"), digest("d")}
			w.claims = append(w.claims, w.report())
		}, policy.VerdictPending, 0},
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

// Each platform of an index has reports, VEX documents and SBOMs of its own; those
// who have none are awaited.
func TestThePlatformsOfAnIndexAreAttestedApart(t *testing.T) {
	t.Parallel()
	const c, d = "c", "d" // the platforms
	both := []string{digest(c), digest(d)}
	layers := func(of string) string { return "layers " + digest(of) }
	for _, tt := range []struct {
		name    string
		rules   string
		arrange func(w *world, about func(platform string, a policy.Attestation))
		want    policy.Verdict
		looked  []string
		scanned []string
	}{
		{"a report about each", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(d, w.report())
		}, policy.VerdictPromoted, both, nil},
		{"a report about one", fromReports, func(w *world, about func(string, policy.Attestation)) { about(c, w.report()) }, policy.VerdictPending, both, nil},
		{"one names something", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(d, w.report("CVE-1"))
		}, policy.VerdictRejected, both, nil},
		{"one names what VEX about it excuses", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(d, w.report("CVE-1"))
			about(d, w.excuse())
		}, policy.VerdictPromoted, both, nil},
		{"one names what VEX about the other excuses", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(c, w.excuse())
			about(d, w.report("CVE-1"))
		}, policy.VerdictRejected, both, nil},
		{"both name what VEX about the index excuses", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report("CVE-1"))
			about(d, w.report("CVE-1"))
			w.claims = append(w.claims, w.excuse())
		}, policy.VerdictPromoted, both, nil},
		{"what is about one cannot be read", fromReports, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(d, w.report())
			w.fail["attestations of "+digest(d)] = errOutage
		}, policy.VerdictError, both, nil},
		{"the scanner looks too", fromBoth, func(w *world, about func(string, policy.Attestation)) {
			about(c, w.report())
			about(d, w.report())
		}, policy.VerdictPromoted, both, []string{layers(c), layers(d)}},
		{"an SBOM of one", scanning + takes, func(w *world, about func(string, policy.Attestation)) { about(d, w.sbom(`{"b":2}`)) }, policy.VerdictPromoted, both, []string{layers(c), `sbom {"b":2}`}},
		{"an SBOM of one, of which something cannot be read", scanning + takes, func(w *world, about func(string, policy.Attestation)) {
			about(d, w.sbom(`{"b":2}`))
			w.fail["attestations of "+digest(d)] = errOutage
		}, policy.VerdictPromoted, both, []string{layers(c), layers(d)}},
		{"nobody asks", scanning, func(w *world, about func(string, policy.Attestation)) { about(c, w.report("CVE-1")) }, policy.VerdictPromoted, nil, []string{layers(c), layers(d)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, also(tt.rules, ""))
			w.sign("a")
			w.children = both
			tt.arrange(w, func(platform string, a policy.Attestation) {
				w.apart[digest(platform)] = append(w.apart[digest(platform)], a)
			})
			if checked, err := w.gate().Check(t.Context(), "staging", "team-a/app", "v1", digest("a")); err != nil || checked.Verdict != tt.want || len(w.watched) > 0 {
				t.Errorf("checked: %s, %v, watched %q", checked.Verdict, err, w.watched)
			}
			w.scanned, w.looked = nil, nil
			if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != tt.want {
				t.Errorf("%+v: %+v", progress, w.last().Results)
			}
			if !slices.Equal(w.looked, tt.looked) || !slices.Equal(w.scanned, tt.scanned) {
				t.Errorf("looked at %q, scanned %q; want %q, %q", w.looked, w.scanned, tt.looked, tt.scanned)
			}
			if len(w.watched) != len(tt.looked) {
				t.Errorf("watched %q", w.watched)
			}
		})
	}
}

// Before anything is read about the platforms, the journal knows whom what
// arrives about them wakes.
func TestPlatformsAreWatchedBeforeTheyAreLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(fromReports, ""))
	w.children, w.fail["watch"] = []string{digest("c"), digest("d")}, errOutage
	if _, err := w.gate().Process(t.Context(), w.push("team-a/app", "v1", "a")); err == nil || len(w.looked) > 0 {
		t.Errorf("%v, looked at %q", err, w.looked)
	}
}

// A few bytes about each platform are kept, and not all that anybody attests.
func TestWhatIsAttestedAboutPlatformsIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(fromReports, ""))
	w.sign("a")
	w.children = []string{digest("c"), digest("d")}
	large := w.sbom(`"` + strings.Repeat("x", 20<<20) + `"`)
	w.apart[digest("c")], w.apart[digest("d")] = []policy.Attestation{w.report(), large}, []policy.Attestation{w.report(), large}
	p := w.push("team-a/app", "v1", "a")
	p.Attempt = 5
	if progress := w.process(p); progress.Verdict != policy.VerdictError {
		t.Errorf("%+v: %+v", progress, w.last().Results)
	}
	if f := w.last().Results[0].Findings[0]; !strings.Contains(f.Found, "more than 33554432 bytes") || f.Platform != "linux/arm64" {
		t.Errorf("%+v", f)
	}
}

// An index takes not many times as long as another image, however much is attested
// about its platforms.
func TestAttestationsAboutPlatformsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(fromReports, ""))
	w.sign("a")
	w.children = []string{digest("c"), digest("d")}
	w.apart[digest("c")] = append(slices.Repeat([]policy.Attestation{{Result: policy.UnknownSigner}}, 256), w.report())
	w.apart[digest("d")] = []policy.Attestation{w.report()}
	p := w.push("team-a/app", "v1", "a")
	p.Attempt = 5
	if progress := w.process(p); progress.Verdict != policy.VerdictError {
		t.Errorf("%+v: %+v", progress, w.last().Results)
	}
	if len(w.looked) != 1 {
		t.Errorf("looked at %q", w.looked)
	}
}

// What was recorded is enough to judge again, by another policy too.
func TestReportsAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(fromReports, ""))
	w.sign("a")
	w.claims = append(w.claims, w.report("CVE-1"), w.excuse())
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
