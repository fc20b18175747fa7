package e2e_test

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

// process is a program under test with its output.
type process struct {
	cmd    *exec.Cmd
	output lockedBuffer
	exited chan struct{}
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

// start runs a program until the test ends and waits until find, called with
// each line of its output, has found what it looks for.
func start(t *testing.T, find func(line string) (string, bool), env []string, name string, args ...string) (*process, string) {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), exited: make(chan struct{})} //nolint:noctx // ended by a signal in Cleanup
	p.cmd.Env = append(os.Environ(), env...)
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(r, &p.output))
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
		_ = p.cmd.Wait()
		_ = w.Close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("the end of the output of %s:\n%s", name, tail(p.output.String()))
		}
	})
	select {
	case value := <-found:
		return p, value
	case <-p.exited:
		t.Fatalf("%s ended before it was ready:\n%s", name, p.output.String())
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready after a minute:\n%s", name, p.output.String())
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

// stop asks the program to end, as an operator's SIGTERM does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it ended by itself
	}
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		t.Errorf("%s does not stop on SIGTERM", p.cmd.Path)
		p.kill()
	}
}

// kill ends the program as a power failure would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// after returns what follows a marker in a line, up to the next delimiter.
func after(marker, delimiters string) func(string) (string, bool) {
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
