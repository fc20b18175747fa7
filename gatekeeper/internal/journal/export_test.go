package journal

import (
	"context"
	"fmt"
)

// Forget does what the periodic work of retention does.
func (j *Journal) Forget(ctx context.Context) error { return j.forget(ctx) }

// FillUp has SQLite say that the disk is full until free is called.
func (j *Journal) FillUp(ctx context.Context) (free func(context.Context) error, err error) {
	s, ok := j.engine.(*sqlite)
	if !ok {
		return nil, fmt.Errorf("%T is no file", j.engine)
	}
	limit := func(ctx context.Context, pages int) error {
		_, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		return err
	}
	return func(ctx context.Context) error { return limit(ctx, 1<<30) }, limit(ctx, 1) // no less than there are
}
