package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// seldomInterval is how long a message is not logged again. While PostgreSQL
// is down, each worker of River says so many times a second.
const seldomInterval = 10 * time.Second

// seldom is a handler that drops what is below a level, and what was said
// already just before.
type seldom struct {
	slog.Handler
	level slog.Level
	said  *said
}

// said remembers when messages were logged. River has a few dozen.
type said struct {
	mu sync.Mutex
	at map[string]time.Time
}

func newSeldom(h slog.Handler, level slog.Level) seldom {
	return seldom{h, level, &said{at: map[string]time.Time{}}}
}

// Enabled implements slog.Handler.
func (h seldom) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h seldom) Handle(ctx context.Context, r slog.Record) error {
	if h.said.lately(r.Message) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	return seldom{h.Handler.WithAttrs(attrs), h.level, h.said}
}

// WithGroup implements slog.Handler.
func (h seldom) WithGroup(name string) slog.Handler {
	return seldom{h.Handler.WithGroup(name), h.level, h.said}
}

func (s *said) lately(message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now() //nolint:forbidigo // the monotonic clock
	if at, known := s.at[message]; known && now.Sub(at) < seldomInterval {
		return true
	}
	s.at[message] = now
	return false
}
