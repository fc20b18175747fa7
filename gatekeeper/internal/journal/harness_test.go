package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

func TestMain(m *testing.M) {
	if crashIfChild() {
		return
	}
	goleak.VerifyTestMain(withPostgres{m})
}

// withPostgres ends the server after the last test.
type withPostgres struct{ *testing.M }

// Run implements goleak.TestingM.
func (m withPostgres) Run() int {
	code := m.M.Run()
	if err := stopPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// engine is one of the databases that every test is run with.
type engine struct{ location func(testing.TB) string }

// engines are SQLite and, where it is installed, PostgreSQL.
func engines() map[string]engine {
	return map[string]engine{"SQLite": {sqliteLocation}, "PostgreSQL": {postgresLocation}}
}

// sqliteLocation names a new file.
func sqliteLocation(tb testing.TB) string {
	tb.Helper()
	return "sqlite://" + filepath.Join(tb.TempDir(), "gatekeeper.db")
}

// server is started by the first test that needs it, for all of them.
var server struct { //nolint:gochecknoglobals // one for all tests
	sync.Mutex
	*postgres.Server
}

// postgresLocation names a new database.
func postgresLocation(tb testing.TB) string {
	tb.Helper()
	server.Lock()
	defer server.Unlock()
	if server.Server == nil {
		s, err := postgres.New(context.Background())
		if errors.Is(err, postgres.ErrNoBinaries) {
			tb.Skip(err)
		}
		if err != nil {
			tb.Fatal(err)
		}
		server.Server = s
	}
	return server.NewDatabase(tb)
}

func stopPostgres() error {
	if server.Server == nil {
		return nil
	}
	return server.Close()
}

// digest makes a well-formed digest out of one letter.
func digest(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

func pushOf(tag, digest string) notifications.Push {
	return notifications.Push{Source: "staging", Repository: "team/app", Tag: tag, Digest: digest, MediaType: "application/vnd.oci.image.manifest.v1+json"}
}

// processor hands every call to the test and waits for its answer.
type processor struct {
	calls chan call
}

type call struct {
	push   gatekeeper.Push
	answer chan<- answer
	ended  <-chan struct{} // closed when nobody waits for an answer any more
}

type answer struct {
	progress gatekeeper.Progress
	err      error
	panics   bool
}

func newProcessor() *processor { return &processor{calls: make(chan call)} }

func (p *processor) Process(ctx context.Context, push gatekeeper.Push) (gatekeeper.Progress, error) {
	answers := make(chan answer)
	select {
	case p.calls <- call{push, answers, ctx.Done()}:
	case <-ctx.Done():
		return gatekeeper.Progress{}, ctx.Err()
	}
	select {
	case a := <-answers:
		if a.panics {
			panic("as the test asked")
		}
		return a.progress, a.err
	case <-ctx.Done():
		return gatekeeper.Progress{}, ctx.Err()
	}
}

// next waits for the next push to be processed.
func (p *processor) next(t *testing.T) call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case c := <-p.calls:
		return c
	case <-ctx.Done():
		t.Fatal("no push is processed")
		return call{}
	}
}

func (c call) verdict(v policy.Verdict) {
	c.answer <- answer{progress: gatekeeper.Progress{Verdict: v}}
}

// late is verdict, unless nobody waits for it any more.
func (c call) late(v policy.Verdict) {
	select {
	case c.answer <- answer{progress: gatekeeper.Progress{Verdict: v}}:
	case <-c.ended:
	}
}

func (c call) pending(until time.Time) {
	c.answer <- answer{progress: gatekeeper.Progress{Verdict: policy.VerdictPending, Again: until}}
}

func deps(t *testing.T) journal.Deps {
	t.Helper()
	return journal.Deps{
		Now:     time.Now,
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
		Backoff: func(int) time.Duration { return 0 },
	}
}

func open(t *testing.T, location string, d journal.Deps) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), location, d)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (e engine) openNew(t *testing.T) *journal.Journal {
	t.Helper()
	j := open(t, e.location(t), deps(t))
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// run works on the journal until the returned function is called.
func run(t *testing.T, j *journal.Journal, p journal.Processor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx, p) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func accept(t *testing.T, j *journal.Journal, pushes ...notifications.Push) notifications.Receipt {
	t.Helper()
	r, err := j.Accept(t.Context(), pushes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// acceptQueued is accept where nothing runs that would queue the jobs.
func acceptQueued(t *testing.T, j *journal.Journal, pushes ...notifications.Push) {
	t.Helper()
	accept(t, j, pushes...)
	if err := j.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// awaitState polls until the newest push of a tag is in a state.
func awaitState(t *testing.T, j *journal.Journal, tag, want string) gatekeeper.ImageStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := j.Lookup(ctx, "team/app", tag)
		if err != nil {
			t.Fatal(fmt.Errorf("wait for %s: %w", want, err))
		}
		if s.State == want {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the push of %s stays %s (%s), want %s", tag, s.State, s.Problem, want)
		}
	}
}
