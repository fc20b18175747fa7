package scan

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// largeImage is how many bytes of compressed layers make an image a large one.
const largeImage = 1 << 30

// places bound how many images are scanned at a time. Large images share all
// places but one, so that small ones always get on; when there is but one
// place, they share it. Images of a kind get theirs in the order in which they
// came.
type places struct {
	all   *semaphore.Weighted
	large *semaphore.Weighted
}

func newPlaces(n int64) places {
	return places{all: semaphore.NewWeighted(n), large: semaphore.NewWeighted(max(1, n-1))}
}

// take waits for a place for an image of a size, in bytes.
func (p places) take(ctx context.Context, size int64) (giveBack func(), err error) {
	if size < largeImage {
		if err := p.all.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		return func() { p.all.Release(1) }, nil
	}
	// In this order: a large image that waits for other large ones is not in
	// the way of small ones.
	if err := p.large.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := p.all.Acquire(ctx, 1); err != nil {
		p.large.Release(1)
		return nil, err
	}
	return func() {
		p.all.Release(1)
		p.large.Release(1)
	}, nil
}
