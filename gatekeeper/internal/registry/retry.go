package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// What is asked for again within one call is a hiccup: a connection that was
// cut, a proxy between two restarts. What lasts longer is the caller's to
// retry, who can do something else meanwhile.
const (
	maxAttempts = 3
	// firstPause and nextPause bound the waits before the second and the third
	// attempt. Each is anything between nothing and that ("full jitter"): those
	// who failed together do not come back together.
	firstPause = 500 * time.Millisecond
	nextPause  = 2 * time.Second
	// patience is the longest Retry-After that a call waits for. Whoever asks
	// for more is left alone until then, and the call fails.
	patience = 5 * time.Second
	// retryWithin is how long after its beginning a call may still ask again.
	retryWithin = 10 * time.Second
)

// retry calls try until it succeeds, fails for good, or was called
// maxAttempts times. Try sends the request and takes what it needs of the
// answer, so that one that is cut off half way is asked for again.
func retry[T any](ctx context.Context, c *client, r request, try func() (T, error)) (T, error) {
	begun := c.now()
	for n := 1; ; n++ {
		got, err := try()
		if err == nil || n == maxAttempts || !r.repeatable() || !passing(err) || ctx.Err() != nil {
			return got, err
		}
		wait := pauseAfter(n, err)
		if wait > patience || !c.inTime(ctx, begun, wait) {
			return got, err
		}
		if cause := sleep(ctx, wait); cause != nil {
			return got, fmt.Errorf("%w (not tried again: %w)", err, cause)
		}
		c.health.RegistryRetry(c.name)
	}
}

// repeatable says whether a request can be sent again: a stream was read when
// it was sent.
func (r request) repeatable() bool { return r.body == nil }

// passing says whether a failure may be over in a moment.
func passing(err error) bool {
	if errors.Is(err, gatekeeper.ErrInvalidContent) || errors.Is(err, gatekeeper.ErrNotFound) {
		return false
	}
	if held, ok := errors.AsType[*heldError](err); ok {
		return held.probing
	}
	if _, ok := errors.AsType[*brokenError](err); ok {
		return true
	}
	refused, ok := errors.AsType[*Error](err)
	return ok && (outage(refused.StatusCode) || refused.StatusCode == http.StatusTooManyRequests || refused.StatusCode == http.StatusRequestTimeout)
}

// outage says whether a status means that the server, or what is behind it,
// does not work.
func outage(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pauseAfter is how long to wait after the n-th failure.
func pauseAfter(n int, err error) time.Duration {
	longest := firstPause
	if n > 1 {
		longest = nextPause
	}
	jitter := rand.N(longest) //nolint:gosec // spreads load, hides nothing
	refused, ok := errors.AsType[*Error](err)
	if !ok || refused.StatusCode == 0 || refused.Wait == 0 {
		return jitter
	}
	if refused.Wait > patience {
		return refused.Wait
	}
	return min(refused.Wait+jitter, patience)
}

// inTime says whether there is still time for another attempt after a wait.
func (c *client) inTime(ctx context.Context, begun time.Time, wait time.Duration) bool {
	then := c.now().Add(wait)
	if deadline, ok := ctx.Deadline(); ok && then.After(deadline) {
		return false
	}
	return !then.After(begun.Add(retryWithin))
}

// sleep returns early, with the cause, when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
