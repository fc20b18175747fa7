package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
)

// The limits of what a worker prints, in bytes.
const (
	maxResponse = 64 << 20
	maxStderr   = 4 << 10
)

// waitDelay is how long what a worker wrote is waited for after its end.
const waitDelay = 5 * time.Second

// run has a worker look at an image.
func (s *Scanner) run(ctx context.Context, dir string, request Request) (Response, error) {
	input, err := json.Marshal(request)
	if err != nil {
		return Response{}, err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return Response{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return Response{}, fmt.Errorf("find the scanner's program: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	worker := exec.CommandContext(ctx, self, WorkerArgument) //nolint:gosec // this program itself
	worker.Dir = dir
	worker.Env = environment(tmp, request.Limits)
	worker.Cancel = func() error { return confine.Kill(worker) }
	worker.WaitDelay = waitDelay
	worker.Stdin = bytes.NewReader(input)
	stdout, stderr := &limited{max: maxResponse}, &limited{max: maxStderr, truncate: true}
	worker.Stdout, worker.Stderr = stdout, stderr
	var guards sync.WaitGroup
	err = confine.Cell{
		Kernel: s.kernel(), Read: []string{dir, s.opts.Database}, Write: []string{tmp},
		Started: func(pid int) {
			// In another thread, which may do more.
			guards.Go(func() { cancel(s.guard(ctx, tmp, pid, request.Limits.Unpacked)) })
		},
	}.Run(worker)
	why := context.Cause(ctx)
	cancel(nil)
	guards.Wait()
	switch {
	case why != nil:
		return Response{}, why
	case err != nil:
		return Response{}, ended(err, stderr.kept.String(), request.Limits)
	}
	var response Response
	if err := json.Unmarshal(stdout.kept.Bytes(), &response); err != nil {
		return Response{}, fmt.Errorf("the scanner's answer cannot be read: %w", err)
	}
	return response, nil
}

// environment is all that a worker has. It can read nothing about a limit of
// processors, which is passed on.
func environment(tmp string, l Limits) []string {
	return []string{
		"TMPDIR=" + tmp, "HOME=" + tmp,
		fmt.Sprintf("GOMEMLIMIT=%d", l.Memory/8*3), fmt.Sprintf("GOMAXPROCS=%d", runtime.GOMAXPROCS(0)),
	}
}

// guard watches over a worker until ctx ends. It returns why the worker has to
// end.
func (s *Scanner) guard(ctx context.Context, tmp string, pid int, most uint64) error {
	if err := confine.EndFirst(pid); err != nil {
		s.opts.Log.DebugContext(ctx, "the kernel does not know that scans are to end first when memory runs out", slog.Any("error", err))
	}
	return watch(ctx, tmp, pid, most)
}

// ended puts the end of a worker into words.
func ended(err error, stderr string, limits Limits) error {
	if errors.Is(err, errTooMuch) {
		return fmt.Errorf("the scanner's answer has more than the %d MiB that are read", maxResponse>>20)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("start the scanner: %w", err)
	}
	first, _, _ := strings.Cut(stderr, "\n")
	status, _ := exit.Sys().(syscall.WaitStatus)
	switch {
	case confine.OutOfMemory(stderr):
		return fmt.Errorf("the scanner needed more than %d MiB of memory (scanner.memory) and was ended", limits.Memory>>20)
	case confine.OutOfTime(stderr) || status.Signaled() && status.Signal() == syscall.SIGXCPU:
		return fmt.Errorf("the scanner needed more than %d s of CPU time (scanner.timeout) and was ended", limits.CPU)
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return fmt.Errorf("the scanner was killed: there was no more memory for it, in the container or on the machine, "+
			"though it may use %d MiB (scanner.memory), or it needed more than %d s of CPU time (scanner.timeout)", limits.Memory>>20, limits.CPU)
	}
	return fmt.Errorf("the scanner crashed (%w): %s", exit, plain.Line(first, maxReason))
}

// errTooMuch says that a worker printed more than is read.
var errTooMuch = errors.New("too much output")

// limited keeps what is written up to a limit. The buffer is no embedded one,
// whose ReadFrom would go past the limit in io.Copy.
type limited struct {
	kept     bytes.Buffer
	max      int
	truncate bool // drop the rest instead of failing
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	left := l.max - l.kept.Len()
	if len(p) <= left {
		return l.kept.Write(p)
	}
	if !l.truncate {
		return 0, errTooMuch
	}
	if _, err := l.kept.Write(p[:left]); err != nil {
		return 0, err
	}
	return len(p), nil
}

var _ io.Writer = (*limited)(nil)
