package scan

import (
	"context"
	"fmt"
	"sync"
)

// shared has one scan run for all who ask for the same at a time. It ends early
// when none of them waits any more. The zero value is ready for use.
type shared struct {
	mu      sync.Mutex
	flights map[string]*flight
}

// flight is one scan and those who wait for it.
type flight struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	result  result
	err     error
}

// run runs the scan of a key, or waits for the one that is under way. The last
// one to give up waits until everything has ended.
func (s *shared) run(ctx context.Context, key string, scan func(context.Context) (result, error)) (result, error) {
	f := s.join(ctx, key, scan)
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	if s.leave(key, f) {
		<-f.done
	}
	return result{}, ctx.Err()
}

func (s *shared) join(ctx context.Context, key string, scan func(context.Context) (result, error)) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, under := s.flights[key]; under {
		f.waiting++
		return f
	}
	if s.flights == nil {
		s.flights = map[string]*flight{}
	}
	// It does not end with the first of those who wait.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{waiting: 1, cancel: cancel, done: make(chan struct{})}
	s.flights[key] = f
	go func() {
		defer close(f.done)
		defer s.land(key, f)
		defer func() {
			// In a goroutine of its own a panic would end the service.
			if r := recover(); r != nil {
				f.err = fmt.Errorf("the scan panicked: %v", r)
			}
		}()
		f.result, f.err = scan(ctx)
	}()
	return f
}

// leave says whether the one who leaves was the last.
func (s *shared) leave(key string, f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.waiting--
	if f.waiting > 0 {
		return false
	}
	f.cancel()
	s.forget(key, f)
	return true
}

// land ends a flight: who asks from now on starts another.
func (s *shared) land(key string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.cancel()
	s.forget(key, f)
}

func (s *shared) forget(key string, f *flight) {
	if s.flights[key] == f {
		delete(s.flights, key)
	}
}
