package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/telemetry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func now() time.Time { return time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC) }

type state struct {
	err  error
	used string // an exception's key
}

func (s state) Queue(context.Context) (gatekeeper.Queue, error) {
	return gatekeeper.Queue{Pushes: map[string]int{"queued": 2, "judging": 0}, Oldest: 3 * time.Second}, s.err
}

func (s state) GoldenImages(context.Context) ([]gatekeeper.GoldenCount, error) {
	return []gatekeeper.GoldenCount{{Policy: "services", Compliant: true, Images: 4}, {Policy: "gone", Images: 1}}, s.err
}

func (s state) ExceptionUses(context.Context) ([]gatekeeper.ExceptionUse, error) {
	return []gatekeeper.ExceptionUse{{Policy: "services", Key: s.used, Images: 1}}, s.err
}

func (s state) RebuildsNeeded(context.Context) (map[string]int, error) {
	return map[string]int{"services": 2, "gone": 1}, s.err
}

func services(t *testing.T) *policy.Compiled {
	t.Helper()
	return named(t, "services")
}

func named(t *testing.T, name string) *policy.Compiled {
	t.Helper()
	compiled, err := policy.Compile(policy.Policy{
		APIVersion: "gatekeeper/v1alpha1", Kind: "PromotionPolicy", Metadata: policy.Metadata{Name: name},
		Spec: policy.Spec{
			From: "staging", Match: policy.Match{Repositories: []string{"**"}},
			Vulnerabilities: &policy.Vulnerabilities{
				Deny: []policy.Deny{{Severity: policy.SeverityCritical}},
				Exceptions: []policy.Exception{
					exception("CVE-2026-0001", now().AddDate(1, 0, 0)), exception("CVE-2026-0002", now().AddDate(0, 0, 3)), exception("CVE-2026-0003", now().AddDate(0, 0, -3)),
				},
			},
			Licenses: &policy.Licenses{Deny: []string{"MIT"}, Exceptions: []policy.LicenseException{
				{Licenses: []string{"MIT"}, Expires: policy.Date{Time: now().AddDate(1, 0, 0)}, Owner: "legal", Reason: "test"},
			}},
			Promote: policy.Promote{To: "golden", Repository: "{{ .Repository }}", Tags: []string{"{{ .Tag }}"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func exception(id string, expires time.Time) policy.Exception {
	return policy.Exception{ID: id, Expires: policy.Date{Time: expires}, Owner: "sec", Reason: "test"}
}

type setup struct {
	registry *prometheus.Registry
	metrics  *telemetry.Metrics
	log      *strings.Builder
}

func newSetup(t *testing.T, change func(*telemetry.Deps)) setup {
	t.Helper()
	s := setup{registry: prometheus.NewPedanticRegistry(), log: &strings.Builder{}}
	policies := []*policy.Compiled{services(t)}
	deps := telemetry.Deps{
		Registerer: s.registry, Sources: []string{"staging", "quiet"}, Reconciled: []string{"staging"}, Outcomes: []string{"accepted", "malformed"}, Registries: []string{"staging", "golden"},
		Policies: func() []*policy.Compiled { return policies }, State: state{},
		Database: func() (time.Time, bool) { return now().Add(-time.Hour), true }, Now: now, Log: slog.New(slog.NewJSONHandler(s.log, nil)),
	}
	if change != nil {
		change(&deps)
	}
	m, err := telemetry.New(deps)
	if err != nil {
		t.Fatal(err)
	}
	s.metrics = m
	return s
}

func (s setup) value(t *testing.T, series string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if f.GetName()+"{"+strings.Join(labels, ",")+"}" == series {
				switch {
				case m.Counter != nil:
					return m.Counter.GetValue()
				case m.Gauge != nil:
					return m.Gauge.GetValue()
				}
				return float64(m.Histogram.GetSampleCount())
			}
		}
	}
	t.Errorf("no series %s", series)
	return math.NaN()
}

func TestEverySeriesExistsFromTheStart(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	for series, want := range map[string]float64{
		`gatekeeper_notifications_total{outcome="accepted",source="staging"}`:                   0,
		`gatekeeper_decisions_total{mode="enforce",policy="services",verdict="promoted"}`:       0,
		`gatekeeper_findings_total{check="signatures",policy="services",reason="wrong_signer"}`: 0,
		`gatekeeper_push_to_verdict_seconds{policy="services",verdict="rejected"}`:              0,
		`gatekeeper_stage_seconds{stage="scan"}`:                                                0,
		`gatekeeper_queue_pushes{state="queued"}`:                                               2,
		`gatekeeper_queue_oldest_seconds{}`:                                                     3,
		`gatekeeper_golden_images{compliant="true",policy="services"}`:                          4,
		`gatekeeper_golden_images{compliant="false",policy="none"}`:                             1,
		`gatekeeper_golden_images_rebuild_needed{policy="services"}`:                            2,
		`gatekeeper_golden_images_rebuild_needed{policy="none"}`:                                1,
		`gatekeeper_exceptions{policy="services",state="active"}`:                               2,
		`gatekeeper_exceptions{policy="services",state="expiring"}`:                             1,
		`gatekeeper_exceptions{policy="services",state="expired"}`:                              1,
		`gatekeeper_exceptions{policy="services",state="unused"}`:                               2,
		`gatekeeper_scanner_database_age_seconds{}`:                                             3600,
		`gatekeeper_registry_requests_total{code="200",registry="golden"}`:                      0,
		`gatekeeper_registry_retries_total{registry="golden"}`:                                  0,
		`gatekeeper_registry_circuit_open{registry="golden"}`:                                   0,
		`gatekeeper_blob_bytes_total{direction="out",registry="golden"}`:                        0,
		`gatekeeper_reconcile_missed_total{source="staging"}`:                                   0,
		`gatekeeper_policy_reload_failed{}`:                                                     0,
		`gatekeeper_reconcile_missed_total{source="quiet"}`:                                     0,
		`gatekeeper_reconcile_last_success_timestamp_seconds{source="staging"}`:                 0,
	} {
		if got := s.value(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A source that is not reconciled has no age that an alert could take for one.
func TestReconciling(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	s.metrics.ReconcileMissed("staging", 0)
	s.metrics.ReconcileMissed("staging", 3)
	s.metrics.Reconciled("staging")
	for series, want := range map[string]float64{
		`gatekeeper_reconcile_missed_total{source="staging"}`:                   3,
		`gatekeeper_reconcile_last_success_timestamp_seconds{source="staging"}`: float64(now().Unix()),
	} {
		if got := s.value(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if n, err := testutil.GatherAndCount(s.registry, "gatekeeper_reconcile_last_success_timestamp_seconds"); n != 1 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestHowRegistriesDo(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	s.metrics.RegistryRetry("golden")
	s.metrics.RegistryCircuit("golden", true)
	for series, want := range map[string]float64{
		`gatekeeper_registry_retries_total{registry="golden"}`:  1,
		`gatekeeper_registry_circuit_open{registry="golden"}`:   1,
		`gatekeeper_registry_circuit_open{registry="staging"}`:  0,
		`gatekeeper_registry_retries_total{registry="staging"}`: 0,
	} {
		if got := s.value(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	s.metrics.RegistryCircuit("golden", false)
	if got := s.value(t, `gatekeeper_registry_circuit_open{registry="golden"}`); got != 0 {
		t.Errorf("closed again it is %v", got)
	}
}

func TestDecidedCountsAndLeavesOneLine(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	s.metrics.Decided(t.Context(), gatekeeper.Decision{
		ID: 7, Push: gatekeeper.Push{Repository: "team-a/app", Tag: "v1\n{\"forged\":1}", Digest: "sha256:abc"}, Verdict: policy.VerdictRejected, Mode: policy.ModeEnforce,
		Results: []policy.Result{{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictRejected, Findings: []policy.Finding{
			{Check: policy.CheckSignatures, Outcome: policy.OutcomeFail, Reason: policy.ReasonWrongSigner, Found: "signed by somebody else"},
		}}},
	})
	for _, series := range []string{
		`gatekeeper_decisions_total{mode="enforce",policy="services",verdict="rejected"}`,
		`gatekeeper_findings_total{check="signatures",policy="services",reason="wrong_signer"}`,
		`gatekeeper_push_to_verdict_seconds{policy="services",verdict="rejected"}`,
	} {
		if got := s.value(t, series); got != 1 {
			t.Errorf("%s is %v, want 1", series, got)
		}
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if len(lines) != 1 || !strings.Contains(lines[0], `"msg":"decision"`) || !strings.Contains(lines[0], "signed by somebody else") {
		t.Errorf("the audit log is %q", lines)
	}
}

// Nobody has waited for a decision about what is golden already.
func TestJudgingAgainIsNoTimeToAVerdict(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	s.metrics.Decided(t.Context(), gatekeeper.Decision{
		Push: gatekeeper.Push{Golden: true}, Verdict: policy.VerdictPromoted, Mode: policy.ModeEnforce, Took: 720 * time.Hour,
		Results: []policy.Result{{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictPromoted}},
	})
	if got := s.value(t, `gatekeeper_push_to_verdict_seconds{policy="services",verdict="promoted"}`); got != 0 {
		t.Errorf("%v times measured", got)
	}
	if got := s.value(t, `gatekeeper_decisions_total{mode="enforce",policy="services",verdict="promoted"}`); got != 1 {
		t.Errorf("%v decisions counted", got)
	}
}

func TestThePoliciesInForceAreFollowed(t *testing.T) {
	t.Parallel()
	inForce := []*policy.Compiled{services(t)}
	s := newSetup(t, func(d *telemetry.Deps) { d.Policies = func() []*policy.Compiled { return inForce } })
	s.metrics.Decided(t.Context(), gatekeeper.Decision{
		Verdict: policy.VerdictPromoted, Results: []policy.Result{{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictPromoted}},
	})
	next := []*policy.Compiled{named(t, "infra")}
	s.metrics.FollowPolicies(next)
	inForce = next
	for series, want := range map[string]float64{
		`gatekeeper_decisions_total{mode="enforce",policy="infra",verdict="promoted"}`:       0,
		`gatekeeper_findings_total{check="signatures",policy="infra",reason="wrong_signer"}`: 0,
		`gatekeeper_push_to_verdict_seconds{policy="infra",verdict="rejected"}`:              0,
		`gatekeeper_exceptions{policy="infra",state="active"}`:                               2,
		`gatekeeper_golden_images{compliant="true",policy="infra"}`:                          0,
		`gatekeeper_golden_images{compliant="true",policy="none"}`:                           4,
		`gatekeeper_golden_images_rebuild_needed{policy="infra"}`:                            0,
		`gatekeeper_decisions_total{mode="enforce",policy="services",verdict="promoted"}`:    1,
	} {
		if got := s.value(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for _, failed := range []bool{true, false} {
		s.metrics.PolicyReload(failed)
		if got := s.value(t, "gatekeeper_policy_reload_failed{}"); (got == 1) != failed {
			t.Errorf("failed %v: %v", failed, got)
		}
	}
}

// A candidate in audit mode is measured by what it differs in from what counts.
func TestACandidateIsMeasuredBesideWhatIsEnforced(t *testing.T) {
	t.Parallel()
	candidate := named(t, "next").WithMode(policy.ModeAudit)
	s := newSetup(t, func(d *telemetry.Deps) {
		d.Policies = func() []*policy.Compiled { return []*policy.Compiled{services(t), candidate} }
	})
	const series = `gatekeeper_audit_decisions_total{enforced=%q,policy="next",verdict=%q}`
	for _, verdict := range policy.Verdicts() {
		if got := s.value(t, fmt.Sprintf(series, policy.VerdictPromoted, verdict)); got != 0 {
			t.Errorf("%s is %v at the start", verdict, got)
		}
	}
	next := policy.Result{Policy: "next", Mode: policy.ModeAudit, Verdict: policy.VerdictRejected}
	enforced := policy.Result{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictPromoted}
	s.metrics.Decided(t.Context(), gatekeeper.Decision{Verdict: policy.VerdictPromoted, Mode: policy.ModeEnforce, Results: []policy.Result{enforced, next}})
	// By itself it differs from nothing.
	s.metrics.Decided(t.Context(), gatekeeper.Decision{Verdict: policy.VerdictRejected, Mode: policy.ModeAudit, Results: []policy.Result{next}})
	for enforced, want := range map[policy.Verdict]float64{policy.VerdictPromoted: 1, policy.VerdictRejected: 0} {
		if got := s.value(t, fmt.Sprintf(series, enforced, policy.VerdictRejected)); got != want {
			t.Errorf("%s beside %s is %v, want %v", policy.VerdictRejected, enforced, got, want)
		}
	}
}

// A yes that an immutable tag overrules is no promotion.
func TestAnOverruledYesCountsAsRejected(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	s.metrics.Decided(t.Context(), gatekeeper.Decision{
		Verdict: policy.VerdictRejected, Mode: policy.ModeEnforce,
		Findings: []policy.Finding{{Check: policy.CheckPromote, Outcome: policy.OutcomeFail, Reason: policy.ReasonConflict}},
		Results:  []policy.Result{{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictPromoted}},
	})
	if got := s.value(t, `gatekeeper_decisions_total{mode="enforce",policy="services",verdict="promoted"}`); got != 0 {
		t.Errorf("%v promotions counted", got)
	}
	if got := s.value(t, `gatekeeper_decisions_total{mode="enforce",policy="services",verdict="rejected"}`); got != 1 {
		t.Errorf("%v rejections counted", got)
	}
}

func TestLabelsOutOfRequestsStayBounded(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	before := testutil.CollectAndCount(s.registry)
	for i := range 50 {
		s.metrics.Notification(fmt.Sprintf("invented-%d", i), "malformed", 1)
		s.metrics.RegistryRequest("staging", 600+i)
	}
	s.metrics.RegistryRequest("staging", 0)
	if after := testutil.CollectAndCount(s.registry); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if got := s.value(t, `gatekeeper_notifications_total{outcome="malformed",source="unknown"}`); got != 50 {
		t.Errorf("%v notifications of unknown sources", got)
	}
	if got := s.value(t, `gatekeeper_registry_requests_total{code="other",registry="staging"}`); got != 50 {
		t.Errorf("%v requests with other codes", got)
	}
}

func TestWhatCannotBeReadIsNotZero(t *testing.T) {
	t.Parallel()
	s := newSetup(t, func(d *telemetry.Deps) {
		d.State = state{err: errors.New("disk I/O error")}
		d.Database = func() (time.Time, bool) { return time.Time{}, false }
	})
	families, err := s.registry.Gather()
	if err == nil || !strings.Contains(err.Error(), "disk I/O error") {
		t.Errorf("gather: %v", err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "gatekeeper_queue_pushes", "gatekeeper_golden_images", "gatekeeper_golden_images_rebuild_needed":
			t.Errorf("%s has samples", f.GetName())
		case "gatekeeper_scanner_database_age_seconds":
			if age := f.GetMetric()[0].GetGauge().GetValue(); !math.IsInf(age, 1) {
				t.Errorf("without a database its age is %v", age)
			}
		}
	}
}
