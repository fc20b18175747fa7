package confined

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// Options set up a pool. A zero value means the default.
type Options struct {
	Workers int              // processes at a time; 2
	Timeout time.Duration    // for one item; 10s
	Log     *slog.Logger     // required
	Now     func() time.Time // required
}

// How much one process does before another takes its place: nothing stays for
// ever, and its CPU time, which is limited (see limits), is not used up by one
// item when it is another's turn.
const (
	usesOfAWorker = 512
	workOfAWorker = 10 * time.Second
)

// Pool verifies items in worker processes, which are started when they are
// needed and kept for the next item. It is safe for concurrent use.
type Pool struct {
	opts       Options
	places     chan struct{}
	namespaces func() uintptr

	mu     sync.Mutex
	idle   []*process
	closed bool
}

// NewPool returns a pool. It starts nothing yet. Close ends its workers.
func NewPool(o Options) *Pool {
	o.Workers = cmp.Or(o.Workers, 2)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	return &Pool{opts: o, places: make(chan struct{}, o.Workers), namespaces: allowed(o.Log)}
}

// allowed says which namespaces workers get. It logs once what else keeps them
// from files and connections.
func allowed(log *slog.Logger) func() uintptr {
	namespaces := confine.Allowed(confine.Namespaces, log, Argument, probeArgument)
	return sync.OnceValue(func() uintptr {
		abi := confine.Landlock()
		log.Info("what Landlock keeps the verifier's workers from", slog.Bool("files", abi >= confine.LandlockFiles), slog.Bool("tcp", abi >= confine.LandlockTCP))
		return namespaces()
	})
}

// Verify judges an item. An error means that nobody knows: the worker crashed,
// took too long or too much memory, or a trust root is broken.
func (p *Pool) Verify(ctx context.Context, trust verify.Trust, item verify.Item) (verify.Answer, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return verify.Answer{}, ctx.Err()
	}
	defer func() { <-p.places }()
	w, err := p.take()
	if err != nil {
		return verify.Answer{}, err
	}
	began := p.opts.Now()
	answer, err := w.ask(ctx, p.opts.Timeout, question{Trust: trust, Item: item})
	w.worked += p.opts.Now().Sub(began)
	if w.broken || w.uses >= usesOfAWorker || w.worked >= workOfAWorker {
		return answer, errors.Join(err, w.end())
	}
	return answer, errors.Join(err, p.giveBack(w))
}

// take returns an idle worker, or a new one.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("the verifier is closed")
	}
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return w, nil
	}
	return p.start()
}

func (p *Pool) giveBack(w *process) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return w.end()
	}
	p.idle = append(p.idle, w)
	return nil
}

// Close ends the idle workers; those at work end when they are done.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, w := range p.idle {
		errs = append(errs, w.end())
	}
	p.idle = nil
	return errors.Join(errs...)
}

// process is one worker.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *firstBytes
	uses   int
	worked time.Duration // by the clock
	broken bool
}

func (p *Pool) start() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the verifier's program: %w", err)
	}
	// It ends when its input does: with the service.
	cmd := exec.Command(self, Argument) //nolint:gosec,noctx // this program itself, which outlives one judgement
	cmd.Dir = "/"
	cmd.Env = []string{"GOMEMLIMIT=256MiB", "GOMAXPROCS=2"}
	cmd.SysProcAttr = confine.Attributes(p.namespaces())
	w := &process{cmd: cmd, stderr: &firstBytes{}}
	cmd.Stderr = w.stderr
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the verifier: %w", err)
	}
	if w.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("start the verifier: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the verifier: %w", err)
	}
	return w, nil
}

// ask puts a question to the worker and waits for the answer. A worker that
// does not give one is killed and broken.
func (w *process) ask(ctx context.Context, timeout time.Duration, q question) (verify.Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTooSlow)
	defer cancel()
	w.uses++
	type result struct {
		reply reply
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = w.exchange(q, &r.reply)
		done <- r
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		w.broken = true
		err := confine.Kill(w.cmd)
		<-done // the pipes are closed by the worker's end
		if cause := context.Cause(ctx); errors.Is(cause, errTooSlow) {
			return verify.Answer{}, errors.Join(fmt.Errorf("the verification took longer than %s and was ended", timeout), err)
		}
		return verify.Answer{}, errors.Join(ctx.Err(), err)
	}
	if r.err != nil {
		w.broken = true
		return verify.Answer{}, w.crashed(r.err)
	}
	if r.reply.Error != "" {
		return verify.Answer{}, errors.New(r.reply.Error)
	}
	return r.reply.Answer, nil
}

var errTooSlow = errors.New("too slow")

func (w *process) exchange(q question, r *reply) error {
	if err := writeJSON(w.stdin, q); err != nil {
		return err
	}
	if err := writeFrame(w.stdin, q.Item.Data); err != nil {
		return err
	}
	return readJSON(w.stdout, maxReply, r)
}

// crashed puts the end of a worker into words.
func (w *process) crashed(cause error) error {
	if err := confine.Kill(w.cmd); err != nil {
		return errors.Join(cause, err)
	}
	err := w.cmd.Wait()
	first, _, _ := strings.Cut(w.stderr.String(), "\n")
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() != syscall.SIGKILL {
			return fmt.Errorf("the verification was ended by %s: %s", status.Signal(), verify.Clean(first))
		}
	}
	if confine.OutOfTime(first) {
		return fmt.Errorf("the verification was ended: %s", verify.Clean(first))
	}
	if confine.OutOfMemory(w.stderr.String()) {
		return fmt.Errorf("the verification needed more than %d MiB of memory and was ended", limits().Data>>20)
	}
	return fmt.Errorf("the verification crashed (%w): %s", cause, verify.Clean(first))
}

// end stops the worker. How it ends is of no interest any more.
func (w *process) end() error {
	if w.cmd.ProcessState != nil {
		return nil
	}
	err := errors.Join(w.stdin.Close(), confine.Kill(w.cmd))
	_ = w.cmd.Wait()
	return err
}

// firstBytes keeps the beginning of what is written.
type firstBytes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// maxStderr is how much of a worker's complaints is kept, in bytes.
const maxStderr = 4 << 10

// Write implements io.Writer.
func (f *firstBytes) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if left := maxStderr - f.buf.Len(); left > 0 {
		f.buf.Write(p[:min(left, len(p))])
	}
	return len(p), nil
}

// String returns what was kept.
func (f *firstBytes) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.String()
}
