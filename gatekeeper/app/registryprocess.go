package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded"
)

// registryStart is how long a registry may take to start.
const registryStart = 30 * time.Second

// registryProcess is a Distribution registry that runs as a process of its own.
type registryProcess struct {
	cmd    *exec.Cmd
	addr   string
	exited chan struct{}
}

// startRegistryProcess runs the binary with its content in a folder, on a free
// port of the loopback address.
func startRegistryProcess(ctx context.Context, binary, dir string, notify *embedded.Endpoint) (registryServer, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(file, registryConfig(dir, notify), 0o600); err != nil {
		return nil, err
	}
	p := &registryProcess{cmd: exec.Command(binary, "serve", file), exited: make(chan struct{})} //nolint:gosec,noctx // the user names the binary; Close ends it
	p.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	output, input := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = input, input
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its output
		_ = input.Close()
		close(p.exited)
	}()
	listening := make(chan string, 1)
	log := &head{}
	go watch(io.TeeReader(output, log), listening)
	select {
	case p.addr = <-listening:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended before it served: %s", binary, log)
	case <-time.After(registryStart):
	case <-ctx.Done():
	}
	return nil, errors.Join(fmt.Errorf("%s does not serve: %s", binary, log), p.Close(context.WithoutCancel(ctx)))
}

// registryConfig is JSON, which is YAML.
func registryConfig(dir string, notify *embedded.Endpoint) []byte {
	type object = map[string]any
	c := object{
		"version": 0.1,
		"log":     object{"level": "info", "accesslog": object{"disabled": true}},
		"storage": object{"filesystem": object{"rootdirectory": dir}, "delete": object{"enabled": true}},
		"http":    object{"addr": "127.0.0.1:0"},
	}
	if notify != nil {
		c["notifications"] = object{"endpoints": []object{{
			"name": "gatekeeper", "url": notify.URL, "headers": object{"Authorization": []string{"Bearer " + notify.Secret}},
			"timeout": "5s", "threshold": 3, "backoff": "1s", "ignoredmediatypes": []string{"application/octet-stream"},
		}}}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return text
}

// watch reads a registry's log until it ends and reports where it listens.
func watch(r io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, rest, found := strings.Cut(lines.Text(), "listening on ")
		if !found {
			continue
		}
		if i := strings.IndexAny(rest, `", `); i > 0 {
			rest = rest[:i]
		}
		select {
		case listening <- rest:
		default:
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not block it
}

// Addr implements registryServer.
func (p *registryProcess) Addr() string { return p.addr }

// Close implements registryServer.
func (p *registryProcess) Close(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

// head keeps the first bytes of an output.
type head struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *head) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) < 4<<10 {
		t.text = append(t.text, p...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
