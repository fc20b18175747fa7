package registry

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps what was read and hashed, up to a number of bytes in all; what
// was not used for longest goes first. It is safe for concurrent use.
type cache[V any] struct {
	size  func(V) int64
	max   int64 // bytes
	mu    sync.Mutex
	bytes int64
	lru   *simplelru.LRU[string, V]
}

// maxCached bounds the number of entries, whose keys take space too.
const maxCached = 4096

func newCache[V any](bytes int64, size func(V) int64) (*cache[V], error) {
	c := &cache[V]{size: size, max: bytes}
	var err error
	c.lru, err = simplelru.NewLRU(maxCached, func(_ string, v V) { c.bytes -= size(v) })
	return c, err
}

func (c *cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(key)
}

func (c *cache[V]) add(key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(key) // the callback takes its bytes off
	c.lru.Add(key, v)
	for c.bytes += c.size(v); c.bytes > c.max; {
		if _, _, ok := c.lru.RemoveOldest(); !ok {
			return
		}
	}
}
