package registry

import (
	"context"
	"fmt"
	"sync"
)

// flight lets concurrent callers with the same key share one call. The call
// outlives the caller that began it, and ends early only when every caller has
// given up. The zero value is ready.
type flight[V any] struct {
	mu    sync.Mutex
	calls map[string]*call[V]
}

type call[V any] struct {
	done    chan struct{} // closed when value and err are set
	cancel  context.CancelFunc
	waiting int // guarded by flight.mu
	value   V
	err     error
}

// do returns what fetch returns, or the context's error.
func (f *flight[V]) do(ctx context.Context, key string, fetch func(context.Context) (V, error)) (V, error) {
	c := f.join(ctx, key, fetch)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		f.leave(key, c)
		var none V
		return none, fmt.Errorf("wait for the registry: %w", ctx.Err())
	}
}

func (f *flight[V]) join(ctx context.Context, key string, fetch func(context.Context) (V, error)) *call[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		c.waiting++
		return c
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &call[V]{done: make(chan struct{}), cancel: cancel, waiting: 1}
	if f.calls == nil {
		f.calls = map[string]*call[V]{}
	}
	f.calls[key] = c
	go func() {
		defer close(c.done)
		defer cancel()
		defer f.forget(key, c)
		// In a goroutine of its own a panic would end the process, whoever
		// asked; here it is that caller's "don't know".
		defer func() {
			if p := recover(); p != nil {
				c.err = fmt.Errorf("panic: %v", p)
			}
		}()
		c.value, c.err = fetch(running)
	}()
	return c
}

// leave gives up waiting. Who comes later begins anew.
func (f *flight[V]) leave(key string, c *call[V]) {
	f.mu.Lock()
	c.waiting--
	last := c.waiting == 0
	f.mu.Unlock()
	if last {
		f.forget(key, c)
		c.cancel()
	}
}

func (f *flight[V]) forget(key string, c *call[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
