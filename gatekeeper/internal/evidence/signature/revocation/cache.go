package revocation

import (
	"context"
	"maps"
	"sync"
	"time"
)

// maxEntries bounds the cache: a few hundred bytes each.
const maxEntries = 10_000

// cacheKey is a URL with a certificate and its issuer, or a URL alone for what
// could not be read at all.
type cacheKey struct{ url, certificate, issuer [32]byte }

type entry struct {
	verdict verdict
	err     error
	until   time.Time
}

// cache remembers answers while they hold. Its zero value with a clock is
// ready.
type cache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[cacheKey]entry
}

func (c *cache) get(k cacheKey) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	return e, ok && c.now().Before(e.until)
}

func (c *cache) put(k cacheKey, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxEntries {
		now := c.now()
		maps.DeleteFunc(c.entries, func(_ cacheKey, e entry) bool { return !now.Before(e.until) })
	}
	if c.entries == nil || len(c.entries) >= maxEntries {
		c.entries = map[cacheKey]entry{} // everything is asked again
	}
	c.entries[k] = e
}

// turns lets one at a time ask a URL. URLs share turns by chance, so that
// there is a fixed number of them.
type turns []chan struct{}

func newTurns() turns {
	t := make(turns, 256)
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

func (t turns) wait(ctx context.Context, k cacheKey) (done func(), err error) {
	turn := t[k.url[0]]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
