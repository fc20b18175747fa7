package telemetry

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// scrapeTimeout bounds the queries of one scrape.
const scrapeTimeout = 5 * time.Second

// State is read at each scrape.
type State interface {
	Queue(ctx context.Context) (gatekeeper.Queue, error)
	GoldenImages(ctx context.Context) ([]gatekeeper.GoldenCount, error)
	// ExceptionUses lists the exceptions that newest judgements needed.
	ExceptionUses(ctx context.Context) ([]gatekeeper.ExceptionUse, error)
	// RebuildsNeeded counts golden images on outdated bases, by policy.
	RebuildsNeeded(ctx context.Context) (map[string]int, error)
}

// collector reads at each scrape what has a state rather than a count. What
// cannot be read is reported as an error of the scrape, never as zero.
type collector struct {
	deps Deps

	queue, oldest, golden, rebuilds, exceptions, databaseAge *prometheus.Desc
}

func newCollector(deps Deps) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		deps:        deps,
		queue:       desc("gatekeeper_queue_pushes", "Pushes that are not finished, by state.", "state"),
		oldest:      desc("gatekeeper_queue_oldest_seconds", "Age of the oldest push that waits for the gatekeeper; awaited evidence does not count."),
		golden:      desc("gatekeeper_golden_images", "Images that golden tags point to, by whether the newest judgement still says yes.", "policy", "compliant"),
		rebuilds:    desc("gatekeeper_golden_images_rebuild_needed", "Images that golden tags point to, built on a golden base of which there is a newer release.", "policy"),
		exceptions:  desc("gatekeeper_exceptions", "Exceptions in force (active), ending within 14 days (expiring) and past (expired); of those in force, what no newest judgement needs (unused).", "policy", "state"),
		databaseAge: desc("gatekeeper_scanner_database_age_seconds", "Age of the vulnerability database; +Inf when there is none."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.queue, c.oldest, c.golden, c.rebuilds, c.exceptions, c.databaseAge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	c.collectQueue(ctx, ch)
	c.collectGolden(ctx, ch)
	c.collectRebuilds(ctx, ch)
	c.collectExceptions(ctx, ch)
	age := math.Inf(1)
	if built, ok := c.deps.Database(); ok {
		age = c.deps.Now().Sub(built).Seconds()
	}
	ch <- gauge(c.databaseAge, age)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c *collector) collectQueue(ctx context.Context, ch chan<- prometheus.Metric) {
	q, err := c.deps.State.Queue(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.queue, fmt.Errorf("read the queue: %w", err))
		return
	}
	for state, n := range q.Pushes {
		ch <- gauge(c.queue, float64(n), state)
	}
	ch <- gauge(c.oldest, q.Oldest.Seconds())
}

func (c *collector) collectGolden(ctx context.Context, ch chan<- prometheus.Metric) {
	counts, err := c.deps.State.GoldenImages(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.golden, fmt.Errorf("count golden images: %w", err))
		return
	}
	// A policy that is gone keeps its images, under the name none.
	images := map[string]map[bool]int{noPolicy: {}}
	for _, p := range c.deps.Policies() {
		images[p.Name()] = map[bool]int{}
	}
	for _, n := range counts {
		name := n.Policy
		if images[name] == nil {
			name = noPolicy
		}
		images[name][n.Compliant] += n.Images
	}
	for name, byCompliance := range images {
		for _, compliant := range []bool{true, false} {
			ch <- gauge(c.golden, float64(byCompliance[compliant]), name, strconv.FormatBool(compliant))
		}
	}
}
