package config_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func every(d time.Duration) *policy.Duration {
	interval := policy.Duration(d)
	return &interval
}

func TestReconcile(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           *config.Reconcile
		every          time.Duration
	}{
		{"left out", limits, limits, &config.Reconcile{Interval: every(10 * time.Minute), Repositories: []string{"**"}}, 10 * time.Minute},
		{"more often", limits, "reconcile: {interval: 10s}", &config.Reconcile{Interval: every(10 * time.Second), Repositories: []string{"**"}}, 10 * time.Second},
		{"some repositories", limits, `reconcile: {repositories: [app, "team-*/**", "!team-b/**"]}`, &config.Reconcile{Interval: every(10 * time.Minute), Repositories: []string{"app", "team-*/**", "!team-b/**"}}, 10 * time.Minute},
		{"never", limits, "reconcile: {interval: 0s}", &config.Reconcile{Interval: every(0), Repositories: []string{"**"}}, 0},
		{"instead of notifications", notifications, "reconcile: {interval: 1m}", &config.Reconcile{Interval: every(time.Minute), Repositories: []string{"**"}}, time.Minute},
		{"instead of notifications, as it comes", notifications, "reconcile: {}", &config.Reconcile{Interval: every(10 * time.Minute), Repositories: []string{"**"}}, 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Parse("gatekeeper.yaml", []byte(strings.Replace(good, tt.old, tt.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			staging, golden := got.Registries[0], got.Registries[1]
			if diff := cmp.Diff(tt.want, staging.Reconcile); diff != "" || staging.ReconcileEvery() != tt.every {
				t.Errorf("every %s (-want +got)\n%s", staging.ReconcileEvery(), diff)
			}
			if golden.Reconcile != nil || golden.ReconcileEvery() != 0 || !slices.Equal(got.SourceNames(), []string{"staging"}) {
				t.Errorf("%v are sources", got.SourceNames())
			}
		})
	}
}

// An editor takes what the service takes.
func TestTheSchemaKnowsReconcile(t *testing.T) {
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Type                 string
		AdditionalProperties any
		Properties           map[string]json.RawMessage
		Items                json.RawMessage
	}
	at := text
	for _, key := range []string{"registries", "", "reconcile", "interval"} {
		var o object
		if err := json.Unmarshal(at, &o); err != nil {
			t.Fatal(err)
		}
		if at = o.Properties[key]; key == "" {
			at = o.Items
		}
	}
	var interval object
	if err := json.Unmarshal(at, &interval); err != nil || interval.Type != "string" {
		t.Errorf("the interval is %s (%v)", at, err)
	}
}
