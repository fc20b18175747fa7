package keys

import (
	"context"
	"fmt"
	"time"
)

// How long a key management service may take for its answer.
const (
	loadTimeout = 30 * time.Second // opening a key, with its public half
	signTimeout = time.Minute
)

// within calls a key management service and returns when it has answered, the
// limit is over or ctx has ended, whichever is first. Not every service's
// client heeds a context (Vault's does not): such a call goes on by itself,
// and what comes of it is dropped.
func within[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("no answer from the key management service within %s: %w", limit, context.DeadlineExceeded))
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := guarded(ctx, call)
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil && ctx.Err() != nil {
			a.err = context.Cause(ctx)
		}
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// guarded makes an error of a panic: some clients do not expect answers that
// are empty (Vault's, to a request to sign).
func guarded[T any](ctx context.Context, call func(context.Context) (T, error)) (_ T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the key management service's answer is not understood: %v", p)
		}
	}()
	return call(ctx)
}
