package telemetry

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// collectExceptions counts by state. When nobody knows what exceptions are
// needed for, none of them is said to be unused, nor to be needed.
func (c *collector) collectExceptions(ctx context.Context, ch chan<- prometheus.Metric) {
	uses, err := c.deps.State.ExceptionUses(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.exceptions, fmt.Errorf("look up unused exceptions: %w", err))
	}
	type series struct {
		policy string
		state  gatekeeper.ExceptionState
	}
	policies, counts := c.deps.Policies(), map[series]int{}
	for _, x := range gatekeeper.DescribeExceptions(policies, uses, c.deps.Now()) {
		counts[series{x.Policy, x.State}]++
		if x.Unused {
			counts[series{x.Policy, gatekeeper.ExceptionUnused}]++
		}
	}
	for _, p := range policies { // those of licences; what they are needed for is not recorded
		if l := p.Spec().Licenses; l != nil {
			for _, x := range l.Exceptions {
				counts[series{p.Name(), gatekeeper.ExceptionStateOf(policy.Exception{Expires: x.Expires}, c.deps.Now())}]++
			}
		}
	}
	for _, p := range policies {
		for _, state := range gatekeeper.ExceptionStates() {
			if err == nil || state != gatekeeper.ExceptionUnused {
				ch <- gauge(c.exceptions, float64(counts[series{p.Name(), state}]), p.Name(), string(state))
			}
		}
	}
}
