package registry

import "golang.org/x/time/rate"

// Share divides the limits of every registry among replicas of the service: a
// registry sees one service, however many processes it has. Requests that are
// under way are not touched. It may be called at any time; the zero of
// replicas counts as one.
func (r *Registries) Share(replicas int) {
	for _, c := range r.clients {
		c.share(max(replicas, 1))
	}
}

// share takes the n-th part of the limits; at least one request at a time.
func (c *client) share(n int) {
	concurrent := max(c.limits.Concurrent/n, 1)
	if perSecond := c.limits.RequestsPerSecond; perSecond > 0 {
		c.limiter.SetLimit(rate.Limit(perSecond / float64(n)))
	}
	c.limiter.SetBurst(concurrent)
	// Who holds a slot of before gives it back there.
	slots := make(chan struct{}, concurrent)
	c.slots.Store(&slots)
}
