package chart_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// serviceMonitor and prometheusRule are the parts of the Prometheus operator's
// API (monitoring.coreos.com/v1) that the chart uses.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port          string `json:"port"`
			Path          string `json:"path"`
			Interval      string `json:"interval"`
			ScrapeTimeout string `json:"scrapeTimeout"`
			Authorization *struct {
				Credentials corev1.SecretKeySelector `json:"credentials"`
			} `json:"authorization"`
		} `json:"endpoints"`
	} `json:"spec"`
}

type prometheusRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"spec"`
}

// metricsPage documents the metrics.
func metricsPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alerts are the expressions of the alert rules, by the alert's name.
func alerts(t *testing.T, values string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, g := range decode[prometheusRule](t, mustRender(t, values), "PrometheusRule").Spec.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = r.Expr
		}
	}
	return found
}

// panels are the expressions of the dashboard, by the panel's title.
func panels(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "dashboards", "gatekeeper.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found[p.Title] = target.Expr
		}
	}
	return found
}

// questions are the queries that the documentation gives, by question.
func questions(t *testing.T) map[string]string {
	t.Helper()
	_, table, found := strings.Cut(metricsPage(t), "| question | query |\n")
	if !found {
		t.Fatal("there is no table of queries")
	}
	queries := map[string]string{}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.SplitN(strings.Trim(line, "| "), " | ", 2)
		if len(cells) == 2 {
			queries[cells[0]] = strings.Trim(cells[1], "`")
		}
	}
	return queries
}

// queries are all of those.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for kind, some := range map[string]map[string]string{"alert": alerts(t, everything+shared), "panel": panels(t), "documentation": questions(t)} {
		if len(some) == 0 {
			t.Errorf("%s: no query was found", kind)
		}
		for name, query := range some {
			all[kind+" "+name] = query
		}
	}
	return all
}

var metricName = regexp.MustCompile(`gatekeeper_[a-z_]+`)

func TestMetricsThatAreAskedForExist(t *testing.T) {
	t.Parallel()
	documented := metricsPage(t)
	for name, query := range queries(t) {
		for _, metric := range metricName.FindAllString(query, -1) {
			if metric = strings.TrimSuffix(metric, "_bucket"); !strings.Contains(documented, "| `"+metric+"` |") {
				t.Errorf("%s: %s is not documented", name, metric)
			}
		}
	}
}

// Each replica says the same of these, and none adds to the others.
func TestWhatEveryReplicaSaysIsNotAddedUp(t *testing.T) {
	t.Parallel()
	same := regexp.MustCompile(`gatekeeper_(queue_pushes|queue_oldest_seconds|golden_images|exceptions)`)
	right := regexp.MustCompile(`(max( by \([a-z_, ]+\))? ?|count)\(gatekeeper_(queue_pushes|queue_oldest_seconds|golden_images|exceptions)`)
	asked := 0
	for name, query := range queries(t) {
		uses := len(same.FindAllString(query, -1))
		asked += uses
		if uses != len(right.FindAllString(query, -1)) {
			t.Errorf("%s: %s", name, query)
		}
	}
	if asked == 0 {
		t.Error("nothing asks for them")
	}
}

// What a replica counts itself is one number for all of them, so that there is
// one alert.
func TestAlertsAreAboutAllReplicas(t *testing.T) {
	t.Parallel()
	for name, expr := range alerts(t, everything+shared) {
		switch name {
		case "GatekeeperDown", "GatekeeperReplicaDown", "GatekeeperDatabaseOutdated": // about all, about each, about each
			continue
		}
		if !regexp.MustCompile(`(max|sum) by \(namespace, job`).MatchString(expr) {
			t.Errorf("%s has an alert for each replica: %s", name, expr)
		}
	}
}

// A replica that has not walked says 0, and one that did may be gone.
func TestAWalkCountsWhenItsReplicaIsGone(t *testing.T) {
	t.Parallel()
	got := alerts(t, needed+"prometheusRule: {enabled: true, reconcileAge: 90000}\n")["GatekeeperReconcileFails"]
	want := "max_over_time(gatekeeper_reconcile_last_success_timestamp_seconds[90000s])"
	if !strings.Contains(got, want) || !strings.HasSuffix(got, "> 90000") {
		t.Errorf("got %s, want it to ask for %s", got, want)
	}
}

func TestOneReplicaHasNoAlertOfItsOwn(t *testing.T) {
	t.Parallel()
	if expr, there := alerts(t, everything)["GatekeeperReplicaDown"]; there {
		t.Errorf("it repeats GatekeeperDown: %s", expr)
	}
	if alerts(t, everything+shared)["GatekeeperReplicaDown"] == "" {
		t.Error("one of several that is down has no alert")
	}
}
