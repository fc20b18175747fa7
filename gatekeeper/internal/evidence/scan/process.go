package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
)

// The limits of what a worker prints, in bytes.
const (
	maxResponse = 64 << 20
	maxStderr   = 4 << 10
)

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
	worker := exec.CommandContext(ctx, self, WorkerArgument) //nolint:gosec // this program itself
	worker.Dir = dir
	worker.Env = []string{"TMPDIR=" + tmp, "HOME=" + tmp, fmt.Sprintf("GOMEMLIMIT=%d", request.Limits.Memory/2)}
	worker.SysProcAttr = confine.Attributes(s.namespaces())
	worker.SysProcAttr.Pdeathsig = syscall.SIGKILL
	worker.Cancel = func() error { return confine.Kill(worker) }
	worker.Stdin = bytes.NewReader(input)
	stdout, stderr := &limited{max: maxResponse}, &limited{max: maxStderr, truncate: true}
	worker.Stdout, worker.Stderr = stdout, stderr
	// The worker dies with the thread that started it (PR_SET_PDEATHSIG):
	// the thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = worker.Run()
	if ctx.Err() != nil {
		return Response{}, fmt.Errorf("the scan took longer than %s (scanner.timeout) and was ended", s.opts.Timeout)
	}
	if err != nil {
		return Response{}, ended(err, stderr.kept.String(), request.Limits)
	}
	var response Response
	if err := json.Unmarshal(stdout.kept.Bytes(), &response); err != nil {
		return Response{}, fmt.Errorf("the scanner's answer cannot be read: %w", err)
	}
	return response, nil
}

// ended puts the end of a worker into words.
func ended(err error, stderr string, limits Limits) error {
	if errors.Is(err, errTooMuch) {
		return fmt.Errorf("the scanner's answer is larger than %d bytes", maxResponse)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("start the scanner: %w", err)
	}
	first, _, _ := strings.Cut(stderr, "\n")
	status, _ := exit.Sys().(syscall.WaitStatus)
	switch {
	case strings.Contains(stderr, "out of memory") || strings.Contains(stderr, "cannot allocate memory"):
		return fmt.Errorf("the scanner needed more than %d MiB of memory (scanner.memory) and was ended", limits.Memory>>20)
	case status.Signaled() && (status.Signal() == syscall.SIGXCPU || status.Signal() == syscall.SIGKILL):
		return fmt.Errorf("the scanner was ended by %s; it may use %d s of CPU time and %d MiB of memory", status.Signal(), limits.CPU, limits.Memory>>20)
	}
	return fmt.Errorf("the scanner crashed (%w): %s", exit, strings.ToValidUTF8(first, "?"))
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
