package telemetry_test

import (
	"errors"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/telemetry"
)

// An exception that a newest judgement took is not unused; one that ended is
// needed by nobody and counts as what it is.
func TestUnusedExceptionsAreCounted(t *testing.T) {
	t.Parallel()
	keys := services(t).Exceptions() // one active, one expiring, one expired
	for name, tt := range map[string]struct {
		used string
		want float64
	}{
		"nothing is needed":     {"", 2},
		"the active one":        {keys[0].Key, 1},
		"the expiring one":      {keys[1].Key, 1},
		"one that ended":        {keys[2].Key, 2},
		"one that is not there": {"another", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, func(d *telemetry.Deps) { d.State = state{used: tt.used} })
			for series, want := range map[string]float64{
				`gatekeeper_exceptions{policy="services",state="active"}`:   2, // one of a licence, which nobody counts the uses of
				`gatekeeper_exceptions{policy="services",state="expiring"}`: 1,
				`gatekeeper_exceptions{policy="services",state="expired"}`:  1,
				`gatekeeper_exceptions{policy="services",state="unused"}`:   tt.want,
			} {
				if got := s.value(t, series); got != want {
					t.Errorf("%s is %v, want %v", series, got, want)
				}
			}
		})
	}
}

// When the journal does not answer, when exceptions end is still known; which
// of them are unused is not.
func TestWithoutTheJournalNothingIsUnused(t *testing.T) {
	t.Parallel()
	s := newSetup(t, func(d *telemetry.Deps) { d.State = state{err: errors.New("disk I/O error")} })
	families, err := s.registry.Gather()
	if err == nil {
		t.Error("the scrape has no error")
	}
	states := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "gatekeeper_exceptions" {
			continue
		}
		for _, m := range f.GetMetric() {
			states[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
		}
	}
	if _, told := states["unused"]; told || len(states) != 3 || states["expired"] != 1 {
		t.Errorf("%v", states)
	}
}
