package scan

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// queue takes places in a bubble of synctest and notes who got one.
type queue struct {
	places
	t   *testing.T
	mu  sync.Mutex
	got []string
	end map[string]func()
}

func (q *queue) take(ctx context.Context, name string, size int64) {
	go func() {
		end, err := q.places.take(ctx, size)
		if err != nil {
			name = "not " + name
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.got = append(q.got, name)
		q.end[name] = end
	}()
	synctest.Wait()
}

func (q *queue) finish(name string) {
	q.mu.Lock()
	end := q.end[name]
	q.mu.Unlock()
	end()
	synctest.Wait()
}

func (q *queue) wants(names ...string) {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Equal(q.got, names) {
		q.t.Errorf("%v have a place, want %v", q.got, names)
	}
}

func newQueue(t *testing.T, n int64) *queue {
	t.Helper()
	return &queue{places: newPlaces(n), t: t, end: map[string]func(){}}
}

const (
	small = 50 << 20
	large = 20 << 30
)

func TestLargeImagesLeaveAPlaceToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 2)
		q.take(t.Context(), "large 1", large)
		q.take(t.Context(), "large 2", large)
		q.take(t.Context(), "large 3", large)
		q.wants("large 1")
		q.take(t.Context(), "small 1", small)
		q.wants("large 1", "small 1")
		q.finish("small 1")
		q.take(t.Context(), "small 2", small)
		q.wants("large 1", "small 1", "small 2")
		q.finish("large 1")
		q.wants("large 1", "small 1", "small 2", "large 2")
		q.finish("large 2")
		q.wants("large 1", "small 1", "small 2", "large 2", "large 3")
	})
}

func TestSmallImagesDoNotStarveLargeOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 2)
		q.take(t.Context(), "small 1", small)
		q.take(t.Context(), "small 2", small)
		q.take(t.Context(), "large", large)
		q.take(t.Context(), "small 3", small)
		q.finish("small 1")
		q.wants("small 1", "small 2", "large")
	})
}

func TestOnePlaceIsForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 1)
		q.take(t.Context(), "large", large)
		q.take(t.Context(), "small", small)
		q.wants("large")
		q.finish("large")
		q.wants("large", "small")
	})
}

// Who gives up waiting is in nobody's way.
func TestTheWaitForAPlaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		q.take(t.Context(), "small 1", small)
		q.take(t.Context(), "small 2", small)
		q.take(ctx, "large 1", large) // has the place of large images, waits for one of all
		q.take(ctx, "large 2", large)
		cancel()
		synctest.Wait()
		q.take(t.Context(), "large 3", large)
		q.finish("small 1")
		// The two end at the same time.
		if q.got[2] > q.got[3] {
			q.got[2], q.got[3] = q.got[3], q.got[2]
		}
		q.wants("small 1", "small 2", "not large 1", "not large 2", "large 3")
	})
}

// A scan that several wait for goes on until the last of them gives up, who
// waits for its end.
func TestASharedScanEndsWithTheLastWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s shared
		var started, ended int
		scan := func(ctx context.Context) (result, error) {
			started++
			<-ctx.Done()
			ended++
			return result{problem: "ended"}, ctx.Err()
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		gone := make(chan error, 2)
		for _, ctx := range []context.Context{first, second} {
			go func() {
				_, err := s.run(ctx, "key", scan)
				gone <- err
			}()
			synctest.Wait()
		}
		leaveFirst()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		if started != 1 || ended != 0 {
			t.Errorf("%d started, %d ended, want one that goes on", started, ended)
		}
		leaveSecond()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if ended != 1 {
			t.Error("the last one left before the scan had ended")
		}
		if r, err := s.run(t.Context(), "key", func(context.Context) (result, error) { return result{problem: "x"}, nil }); err != nil || r.problem != "x" {
			t.Errorf("after it: %+v, %v", r, err)
		}
	})
}

func TestAPanicEndsOneScan(t *testing.T) {
	t.Parallel()
	var s shared
	if _, err := s.run(t.Context(), "key", func(context.Context) (result, error) { panic("x") }); err == nil {
		t.Error("no error")
	}
}
