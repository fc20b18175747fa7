// Package telemetry measures the service for Prometheus and writes the audit
// log. Label values are bounded, and every series exists from the start.
package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Label values beside those that the configuration names.
const (
	noPolicy      = "none"    // decisions and findings of no single policy
	unknownSource = "unknown" // never a name out of a request
	noAnswer      = "error"   // a request that got no response
	otherCode     = "other"
)

// Deps is what Metrics works with. Every field is required.
type Deps struct {
	Registerer prometheus.Registerer
	Sources    []string // registries whose pushes are judged
	Reconciled []string // those of them that are reconciled
	Outcomes   []string // of notifications
	Registries []string
	// Policies returns the policies in force.
	Policies func() []*policy.Compiled
	State    State
	// Database returns when the installed vulnerability database was built;
	// false when there is none.
	Database func() (built time.Time, ok bool)
	Now      func() time.Time
	Log      *slog.Logger
}

// Metrics implements the gate's and the registries' observers. It is safe for
// concurrent use.
type Metrics struct {
	deps           Deps
	notifications  *prometheus.CounterVec
	decisions      *prometheus.CounterVec
	beside         *prometheus.CounterVec
	findings       *prometheus.CounterVec
	pushToVerdict  *prometheus.HistogramVec
	stages         *prometheus.HistogramVec
	requests       *prometheus.CounterVec
	retries        *prometheus.CounterVec
	circuits       *prometheus.GaugeVec
	blobBytes      *prometheus.CounterVec
	reconcileFound *prometheus.CounterVec
	reloadFailed   prometheus.Gauge
	reconciledAt   *prometheus.GaugeVec
}

// New registers every metric.
func New(deps Deps) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		deps:          deps,
		notifications: counter("gatekeeper_notifications_total", "Notifications and the events in them, by what became of them.", "source", "outcome"),
		decisions:     counter("gatekeeper_decisions_total", "Recorded decisions.", "policy", "verdict", "mode"),
		beside: counter("gatekeeper_audit_decisions_total", "Recorded decisions of policies in audit mode, by what was enforced beside them.",
			"policy", "verdict", "enforced"),
		findings: counter("gatekeeper_findings_total", "Findings of recorded decisions.", "policy", "check", "reason"),
		pushToVerdict: histogram("gatekeeper_push_to_verdict_seconds", "Time from the acceptance of a push to the decision; to the golden tag when promoted.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}, "policy", "verdict"),
		stages: histogram("gatekeeper_stage_seconds", "Time taken by a stage of a judgement.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}, "stage"),
		requests: counter("gatekeeper_registry_requests_total", "Requests to registries, by status code.", "registry", "code"),
		retries:  counter("gatekeeper_registry_retries_total", "Requests that were sent again within one call.", "registry"),
		circuits: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatekeeper_registry_circuit_open", Help: "1 while a registry or its token server does not answer and nothing is sent to it.",
		}, []string{"registry"}),
		blobBytes: counter("gatekeeper_blob_bytes_total", "Bytes of blobs read from (in) and written to (out) registries.", "registry", "direction"),
		reloadFailed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatekeeper_policy_reload_failed",
			Help: "1 while the files of policies, keys or trust roots cannot be read: the policies before stay in force.",
		}),
		reconcileFound: counter("gatekeeper_reconcile_missed_total", "Pushes that no notification reported, found by looking at the registry.", "source"),
		reconciledAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatekeeper_reconcile_last_success_timestamp_seconds",
			Help: "Unix time at which this process last compared all of a source with what was reported; 0 when it has not.",
		}, []string{"source"}),
	}
	m.initialise()
	for _, c := range []prometheus.Collector{
		m.notifications, m.decisions, m.beside, m.findings, m.pushToVerdict, m.stages, m.requests, m.retries, m.circuits, m.blobBytes, m.reconcileFound, m.reconciledAt, m.reloadFailed, newCollector(deps),
	} {
		if err := deps.Registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// initialise makes every series exist.
func (m *Metrics) initialise() {
	for _, source := range append([]string{unknownSource}, m.deps.Sources...) {
		for _, outcome := range m.deps.Outcomes {
			m.notifications.WithLabelValues(source, outcome)
		}
	}
	for _, source := range m.deps.Sources {
		m.reconcileFound.WithLabelValues(source)
	}
	for _, source := range m.deps.Reconciled {
		m.reconciledAt.WithLabelValues(source)
	}
	m.initialisePolicy(noPolicy, policy.ModeEnforce, policy.ModeAudit)
	m.FollowPolicies(m.deps.Policies())
	for _, stage := range gatekeeper.Stages() {
		m.stages.WithLabelValues(stage)
	}
	for _, registry := range m.deps.Registries {
		for _, code := range codes() {
			m.requests.WithLabelValues(registry, code)
		}
		m.retries.WithLabelValues(registry)
		m.circuits.WithLabelValues(registry)
		m.blobBytes.WithLabelValues(registry, "in")
		m.blobBytes.WithLabelValues(registry, "out")
	}
}

// FollowPolicies makes the series of policies exist that are about to be in
// force. Those of policies before stay, with what they counted.
func (m *Metrics) FollowPolicies(all []*policy.Compiled) {
	for _, p := range all {
		m.initialisePolicy(p.Name(), p.Mode())
	}
}

// PolicyReload says whether the files of the policies are in force as they are.
func (m *Metrics) PolicyReload(failed bool) {
	if failed {
		m.reloadFailed.Set(1)
		return
	}
	m.reloadFailed.Set(0)
}

func (m *Metrics) initialisePolicy(name string, modes ...policy.Mode) {
	for _, verdict := range policy.Verdicts() {
		m.pushToVerdict.WithLabelValues(name, string(verdict))
		for _, mode := range modes {
			m.decisions.WithLabelValues(name, string(verdict), string(mode))
		}
		if name != noPolicy && slices.Contains(modes, policy.ModeAudit) {
			for _, enforced := range policy.Verdicts() {
				m.beside.WithLabelValues(name, string(verdict), string(enforced))
			}
		}
	}
	for _, check := range policy.Checks() {
		for _, reason := range policy.Reasons() {
			m.findings.WithLabelValues(name, string(check), string(reason))
		}
	}
}

// codes lists the values of the label code: the status codes that the OCI
// distribution-spec and usual proxies answer with, and what stands for others.
func codes() []string {
	return []string{
		"200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401", "403", "404", "405", "409",
		"412", "413", "415", "416", "429", "500", "502", "503", "504", otherCode, noAnswer,
	}
}

// Notification counts n events, or one request, with an outcome.
func (m *Metrics) Notification(source, outcome string, n int) {
	if slices.Contains(m.deps.Sources, source) {
		m.notifications.WithLabelValues(source, outcome).Add(float64(n))
		return
	}
	m.notifications.WithLabelValues(unknownSource, outcome).Add(float64(n))
}

// ReconcileMissed implements reconcile.Observer.
func (m *Metrics) ReconcileMissed(source string, n int) {
	m.reconcileFound.WithLabelValues(source).Add(float64(n))
}

// Reconciled implements reconcile.Observer.
func (m *Metrics) Reconciled(source string) {
	m.reconciledAt.WithLabelValues(source).Set(float64(m.deps.Now().Unix()))
}

// Stage implements gatekeeper.Observer.
func (m *Metrics) Stage(stage string, took time.Duration) {
	m.stages.WithLabelValues(stage).Observe(took.Seconds())
}

// Decided implements gatekeeper.Observer: it counts the decision and writes
// it to the audit log.
func (m *Metrics) Decided(ctx context.Context, d gatekeeper.Decision) {
	for _, f := range d.Findings {
		m.findings.WithLabelValues(noPolicy, string(f.Check), string(f.Reason)).Inc()
	}
	for _, r := range d.Results {
		verdict := r.Verdict
		if refused(d) {
			verdict = d.Verdict
		}
		m.count(r.Policy, verdict, r.Mode, d)
		if d.Mode == policy.ModeEnforce && r.Mode == policy.ModeAudit {
			m.beside.WithLabelValues(r.Policy, string(r.Verdict), string(d.Verdict)).Inc()
		}
		for _, f := range r.Findings {
			m.findings.WithLabelValues(r.Policy, string(f.Check), string(f.Reason)).Inc()
		}
	}
	if len(d.Results) == 0 {
		m.count(noPolicy, d.Verdict, d.Mode, d)
	}
	m.audit(ctx, d)
}

// refused says whether a policy's yes was overruled: an immutable tag is taken.
func refused(d gatekeeper.Decision) bool {
	for _, f := range d.Findings {
		if f.Outcome == policy.OutcomeFail {
			return true
		}
	}
	return false
}

func (m *Metrics) count(name string, verdict policy.Verdict, mode policy.Mode, d gatekeeper.Decision) {
	m.decisions.WithLabelValues(name, string(verdict), string(mode)).Inc()
	if !d.Push.Golden { // nobody has waited for it since the push
		m.pushToVerdict.WithLabelValues(name, string(verdict)).Observe(d.Took.Seconds())
	}
}

// RegistryRequest implements registry.Observer; status 0 is no answer.
func (m *Metrics) RegistryRequest(registry string, status int) {
	m.requests.WithLabelValues(registry, code(status)).Inc()
}

func code(status int) string {
	if status == 0 {
		return noAnswer
	}
	text := strconv.Itoa(status)
	if slices.Contains(codes(), text) {
		return text
	}
	return otherCode
}

// RegistryRetry implements registry.Health.
func (m *Metrics) RegistryRetry(registry string) {
	m.retries.WithLabelValues(registry).Inc()
}

// RegistryCircuit implements registry.Health.
func (m *Metrics) RegistryCircuit(registry string, open bool) {
	value := 0.0
	if open {
		value = 1
	}
	m.circuits.WithLabelValues(registry).Set(value)
}

// BlobBytes implements registry.Observer.
func (m *Metrics) BlobBytes(registry, direction string, n int64) {
	m.blobBytes.WithLabelValues(registry, direction).Add(float64(n))
}
