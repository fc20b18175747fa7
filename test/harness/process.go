package harness

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program under test with its output.
type Process struct {
	Cmd    *exec.Cmd
	Output lockedBuffer
	Exited chan struct{}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Start runs a program until the test ends and waits until find, called with
// each line of its output, has found what it looks for.
func Start(tb testing.TB, find func(line string) (string, bool), env []string, name string, args ...string) (*Process, string) {
	tb.Helper()
	p := &Process{Cmd: exec.Command(name, args...), Exited: make(chan struct{})} //nolint:noctx // ended by a signal in Cleanup
	p.Cmd.Env = append(os.Environ(), env...)
	r, w := io.Pipe()
	p.Cmd.Stdout, p.Cmd.Stderr = w, w
	if err := p.Cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(r, &p.Output))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if value, ok := find(lines.Text()); ok {
				select {
				case found <- value:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	go func() {
		_ = p.Cmd.Wait()
		_ = w.Close()
		close(p.Exited)
	}()
	tb.Cleanup(func() {
		p.Stop(tb)
		if tb.Failed() {
			tb.Logf("the end of the output of %s:\n%s", name, tail(p.Output.String()))
		}
	})
	select {
	case value := <-found:
		return p, value
	case <-p.Exited:
		tb.Fatalf("%s ended before it was ready:\n%s", name, p.Output.String())
	case <-time.After(time.Minute):
		tb.Fatalf("%s is not ready after a minute:\n%s", name, p.Output.String())
	}
	return nil, ""
}

// tail is what is worth reading of a long output.
func tail(output string) string {
	const most = 4 << 10
	if len(output) > most {
		return "..." + output[len(output)-most:]
	}
	return output
}

// Stop asks the program to end, as an operator's SIGTERM does.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it ended by itself
	}
	select {
	case <-p.Exited:
	case <-time.After(30 * time.Second):
		tb.Errorf("%s does not stop on SIGTERM", p.Cmd.Path)
		p.Kill()
	}
}

// Kill ends the program as a power failure would.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Exited
}

// After returns what follows a marker in a line, up to the next delimiter.
func After(marker, delimiters string) func(string) (string, bool) {
	return func(line string) (string, bool) {
		_, rest, ok := strings.Cut(line, marker)
		if !ok {
			return "", false
		}
		if i := strings.IndexAny(rest, delimiters); i >= 0 {
			rest = rest[:i]
		}
		return rest, rest != ""
	}
}
