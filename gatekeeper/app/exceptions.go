package app

import (
	"context"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// exceptions tells what the exceptions of the policies in force are needed for.
type exceptions struct {
	policies func() []*policy.Compiled
	journal  *journal.Journal
}

// Exceptions implements web.Exceptions.
func (e exceptions) Exceptions(ctx context.Context) ([]gatekeeper.ExceptionStatus, error) {
	uses, err := e.journal.ExceptionUses(ctx)
	if err != nil {
		return nil, err
	}
	return gatekeeper.DescribeExceptions(e.policies(), uses, time.Now()), nil
}
