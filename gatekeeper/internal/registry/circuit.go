package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// A circuit opens when nothing but failures came back for downFor, and at
// least downAfter of them. The count alone would not do: of many requests
// under way one hiccup fails all. The time alone would not do either: two
// failures an hour apart say nothing. Any answer in between starts over.
const (
	downAfter = 5
	downFor   = 5 * time.Second
	// pause is how long an open circuit lets nothing through, before one
	// request finds out; each process takes up to twice as long, so that
	// several do not find out at the same moment.
	pause = 15 * time.Second
	// probeTime is when to come back while one request finds out.
	probeTime = time.Second
)

// circuit keeps requests away from one server while it is down or has asked to
// be left alone. A nil circuit lets everything through.
type circuit struct {
	server  string // "the registry"
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	now     func() time.Time
	log     *slog.Logger
	changed func(open bool)

	since time.Time // of the first failure in a row; guarded by the breaker

	mu        sync.Mutex
	restUntil time.Time // the server asked for it
	openUntil time.Time
	last      string // failure
}

// heldError says that nothing was sent.
type heldError struct {
	reason  string
	wait    time.Duration
	probing bool // it may be over in a moment
}

// Error is why.
func (e *heldError) Error() string { return e.reason }

func (c *client) newCircuit(server string) *circuit {
	return newCircuit(&circuit{server: server, now: c.now, log: c.log, changed: func(open bool) {
		c.openCircuits.report(open, func(anyOpen bool) { c.health.RegistryCircuit(c.name, anyOpen) })
	}})
}

func newCircuit(c *circuit) *circuit {
	closedAgainAfter := pause + rand.N(pause) //nolint:gosec // spreads load, hides nothing
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Timeout: closedAgainAfter,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			if counts.ConsecutiveFailures == 1 {
				c.since = c.now()
			}
			return counts.ConsecutiveFailures >= downAfter && c.now().Sub(c.since) >= downFor
		},
		IsExcluded: func(err error) bool { return err != nil && !itsFault(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			c.turned(from, to, closedAgainAfter)
		},
	})
	return c
}

// itsFault says whether a failure tells that the server is down. What the
// caller gave up, or could not read, does not.
func itsFault(err error) bool {
	if _, ok := errors.AsType[*sourceError](err); ok {
		return false
	}
	_, ok := errors.AsType[*brokenError](err)
	return ok
}

// turned keeps books of the circuit's state, and says it once.
func (c *circuit) turned(from, to gobreaker.State, closedFor time.Duration) {
	c.mu.Lock()
	until, last := c.now().Add(closedFor), c.last
	if to == gobreaker.StateOpen {
		c.openUntil = until
	}
	c.mu.Unlock()
	switch {
	case from == gobreaker.StateClosed:
		c.changed(true)
		c.log.Warn("a server does not answer; nothing is sent to it for a while", "server", c.server, "until", until.UTC(), "failure", last)
	case to == gobreaker.StateClosed:
		c.changed(false)
		c.log.Info("a server answers again", "server", c.server)
	}
}

// refuses returns an error while nothing is sent.
func (c *circuit) refuses() error {
	if c == nil {
		return nil
	}
	if rest := c.resting(); rest > patience {
		return c.held(rest, "asked to be left alone")
	}
	if c.breaker.State() == gobreaker.StateOpen {
		return c.open()
	}
	return nil
}

func (c *circuit) resting() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restUntil.Sub(c.now())
}

func (c *circuit) open() error {
	c.mu.Lock()
	left, last := c.openUntil.Sub(c.now()), c.last
	c.mu.Unlock()
	held := c.held(max(left, probeTime), "does not answer")
	held.reason += "; the last failure: " + last
	return held
}

func (c *circuit) held(wait time.Duration, why string) *heldError {
	until := c.now().Add(wait).UTC().Format(time.RFC3339)
	return &heldError{wait: wait, reason: fmt.Sprintf("%s %s: nothing is sent to it until %s", c.server, why, until)}
}

// enter lets a request through, after a short rest that the server asked for.
// Leave has to be called with what came back.
func (c *circuit) enter(ctx context.Context) (leave func(*http.Response, error), err error) {
	if c == nil {
		return func(*http.Response, error) {}, nil
	}
	if rest := c.resting(); rest > 0 && rest <= patience {
		jitter := rand.N(firstPause) //nolint:gosec // spreads load, hides nothing
		if err := sleep(ctx, rest+jitter); err != nil {
			return nil, err
		}
	}
	if err := c.refuses(); err != nil {
		return nil, err
	}
	done, err := c.breaker.Allow()
	switch {
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		held := c.held(probeTime, "did not answer, and one request finds out whether it does again")
		held.probing = true
		return nil, held
	case err != nil:
		return nil, c.open()
	}
	return func(resp *http.Response, err error) { done(c.judge(resp, err)) }, nil
}

// judge takes what an answer says about the server.
func (c *circuit) judge(resp *http.Response, err error) error {
	if err == nil && outage(resp.StatusCode) {
		err = &brokenError{fmt.Errorf("status %d", resp.StatusCode)}
	}
	if resp != nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		c.rest(retryAfter(resp, c.now))
	}
	if err != nil && itsFault(err) {
		c.mu.Lock()
		c.last = clean(err.Error())
		c.mu.Unlock()
	}
	return err
}

// rest leaves the server alone for a time.
func (c *circuit) rest(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.now().Add(d)
	if !until.After(c.restUntil) {
		return
	}
	if d > patience && c.restUntil.Sub(c.now()) <= patience {
		c.log.Warn("a server asks to be left alone; nothing is sent to it until then", "server", c.server, "until", until.UTC())
	}
	c.restUntil = until
}

// openCircuits counts the open circuits of a client, for whoever asks only
// whether there are any. The zero value is ready.
type openCircuits struct {
	mu sync.Mutex
	n  int
}

// report hands on whether any circuit is open, one change after the other.
func (o *openCircuits) report(open bool, tell func(anyOpen bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if open {
		o.n++
	} else {
		o.n--
	}
	tell(o.n > 0)
}

// unobserved is a Health that nobody asks.
type unobserved struct{}

// RegistryRetry implements Health.
func (unobserved) RegistryRetry(string) {}

// RegistryCircuit implements Health.
func (unobserved) RegistryCircuit(string, bool) {}
