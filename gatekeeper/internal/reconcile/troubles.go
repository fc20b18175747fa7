package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

const (
	maxLogged = 10 // troubles of one walk that are logged
	maxInARow = 10 // passing troubles in a row after which the registry is taken to be down
	wholeWalk = "" // the repository of what concerns all of them
)

// troubles collects what went wrong on a walk, and ends the walk when going on
// is of no use.
type troubles struct {
	log    *slog.Logger
	source string
	end    context.CancelCauseFunc

	mu     sync.Mutex
	first  error
	count  int
	inARow int
}

// add notes a trouble. What the end of the walk interrupted is none.
func (t *troubles) add(ctx context.Context, repository string, err error) {
	if ctx.Err() != nil {
		return
	}
	if t.note(repository, err) {
		t.log.WarnContext(ctx, "not compared with the journal",
			slog.String("source", t.source), slog.String("repository", repository), slog.String("reason", err.Error()))
	}
}

func (t *troubles) note(repository string, err error) (logged bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count++; t.count == 1 {
		t.first = err
		if repository != wholeWalk {
			t.first = fmt.Errorf("%s: %w", repository, err)
		}
	}
	if t.inARow++; !passing(err) {
		t.inARow = 0
	}
	if rests(err) || t.inARow >= maxInARow {
		t.end(err)
	}
	return t.count <= maxLogged
}

// over notes that the registry answers.
func (t *troubles) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inARow = 0
}

// summary is nil when there was no trouble.
func (t *troubles) summary() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count <= 1 {
		return t.first
	}
	return fmt.Errorf("%w (the first of %d troubles)", t.first, t.count)
}

// resting is an error that says when to come back.
type resting interface {
	error
	RetryAfter() time.Duration
}

// rests says whether a registry does not want to be asked for now.
func rests(err error) bool {
	if wait, ok := errors.AsType[resting](err); ok && wait.RetryAfter() > 0 {
		return true
	}
	refused, ok := errors.AsType[*registry.Error](err)
	return ok && refused.StatusCode == http.StatusTooManyRequests
}

// passing says whether the registry failed, and not what was asked for.
func passing(err error) bool {
	failed, ok := errors.AsType[*registry.Error](err)
	return ok && failed.Temporary()
}
