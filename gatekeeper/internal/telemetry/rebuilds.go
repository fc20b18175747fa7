package telemetry

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

func (c *collector) collectRebuilds(ctx context.Context, ch chan<- prometheus.Metric) {
	counts, err := c.deps.State.RebuildsNeeded(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.rebuilds, fmt.Errorf("count golden images on outdated bases: %w", err))
		return
	}
	images := map[string]int{noPolicy: 0}
	for _, p := range c.deps.Policies() {
		images[p.Name()] = 0
	}
	for name, n := range counts {
		if _, known := images[name]; !known {
			name = noPolicy
		}
		images[name] += n
	}
	for name, n := range images {
		ch <- gauge(c.rebuilds, float64(n), name)
	}
}
