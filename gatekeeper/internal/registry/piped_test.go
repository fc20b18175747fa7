package registry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// reply is one answer of a scripted registry.
type reply struct {
	status     int // 200 when zero
	retryAfter string
	header     []string // pairs
	body       []byte
	reset      bool          // the connection is closed without an answer
	truncated  int           // after so many bytes of the body, when not zero
	chunked    bool          // without a Content-Length
	delay      time.Duration // before the answer begins
}

// scripted is a registry behind pipes instead of a network, so that its time
// is that of a synctest bubble. It answers each request that is not a ping
// with the next reply of its script, and then with the last one for ever.
type scripted struct {
	mu     sync.Mutex
	script []reply
	asked  []string
	active int
	most   int // requests under way at a time
}

// ServeHTTP implements http.Handler.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		// A GET on a connection that was used before, and is then reset, is sent
		// again by net/http itself.
		w.Header().Set("Connection", "close")
		return
	}
	body, err := io.ReadAll(r.Body)
	next := s.next(r.Method+" "+r.URL.Path+ranged(r), len(body), err)
	defer s.left()
	select {
	case <-time.After(next.delay):
	case <-r.Context().Done():
		return
	}
	next.write(w)
}

func ranged(r *http.Request) string {
	if value := r.Header.Get("Range"); value != "" {
		return " " + value
	}
	return ""
}

func (s *scripted) next(call string, sent int, err error) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sent > 0 {
		call += " +" + strconv.Itoa(sent)
	}
	if err != nil {
		call += " broken"
	}
	s.asked = append(s.asked, call)
	s.active++
	s.most = max(s.most, s.active)
	next := s.script[0]
	if len(s.script) > 1 {
		s.script = s.script[1:]
	}
	return next
}

func (s *scripted) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
}

func (p reply) write(w http.ResponseWriter) {
	if p.reset {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("Content-Type", manifestType)
	if !p.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	}
	if p.retryAfter != "" {
		w.Header().Set("Retry-After", p.retryAfter)
	}
	for i := 0; i+1 < len(p.header); i += 2 {
		w.Header().Set(p.header[i], p.header[i+1])
	}
	w.WriteHeader(max(p.status, http.StatusOK))
	if p.truncated == 0 {
		_, _ = w.Write(p.body)
		return
	}
	_, _ = w.Write(p.body[:p.truncated])
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// from makes the registry go on with other replies.
func (s *scripted) from(script ...reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// take returns what was asked since it was last called.
func (s *scripted) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// pipes is a listener whose connections do not leave the process.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve starts a registry in the bubble and returns what reaches it.
func (s *scripted) serve(t *testing.T) http.RoundTripper {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Hour, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	transport := &http.Transport{DialContext: listener.dial, DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		serving.Wait()
	})
	return transport
}

// healthLog is a registry.Health.
type healthLog struct {
	mu      sync.Mutex
	retries map[string]int
	open    map[string]bool
	changes []string
}

// RegistryRetry implements registry.Health.
func (h *healthLog) RegistryRetry(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retries[name]++
}

// RegistryCircuit implements registry.Health.
func (h *healthLog) RegistryCircuit(name string, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[name] = open
	h.changes = append(h.changes, name+" "+strconv.FormatBool(open))
}

func (h *healthLog) isOpen(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[name]
}

// piped is a client of two scripted registries in one bubble.
type piped struct {
	*registry.Registries
	staging, golden *scripted
	health          *healthLog
	log             *strings.Builder
}

func newPiped(t *testing.T, change func(*registry.Settings)) piped {
	t.Helper()
	p := piped{
		staging: &scripted{script: []reply{{}}}, golden: &scripted{script: []reply{{}}},
		health: &healthLog{retries: map[string]int{}, open: map[string]bool{}}, log: &strings.Builder{},
	}
	var all []registry.Settings
	for name, server := range map[string]*scripted{"staging": p.staging, "golden": p.golden} {
		transport := server.serve(t)
		s := registry.Settings{
			Name: name, URL: &url.URL{Scheme: "http", Host: name + ".invalid"},
			Wrap: func(http.RoundTripper) http.RoundTripper { return transport },
		}
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	var err error
	p.Registries, err = registry.New(all, registry.Deps{
		Observer: &counter{codes: map[int]int{}, bytes: map[string]int64{}}, Health: p.health, UserAgent: "gatekeeper/test", Now: time.Now,
		Log: slog.New(slog.NewTextHandler(p.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
