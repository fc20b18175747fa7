package bench_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// atOnce is how many pushes one notification reports.
const atOnce = 500

// BenchmarkBacklog queues many pushes while the registry is too slow for any
// of them to be judged, one repository with a tenth of them and a thousand
// with the rest, and prints the memory of the service as the queue grows. Then
// the registry recovers and one more image is pushed, to another repository:
// how long its verdict takes and how much of the backlog was through by then
// say whether it overtook.
func BenchmarkBacklog(b *testing.B) {
	for _, e := range engines() {
		var overtook bool
		b.Run(e.name, func(b *testing.B) {
			n := setting(b, "GATEKEEPER_BENCH_BACKLOG", 100_000)
			staging, golden := newRegistry(b, stalled), newRegistry(b, recovered)
			images := newFactory(b, staging)
			s := serve(b, images, golden, e.storage(b), "", "")
			b.Cleanup(func() { staging.setPace(0) })
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(memory(b, s, "VmRSS"), "MiB-idle")
			start, queued := time.Now(), 0
			for _, mark := range []int{n / 100, n / 10, n} {
				queued = queue(b, s, images, queued, mark, backlogged)
				b.ReportMetric(memory(b, s, "VmRSS"), fmt.Sprintf("MiB-at-%d", mark))
			}
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "queued/s")
			staging.setPace(recovered)
			overtook = overtake(b, s, images, golden)
			b.ReportMetric(memory(b, s, "VmHWM"), "MiB-most")
		})
		if !overtook {
			b.Errorf("%s: a fresh push waits for the backlog; it is not golden after %s", e.name, patience)
		}
	}
}

// queue reports pushes from the n-th up to another, each to the repository that
// the function says, and returns the other.
func queue(b *testing.B, s *harness.Stack, images *factory, n, to int, repository func(int) string) int {
	b.Helper()
	for n < to {
		var pushes []push
		for ; len(pushes) < atOnce && n < to; n++ {
			pushes = append(pushes, images.image(b, repository(n), fmt.Sprintf("v%d", n)))
		}
		reportPushes(b, s, pushes...)
	}
	return n
}

// What an answer takes of a registry that gets nowhere, but is not taken for
// dead, and of one that is well.
const (
	stalled   = 15 * time.Second
	recovered = 20 * time.Millisecond
)

// patience is how long a fresh push may take to become golden.
const patience = 3 * time.Minute

// backlogged is the repository of the n-th push of the backlog.
func backlogged(n int) string {
	if n%10 == 0 {
		return "busy/app"
	}
	return fmt.Sprintf("team-%d/app", n%1000)
}

// overtake pushes a fresh image and reports what becomes of it. It is false when
// it did not become golden.
func overtake(b *testing.B, s *harness.Stack, images *factory, golden *registry) bool {
	b.Helper()
	fresh := images.image(b, "fresh/app", "v1")
	before, start := golden.tags(), time.Now()
	reportPushes(b, s, fresh)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !golden.has(fresh) && time.Since(start) < patience {
		<-tick.C
	}
	b.ReportMetric(time.Since(start).Seconds(), "fresh-s")
	b.ReportMetric(float64(golden.tags()-before), "golden-by-then")
	return golden.has(fresh)
}
