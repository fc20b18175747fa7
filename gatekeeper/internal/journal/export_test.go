package journal

import "context"

// Forget does what the periodic work of retention does.
func (j *Journal) Forget(ctx context.Context) error { return j.forget(ctx) }
