package bench_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// latency of the registries in BenchmarkDrain.
const latency = 20 * time.Millisecond

// strongRegistries are limits that do not bound how fast replicas are together:
// those of a registry hold for all of them, and are for 16 requests at a time.
const strongRegistries = "{concurrent: 128}"

// BenchmarkDrain queues many signed pushes and measures how fast one, two and
// three replicas, which share a PostgreSQL, promote them between registries
// that take 20 ms for each answer: throughput has to grow, and what one
// promotion asks of the registries must not.
func BenchmarkDrain(b *testing.B) {
	n := setting(b, "GATEKEEPER_BENCH_DRAIN", 10_000)
	var alone float64
	for _, replicas := range []int{1, 2, 3} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			rate := drain(b, n, replicas)
			if replicas == 1 {
				alone = rate
			}
			b.ReportMetric(rate/alone, "times-one-replica")
		})
	}
}

func drain(b *testing.B, n, replicas int) (rate float64) {
	b.Helper()
	storage := postgres.Start(b).NewDatabase(b)
	staging, golden := newRegistry(b, stalled), newRegistry(b, latency)
	images := newFactory(b, staging)
	services := make([]*harness.Stack, replicas)
	for i := range services {
		services[i] = serve(b, images, golden, storage, "", strongRegistries)
	}
	b.Cleanup(func() { staging.setPace(0) })
	queue(b, services[0], images, 0, n, func(i int) string { return fmt.Sprintf("team-%d/app", i%1000) })
	complete := golden.await(n)
	before := processorTimes(b, services)
	start := time.Now()
	staging.setPace(latency)
	select {
	case <-complete:
	case <-time.After(time.Hour):
		b.Fatalf("%d of %d pushes are golden after an hour", golden.tags(), n)
	}
	took := time.Since(start)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/took.Seconds(), "pushes/s")
	for i, after := range processorTimes(b, services) {
		b.ReportMetric((after - before[i]).Seconds(), fmt.Sprintf("CPU-s-replica-%d", i+1))
	}
	b.ReportMetric(each(b, "staging", staging.requests(), n), "staging-requests/push")
	b.ReportMetric(each(b, "golden", golden.requests(), n), "golden-requests/push")
	return float64(n) / took.Seconds()
}

func processorTimes(b *testing.B, services []*harness.Stack) []time.Duration {
	b.Helper()
	var all []time.Duration
	for _, s := range services {
		all = append(all, processorTime(b, s.Process.Cmd.Process.Pid))
	}
	return all
}

// each is how often a registry was asked for each push; what for is logged.
func each(b *testing.B, name string, requests map[string]int, n int) float64 {
	b.Helper()
	total := 0
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(requests)) {
		total += requests[kind]
		kinds = append(kinds, fmt.Sprintf("%s %.2f", kind, float64(requests[kind])/float64(n)))
	}
	b.Logf("%s, for each push: %s", name, strings.Join(kinds, ", "))
	return float64(total) / float64(n)
}
