package journal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// The limits of counting golden images, which takes seconds where there are
// hundreds of thousands, while every process is asked each few seconds.
const (
	// countShare is how much longer counts are good for than they took to
	// make, so that counting takes no more than a twentieth of the time.
	countShare = 20
	maxCounted = 30 * time.Second // counts are good for no longer
	// maxStale is how old counts may be that are told while others are made.
	maxStale     = 2 * time.Minute
	countTimeout = 50 * time.Second
)

// goldenCounts are the counts of golden images that were made last.
type goldenCounts struct {
	wanted chan struct{}
	mu     sync.Mutex
	made   chan struct{} // closed when there are new counts, or an error
	last   counted
}

func newGoldenCounts() goldenCounts {
	return goldenCounts{wanted: make(chan struct{}, 1), made: make(chan struct{})}
}

// counted is what came of counting.
type counted struct {
	list []gatekeeper.GoldenCount // nil: never counted
	// rebuilds are the images that need a rebuild, by policy; nil when that
	// could not be found out, which rebuildsErr says why.
	rebuilds    map[string]int
	rebuildsErr error
	began       time.Time // what list was true at
	took        time.Duration
	err         error // of the last attempt, which was after list was made
}

// fresh says whether counts are good enough to be told again.
func (c counted) fresh(now time.Time) bool {
	return c.list != nil && now.Sub(c.began) < min(countShare*c.took, maxCounted)
}

// GoldenImages counts the images that golden tags point to, by the policies
// that let them through. Where that takes long, what is returned is from up to
// half a minute ago, or two while it is counted anew.
func (j *Journal) GoldenImages(ctx context.Context) ([]gatekeeper.GoldenCount, error) {
	last, err := j.counts(ctx)
	return slices.Clone(last.list), err
}

// RebuildsNeeded counts the images that golden tags point to whose golden base
// has a newer release, by the policies that let them through; as old as what
// GoldenImages returns.
func (j *Journal) RebuildsNeeded(ctx context.Context) (map[string]int, error) {
	last, err := j.counts(ctx)
	if err == nil {
		err = last.rebuildsErr
	}
	return maps.Clone(last.rebuilds), err
}

// counts returns what was counted, and has it counted when that is too old.
func (j *Journal) counts(ctx context.Context) (counted, error) {
	g := &j.golden
	g.mu.Lock()
	last, made := g.last, g.made
	g.mu.Unlock()
	if last.fresh(j.steady.now()) {
		return last, nil
	}
	select {
	case g.wanted <- struct{}{}:
	default: // somebody else asked for it
	}
	select {
	case <-made:
		g.mu.Lock()
		last = g.last
		g.mu.Unlock()
		return last, last.err
	case <-j.closed:
		return counted{}, errClosed
	case <-ctx.Done():
		if last.list != nil && j.steady.now().Sub(last.began) < maxStale {
			return last, nil
		}
		return counted{}, fmt.Errorf("count golden images: %w", ctx.Err())
	}
}

// countLoop counts when that is wanted, until the journal is closed.
func (j *Journal) countLoop() {
	for {
		select {
		case <-j.golden.wanted:
			if !j.golden.last.fresh(j.steady.now()) { // only this loop writes it
				j.recount()
			}
		case <-j.closed:
			return
		}
	}
}

func (j *Journal) recount() {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	j.wg.Go(func() {
		select {
		case <-j.closed:
			cancel()
		case <-ctx.Done():
		}
	})
	began := j.steady.now()
	list, err := j.countGolden(ctx)
	rebuilds, rebuildsErr := j.countRebuilds(ctx)
	g := &j.golden
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last.err = err; err == nil {
		g.last = counted{list: list, rebuilds: rebuilds, rebuildsErr: rebuildsErr, began: began, took: j.steady.now().Sub(began)}
	}
	close(g.made)
	g.made = make(chan struct{})
}
