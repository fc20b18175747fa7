package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// ask asks something that nobody remembers.
func (p piped) ask(ctx context.Context, name string) error {
	_, err := p.HasBlob(ctx, registry.Repository{Registry: name, Name: "app"}, digestOf(nil))
	return err
}

// untilOpen asks a registry that is down until nothing is sent to it any more.
func (p piped) untilOpen(t *testing.T, name string) error {
	t.Helper()
	for range 20 {
		if err := p.ask(t.Context(), name); p.health.isOpen(name) {
			return err
		}
		<-time.After(3 * time.Second)
	}
	t.Fatal("the circuit stays closed")
	return nil
}

// A registry that is down is left alone, and only that one.
func TestARegistryThatIsDownIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]reply{"connections are cut": {reset: true}, "503": {status: 503}, "no answer": {delay: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				p.golden.from(down)
				opened := time.Now()
				if err := p.untilOpen(t, "golden"); err == nil {
					t.Error("no error")
				}
				if took := time.Since(opened); took < 5*time.Second {
					t.Errorf("opened after %s", took)
				}
				p.golden.take()
				err := p.ask(t.Context(), "golden")
				refused, ok := errors.AsType[*registry.Error](err)
				if !ok || !refused.Temporary() || refused.Registry != "golden" {
					t.Fatalf("%v", err)
				}
				for _, part := range []string{"the registry does not answer: nothing is sent to it until 2000-01-01T0", "the last failure: "} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%v does not say %q", err, part)
					}
				}
				wait := waitOf(err)
				if wait < 10*time.Second || wait > 30*time.Second {
					t.Errorf("it asks to wait %s", wait)
				}
				for range 50 {
					if err := p.ask(t.Context(), "golden"); err == nil {
						t.Error("an answer")
					}
					if err := p.ask(t.Context(), "staging"); err != nil {
						t.Errorf("the other registry: %v", err)
					}
				}
				if asked := p.golden.take(); len(asked) != 0 {
					t.Errorf("it was asked %v", asked)
				}
				// It answers again, and one request finds that out.
				p.golden.from(reply{})
				<-time.After(wait + time.Millisecond)
				if err := p.ask(t.Context(), "golden"); err != nil {
					t.Errorf("after the wait: %v", err)
				}
				if p.health.isOpen("golden") || strings.Join(p.health.changes, ", ") != "golden true, golden false" {
					t.Errorf("%v", p.health.changes)
				}
				log := p.log.String()
				if strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 || strings.Count(log, "registry=golden") != 2 {
					t.Errorf("the log is\n%s", log)
				}
			})
		})
	}
}

// While one request finds out whether a registry is back, the others wait a
// moment; and when it is not, they have cost nothing.
func TestOneRequestFindsOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script []reply
		works  bool
	}{
		"it is back":       {[]reply{{delay: 100 * time.Millisecond}, {}}, true},
		"it is still down": {[]reply{{status: 503, delay: 5 * time.Second}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				p.golden.from(reply{status: 502})
				wait := waitOf(errors.Join(p.untilOpen(t, "golden"), p.ask(t.Context(), "golden")))
				<-time.After(max(wait, 30*time.Second) + time.Millisecond)
				p.golden.take()
				p.golden.from(tt.script...)
				var failed atomic.Int64
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						if err := p.ask(t.Context(), "golden"); err != nil {
							failed.Add(1)
						}
					})
				}
				all.Wait()
				n := len(p.golden.take())
				if tt.works && (n < 15 || p.health.isOpen("golden")) || !tt.works && (n != 1 || failed.Load() != 20 || !p.health.isOpen("golden")) {
					t.Errorf("%d requests, %d failed, open: %v", n, failed.Load(), p.health.isOpen("golden"))
				}
				if said := strings.Count(p.log.String(), "level=WARN"); said != 1 || p.health.changes[0] != "golden true" || len(p.health.changes) > 2 {
					t.Errorf("it was said %d times, %v", said, p.health.changes)
				}
			})
		})
	}
}

// What does not tell that a registry is down leaves its circuit closed.
func TestWhatOpensNoCircuit(t *testing.T) {
	t.Parallel()
	for name, during := range map[string]func(*testing.T, piped){
		"a hiccup that many run into": func(t *testing.T, p piped) {
			t.Helper()
			p.golden.from(reply{reset: true})
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { _ = p.ask(t.Context(), "golden") })
			}
			all.Wait()
		},
		"refusals": func(t *testing.T, p piped) {
			t.Helper()
			for _, status := range []int{400, 401, 403, 404, 405, 408, 409, 429, 501} {
				p.golden.from(reply{status: status})
				for range 10 {
					_ = p.ask(t.Context(), "golden")
					<-time.After(3 * time.Second)
				}
			}
		},
		"callers that give up": func(t *testing.T, p piped) {
			t.Helper()
			p.golden.from(reply{delay: time.Hour})
			for n := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%2 == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
				}
				time.AfterFunc(3*time.Second, cancel)
				_ = p.ask(ctx, "golden")
				cancel()
			}
		},
		"failures among answers": func(t *testing.T, p piped) {
			t.Helper()
			for range 20 {
				p.golden.from(reply{status: 503})
				_ = p.ask(t.Context(), "golden")
				p.golden.from(reply{status: 404})
				_ = p.ask(t.Context(), "golden")
				p.golden.from(reply{status: 503, retryAfter: "4"}, reply{status: 503, retryAfter: "4"}, reply{status: 503}, reply{})
				_ = p.ask(t.Context(), "golden")
				_ = p.ask(t.Context(), "golden")
				<-time.After(10 * time.Second)
			}
		},
		"uploads whose source breaks": func(t *testing.T, p piped) {
			t.Helper()
			for range 20 {
				p.golden.from(reply{status: 201})
				body := io.MultiReader(bytes.NewReader(make([]byte, 50_000)), broken{})
				d := gatekeeper.Descriptor{Digest: digestOf(nil), Size: 100_000}
				// No upload is begun: any answer would start over.
				if err := registry.Continue(t.Context(), p.Registries, goldenApp(), d, body, "http://golden.invalid/v2/app/blobs/uploads/1"); !errors.Is(err, errBroken) {
					t.Errorf("%v", err)
				}
				<-time.After(time.Second)
			}
		},
		"copies whose source breaks": func(t *testing.T, p piped) {
			t.Helper()
			content := bytes.Repeat([]byte("x"), 100_000)
			d := gatekeeper.Descriptor{Digest: digestOf(content), Size: int64(len(content))}
			for range 20 {
				p.staging.from(reply{body: content, truncated: 50_000}, reply{status: 404}, reply{})
				p.golden.from(reply{status: 201})
				body, err := p.OpenBlob(t.Context(), app, d)
				if err != nil {
					t.Fatal(err)
				}
				err = registry.Continue(t.Context(), p.Registries, goldenApp(), d, body, "http://golden.invalid/v2/app/blobs/uploads/1")
				if refused, ok := errors.AsType[*registry.Error](errors.Join(err, body.Close())); !ok || refused.Registry != "staging" {
					t.Errorf("%v", err)
				}
				<-time.After(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPiped(t, nil)
				during(t, p)
				p.golden.from(reply{})
				<-time.After(10 * time.Second)
				if err := p.ask(t.Context(), "golden"); err != nil || len(p.health.changes) > 0 {
					t.Errorf("%v, %v", p.health.changes, err)
				}
			})
		})
	}
}

var errBroken = errors.New("the source broke")

// broken is a source that cannot be read.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, errBroken }

// A registry that asks for a longer rest gets it, from everybody.
func TestARestIsGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, nil)
		p.golden.from(reply{status: 429, retryAfter: "60"}, reply{})
		if err := p.ask(t.Context(), "golden"); waitOf(err) != time.Minute {
			t.Errorf("%v", err)
		}
		<-time.After(20 * time.Second)
		for range 10 {
			err := p.ask(t.Context(), "golden")
			if waitOf(err) != 40*time.Second || !strings.Contains(err.Error(), "asked to be left alone: nothing is sent to it until 2000-01-01T00:01:00Z") {
				t.Errorf("%v", err)
			}
			if err := p.ask(t.Context(), "staging"); err != nil {
				t.Errorf("the other registry: %v", err)
			}
		}
		if n := len(p.golden.take()); n != 1 {
			t.Errorf("%d requests", n)
		}
		<-time.After(40 * time.Second)
		if err := p.ask(t.Context(), "golden"); err != nil {
			t.Error(err)
		}
		if log := p.log.String(); strings.Count(log, "left alone") != 1 || len(p.health.changes) != 0 {
			t.Errorf("%v, the log is\n%s", p.health.changes, log)
		}
	})
}

// A short rest is waited for by whoever asks next.
func TestAShortRestIsGivenByEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, nil)
		p.golden.from(reply{status: 429, retryAfter: "4"}, reply{})
		begun := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			if err := p.ask(t.Context(), "golden"); err != nil {
				t.Error(err)
			}
		})
		<-time.After(time.Second)
		for range 10 {
			all.Go(func() {
				err := p.ask(t.Context(), "golden")
				if took := time.Since(begun); err != nil || took < 4*time.Second || took > 5*time.Second {
					t.Errorf("after %s: %v", took, err)
				}
			})
		}
		all.Wait()
	})
}

// Nobody queues for a registry that is not asked.
func TestNobodyQueuesWhileACircuitIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPiped(t, func(s *registry.Settings) { s.Limits.Concurrent, s.Limits.RequestsPerSecond = 1, 0.2 })
		p.golden.from(reply{reset: true})
		if err := p.untilOpen(t, "golden"); err == nil {
			t.Error("no error")
		}
		begun := time.Now()
		for range 100 {
			if err := p.ask(t.Context(), "golden"); waitOf(err) == 0 {
				t.Errorf("%v", err)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// A token server that is down is left alone. Who needs no new token goes on.
func TestATokenServerThatIsDown(t *testing.T) {
	t.Parallel()
	d := newDouble(t)
	var realm string
	var down atomic.Bool
	own := d.host("registry", false, bearerRegistry(&realm, answer(200, manifestType, imageManifest())))
	server := d.host("tokens", false, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		tokenServer(w, r)
	})
	realm = server.URL + "/token"
	var passed atomic.Int64 // the clock's, beyond that of the machine
	r := d.clientAt(own, func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }, func(s *registry.Settings) {
		s.TokenServers = []string{strings.TrimPrefix(server.URL, "http://")}
	})
	read := func(name string) error {
		_, err := r.ManifestByTag(t.Context(), registry.Repository{Registry: "staging", Name: name}, "v1")
		return err
	}
	if err := read("known"); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	for range 2 {
		if err := read("unknown"); err == nil {
			t.Fatal("no error")
		}
		passed.Add(int64(6 * time.Second))
	}
	before := len(d.to("tokens"))
	err := read("unknown")
	if refused, ok := errors.AsType[*registry.Error](err); !ok || !refused.Temporary() || waitOf(err) == 0 || !strings.Contains(err.Error(), "its token server does not answer") {
		t.Errorf("%v", err)
	}
	if n := len(d.to("tokens")); n != before {
		t.Errorf("%d more requests for a token", n-before)
	}
	if err := read("known"); err != nil {
		t.Errorf("with a token: %v", err)
	}
}
