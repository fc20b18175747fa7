package bench_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// leastRatio is the least part of the baseline's rate that the intake has to
// reach.
const leastRatio = 0.5

// BenchmarkIntake measures how many notifications a second are accepted, each
// durable before it is answered, over some connections at a time; and, in
// turns with it, the baseline: a program that commits one row for each request
// to the same engine and looks at nothing. The ratio is what counts.
//
// Each notification is a push that will have to be judged, so that its job is
// stored too. Judging is kept out of the measurement by a registry that takes
// 15 seconds for each answer, and a single worker to wait for it.
func BenchmarkIntake(b *testing.B) {
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			storage := e.storage(b)
			staging := newRegistry(b, stalled)
			s := serve(b, newFactory(b, staging), newRegistry(b, 0), storage, "workers: 1\n", "")
			b.Cleanup(func() { staging.setPace(0) }) // the service stops with what is under way
			ours := &target{url: s.Webhooks + "/webhooks/staging", body: anyPush}
			theirs := &target{url: startBaseline(b, e.storage(b)), body: anyPush}
			for _, connections := range []int{1, 16, 64} {
				var ratio float64
				b.Run(strconv.Itoa(connections), func(b *testing.B) { ratio = compare(b, connections, ours, theirs) })
				if ratio < leastRatio {
					defer b.Errorf("%d connections: %.2f of the baseline's rate; at least %.2f is wanted", connections, ratio, leastRatio)
				}
			}
		})
	}
}

// compare measures both in turns, so that whatever else the machine does meets
// both, and reports the medians of the rounds. A benchmark that fails prints no
// figures: what to make of the ratio is left to the caller.
func compare(b *testing.B, connections int, ours, theirs *target) (ratio float64) {
	b.Helper()
	const rounds, each = 7, time.Second
	var a, z measurement
	for range rounds {
		a.add(ours.measure(b, connections, each))
		z.add(theirs.measure(b, connections, each))
	}
	ratios := make([]float64, rounds)
	for i := range ratios {
		ratios[i] = a.rates[i] / z.rates[i]
	}
	ratio = middle(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(a.rates), "notifications/s")
	b.ReportMetric(middle(z.rates), "baseline/s")
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(a.percentile(50), "p50-ms")
	b.ReportMetric(a.percentile(99), "p99-ms")
	b.ReportMetric(z.percentile(99), "baseline-p99-ms")
	return ratio
}

// anyPush is a notification about the n-th push: an image that nobody knows,
// in one of a thousand repositories.
func anyPush(n int) string {
	return notification(push{
		repository: fmt.Sprintf("team-%d/app", n%1000), tag: fmt.Sprintf("v%d", n), digest: fmt.Sprintf("sha256:%064x", n), event: n,
	})
}

// target is what requests are sent to.
type target struct {
	url  string
	body func(n int) string
	sent atomic.Int64
}

// measurement is what came of some rounds.
type measurement struct {
	rates     []float64 // answers a second, of each round
	latencies []time.Duration
}

func (m *measurement) add(rate float64, latencies []time.Duration) {
	m.rates = append(m.rates, rate)
	m.latencies = append(m.latencies, latencies...)
}

// percentile of the latencies, in milliseconds.
func (m *measurement) percentile(p int) float64 {
	slices.Sort(m.latencies)
	return m.latencies[len(m.latencies)*p/100].Seconds() * 1000
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// measure sends requests over some connections for some time.
func (t *target) measure(b *testing.B, connections int, during time.Duration) (rate float64, latencies []time.Duration) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: 30 * time.Second, Transport: transport}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for range connections {
		wg.Go(func() {
			var own []time.Duration
			for time.Since(start) < during {
				sent := time.Now()
				if err := t.send(b.Context(), client); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
		})
	}
	wg.Wait()
	rate = float64(len(latencies)) / time.Since(start).Seconds()
	if b.Failed() {
		b.FailNow()
	}
	return rate, latencies
}

func (t *target) send(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(t.body(int(t.sent.Add(1)))))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", eventsType)
	req.Header.Set("Authorization", "Bearer "+harness.WebhookSecret)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		err = errors.Join(err, fmt.Errorf("status %s", resp.Status))
	}
	return errors.Join(err, resp.Body.Close())
}

// startBaseline runs the baseline as a process of its own, as the gatekeeper
// is one, and returns its address.
func startBaseline(b *testing.B, storage string) string {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	_, address := harness.Start(b, harness.After("listening on ", ""), []string{baselineVariable + "=" + cmp.Or(storage, filepath.Join(b.TempDir(), "baseline.db"))}, program)
	return "http://" + address
}
