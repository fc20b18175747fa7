// Command gatekeeper decides which container images may be called golden.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

func main() {
	// The confined scanner is this binary, started again: before anything
	// else is looked at.
	if code, worker := app.Worker(os.Args); worker {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// exitCode prints the error and chooses the exit status: what a command says
// about an image is a status without an error text.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[*app.StatusError](err); ok {
		if status.Err != nil {
			fmt.Fprintln(os.Stderr, "gatekeeper:", status.Err)
		}
		return status.Code
	}
	fmt.Fprintln(os.Stderr, "gatekeeper:", err)
	return app.StatusUsage
}
