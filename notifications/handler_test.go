package notifications_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
)

const secret = "correct horse battery staple"

// lines is a format for these tests: one "repository tag digest" per line;
// "-" is an ignored event.
type lines struct{}

func (lines) Decode(_ http.Header, body []byte) ([]notifications.Event, error) {
	if bytes.HasPrefix(body, []byte("broken")) {
		return nil, errors.New("the body is broken")
	}
	var events []notifications.Event
	for line := range strings.Lines(string(body)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 1:
			events = append(events, notifications.Event{Ignored: "asked for"})
		case len(f) == 3:
			events = append(events, notifications.Event{Push: notifications.Push{Repository: f[0], Tag: f[1], Digest: f[2]}})
		default:
			events = append(events, notifications.Event{Err: fmt.Errorf("%d fields", len(f))})
		}
	}
	return events, nil
}

// sink keeps what it accepts, or fails.
type sink struct {
	mu     sync.Mutex
	pushes []notifications.Push
	err    error
}

func (s *sink) Accept(_ context.Context, pushes []notifications.Push) (notifications.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return notifications.Receipt{}, s.err
	}
	s.pushes = append(s.pushes, pushes...)
	return notifications.Receipt{Accepted: len(pushes)}, nil
}

type fixture struct {
	*notifications.Handler
	sink *sink
	log  bytes.Buffer

	mu     sync.Mutex
	counts map[string]int
}

func newFixture() *fixture {
	f := &fixture{sink: &sink{}, counts: map[string]int{}}
	f.Handler = notifications.NewHandler(notifications.Deps{
		Sources: []notifications.Source{
			{Name: "staging", Secret: secret, Decoder: lines{}, ContentTypes: []string{"text/lines"}},
			{Name: "open", Decoder: lines{}, ContentTypes: []string{"text/lines"}},
		},
		Sink: f.sink,
		Count: func(source string, outcome notifications.Outcome, n int) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.counts[source+" "+string(outcome)] += n
		},
		Log: slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return f
}

// send posts a body with the secret, after edit has changed the request.
func (f *fixture) send(path, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/lines; charset=utf-8")
	r.Header.Set("Authorization", "Bearer "+secret)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func line(tag string) string { return "team/app " + tag + " sha256:" + strings.Repeat("a", 64) + "\n" }

func TestPushesAreAcceptedEachByItself(t *testing.T) {
	f := newFixture()
	w := f.send("/webhooks/staging", line("v1")+"-\nbroken event\n"+line("v2")+line("no/tag")+"team/app v1 sha512:abc\n", nil)
	if w.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var got notifications.Summary
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(notifications.Summary{Accepted: 2, Ignored: 1, Malformed: 3}, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"staging accepted": 2, "staging ignored": 1, "staging malformed": 3}, f.counts); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	for i, p := range f.sink.pushes {
		if want := fmt.Sprintf("v%d", i+1); p.Source != "staging" || p.Tag != want {
			t.Errorf("push %d: %+v", i, p)
		}
	}
}

func TestTheSourceComesFromThePathOnly(t *testing.T) {
	f := newFixture()
	if f.send("/webhooks/staging", line("v1"), nil); f.sink.pushes[0].Source != "staging" {
		t.Errorf("got %+v", f.sink.pushes)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	header := func(key, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(key, value) }
	}
	for _, tt := range []struct {
		name, path, body string
		edit             func(*http.Request)
		status           int
		count            string
	}{
		{"no secret", "/webhooks/staging", line("v1"), func(r *http.Request) { r.Header.Del("Authorization") }, 401, "staging unauthorized"},
		{"a wrong secret", "/webhooks/staging", line("v1"), header("Authorization", "Bearer guess"), 401, "staging unauthorized"},
		{"a prefix of the secret", "/webhooks/staging", line("v1"), header("Authorization", "Bearer "+secret[:5]), 401, "staging unauthorized"},
		{"an empty secret", "/webhooks/staging", line("v1"), header("Authorization", "Bearer "), 401, "staging unauthorized"},
		{"the secret as the user", "/webhooks/staging", line("v1"), func(r *http.Request) { r.SetBasicAuth(secret, "x") }, 401, "staging unauthorized"},
		{"a source without secret", "/webhooks/open", line("v1"), header("Authorization", "Bearer "), 401, "open unauthorized"},
		{"an unknown source", "/webhooks/elsewhere", line("v1"), nil, 404, ""},
		{"no source", "/webhooks/", line("v1"), nil, 404, ""},
		{"another path", "/", line("v1"), nil, 404, ""},
		{"GET", "/webhooks/staging", line("v1"), func(r *http.Request) { r.Method = http.MethodGet }, 405, ""},
		{"another media type", "/webhooks/staging", line("v1"), header("Content-Type", "application/xml"), 415, "staging malformed"},
		{"no media type", "/webhooks/staging", line("v1"), func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "staging malformed"},
		{"compressed", "/webhooks/staging", line("v1"), header("Content-Encoding", "gzip"), 415, "staging malformed"},
		{"a broken body", "/webhooks/staging", "broken", nil, 400, "staging malformed"},
		{"a large body", "/webhooks/staging", strings.Repeat("-\n", notifications.MaxBody), nil, 413, "staging too_large"},
		{"many events", "/webhooks/staging", strings.Repeat("-\n", notifications.MaxEvents+1), nil, 413, "staging too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture()
			w := f.send(tt.path, tt.body, tt.edit)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %s", got)
			}
			want := map[string]int{}
			if tt.count != "" {
				want[tt.count] = 1
			}
			if diff := cmp.Diff(want, f.counts); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if len(f.sink.pushes) > 0 {
				t.Errorf("stored %+v", f.sink.pushes)
			}
			if strings.Contains(w.Body.String()+f.log.String(), secret) {
				t.Error("the secret is told")
			}
		})
	}
}

func TestBasicAuthenticationCarriesTheSecretAsPassword(t *testing.T) {
	w := newFixture().send("/webhooks/staging", line("v1"), func(r *http.Request) { r.SetBasicAuth("registry", secret) })
	if w.Code != http.StatusAccepted {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestASenderTriesAgainWhatCouldNotBeStored(t *testing.T) {
	f := newFixture()
	f.sink.err = errors.New("disk full at /var/lib/gatekeeper")
	w := f.send("/webhooks/staging", line("v1"), nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "disk") {
		t.Errorf("the sender is told %s", w.Body)
	}
	if !strings.Contains(f.log.String(), "disk full") {
		t.Error("the log does not say why")
	}
	if diff := cmp.Diff(map[string]int{"staging failed": 1}, f.counts); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// stuck is a sink whose storage hangs.
type stuck struct{}

func (stuck) Accept(ctx context.Context, _ []notifications.Push) (notifications.Receipt, error) {
	<-ctx.Done()
	return notifications.Receipt{}, ctx.Err()
}

func TestASenderHearsWithinSecondsThatStorageHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := notifications.NewHandler(notifications.Deps{
			Sources: []notifications.Source{{Name: "staging", Secret: secret, Decoder: lines{}, ContentTypes: []string{"text/lines"}}},
			Sink:    stuck{}, Count: func(string, notifications.Outcome, int) {}, Log: slog.New(slog.DiscardHandler),
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/staging", strings.NewReader(line("v1")))
		r.Header.Set("Content-Type", "text/lines")
		r.Header.Set("Authorization", "Bearer "+secret)
		w, began := httptest.NewRecorder(), time.Now()
		h.ServeHTTP(w, r)
		if took := time.Since(began); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || took > 6*time.Second {
			t.Errorf("%d %v after %s", w.Code, w.Header(), took)
		}
	})
}

func TestTextOfASenderIsTamedInTheLog(t *testing.T) {
	f := newFixture()
	f.send("/webhooks/staging", "x \x1b[2J\u202e y "+strings.Repeat("z", 10_000), nil)
	for _, forbidden := range []string{"\x1b", "\u202e", strings.Repeat("z", 1000)} {
		if strings.Contains(f.log.String(), forbidden) {
			t.Errorf("the log has %q", forbidden)
		}
	}
}

func TestManySendersAtOnce(t *testing.T) {
	f := newFixture()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { f.send("/webhooks/staging", line(fmt.Sprintf("v%d", i)), nil) })
	}
	wg.Wait()
	if len(f.sink.pushes) != 50 || f.counts["staging accepted"] != 50 {
		t.Errorf("%d pushes, counted %v", len(f.sink.pushes), f.counts)
	}
}
