//go:build failpoint

package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// failpointVariable names the step at which the process ends, and which time
// it is reached, from 1: STEP or STEP:N. With the value trace the process ends
// at none and prints those that it reaches.
const (
	failpointVariable = "GATEKEEPER_FAILPOINT"
	failpointTrace    = "trace"
)

// Failpoints prints the steps at which a process can be made to end.
func Failpoints(w io.Writer) error {
	steps := append(journal.Steps(), "push-blob", "blob-pushed", "put-manifest", "manifest-put")
	_, err := fmt.Fprintln(w, strings.Join(steps, "\n"))
	return err
}

// failpoint ends the process, as a kill -9 does, when the step of the
// environment is reached.
func failpoint() func(step string) {
	step, times, _ := strings.Cut(os.Getenv(failpointVariable), ":")
	switch step {
	case "":
		return nil
	case failpointTrace:
		return func(reached string) { fmt.Fprintln(os.Stderr, "reached", reached) }
	}
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil {
		n = 1
	}
	left := new(atomic.Int64)
	left.Store(n)
	return func(reached string) {
		if reached == step && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		}
	}
}

// watchWrites makes steps of the writes to golden registries.
func watchWrites(r promote.Registries, reached func(step string)) promote.Registries {
	if reached == nil {
		return r
	}
	return watched{r, reached}
}

type watched struct {
	promote.Registries
	reached func(step string)
}

func (w watched) PushBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, body io.Reader, begun *registry.Upload) error {
	w.reached("push-blob")
	defer w.reached("blob-pushed")
	return w.Registries.PushBlob(ctx, r, d, body, begun)
}

func (w watched) PutManifest(ctx context.Context, r registry.Repository, reference string, content registry.Content) (bool, error) {
	w.reached("put-manifest")
	defer w.reached("manifest-put")
	return w.Registries.PutManifest(ctx, r, reference, content)
}
