package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay stands between a registry's notifications and the gatekeepers as a
// load balancer does, and as a bad one: it loses, doubles and delays what it
// passes on.
type relay struct {
	*httptest.Server

	dice     *dice
	client   *http.Client
	replicas func() []string // the gatekeepers' webhook listeners, running or not
	trouble  atomic.Pointer[relayTrouble]
	late     sync.WaitGroup
	ctx      context.Context //nolint:containedctx // what is passed on late outlives its request

	lost, doubled, delayed atomic.Int64

	mu     sync.Mutex
	passed map[string]bool // digests that a gatekeeper has acknowledged
}

// relayTrouble are the probabilities of what can happen to a notification.
type relayTrouble struct{ drop, duplicate, delay float64 }

// latest is how late a notification can be.
const latest = 4 * time.Second

// newRelay starts a relay that ends with the test.
func newRelay(tb testing.TB, d *dice, client *http.Client, replicas func() []string) *relay {
	tb.Helper()
	r := &relay{dice: d, client: client, replicas: replicas, ctx: tb.Context(), passed: map[string]bool{}}
	r.trouble.Store(&relayTrouble{})
	r.Server = httptest.NewServer(r)
	tb.Cleanup(func() {
		r.Close()
		r.late.Wait()
	})
	return r
}

// ServeHTTP implements http.Handler.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n := notification{path: req.URL.Path, header: req.Header.Clone(), body: body}
	t := r.trouble.Load()
	switch {
	case r.dice.chance(t.drop):
		r.lost.Add(1)
		w.WriteHeader(http.StatusAccepted) // the registry thinks that it arrived
		return
	case r.dice.chance(t.delay):
		r.delayed.Add(1)
		r.passLater(n)
		w.WriteHeader(http.StatusAccepted)
		return
	case r.dice.chance(t.duplicate):
		r.doubled.Add(1)
		r.passLater(n)
	}
	status, err := r.pass(req.Context(), n)
	if err != nil {
		status = http.StatusBadGateway
	}
	w.WriteHeader(status)
}

// notification is one request of a registry.
type notification struct {
	path   string
	header http.Header
	body   []byte
}

// pass hands a notification to one of the gatekeepers.
func (r *relay) pass(ctx context.Context, n notification) (int, error) {
	replicas := r.replicas()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, replicas[r.dice.below(len(replicas))]+n.path, bytes.NewReader(n.body))
	if err != nil {
		return 0, err
	}
	req.Header = n.header.Clone()
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode == http.StatusAccepted {
		r.note(n.body)
	}
	return resp.StatusCode, err
}

// passLater hands a notification over in a while, when others have overtaken
// it, and until a gatekeeper has taken it: what is lost is lost on purpose.
func (r *relay) passLater(n notification) {
	r.late.Go(func() {
		for pause := r.dice.between(50*time.Millisecond, latest); ; pause = retryPause {
			if until(r.ctx, time.Now().Add(pause)) != nil {
				return
			}
			if status, err := r.pass(r.ctx, n); err == nil && status == http.StatusAccepted {
				return
			}
		}
	})
}

// note remembers what a gatekeeper has answered for.
func (r *relay) note(body []byte) {
	var envelope struct {
		Events []struct {
			Target struct{ Digest, Tag string }
		}
	}
	if json.Unmarshal(body, &envelope) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range envelope.Events {
		if e.Target.Tag != "" {
			r.passed[e.Target.Digest] = true
		}
	}
}

// acknowledged says whether a gatekeeper answered for the push of a digest.
func (r *relay) acknowledged(digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed[digest]
}
