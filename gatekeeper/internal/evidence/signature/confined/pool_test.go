package confined_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/confined"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// TestMain makes the test binary a worker when it is started as one. It
// misbehaves on request, and else verifies.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == confined.Argument {
		if err := confined.Serve(os.Stdin, os.Stdout, misbehave); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if _, probe := confined.Main(os.Args, nil, nil); probe {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func misbehave(t *verify.Trusted, item verify.Item) (verify.Answer, error) {
	if address, ok := strings.CutPrefix(string(item.Data), "connect "); ok {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			err = c.Close()
		}
		return verify.Answer{Reason: fmt.Sprint(err)}, nil
	}
	switch string(item.Data) {
	case "panic":
		go func() { panic("in a goroutine of a library") }()
		select {}
	case "hang":
		select {}
	case "spin":
		for n := 0; ; n++ {
			if n < 0 {
				n = 0
			}
		}
	case "allocate":
		var hoard [][]byte
		for {
			hoard = append(hoard, make([]byte, 64<<20))
			for i := 0; i < len(hoard[len(hoard)-1]); i += 4096 {
				hoard[len(hoard)-1][i] = 1
			}
		}
	case "exit":
		os.Exit(0)
	case "read a file":
		_, err := os.ReadFile("/etc/passwd")
		return verify.Answer{Reason: fmt.Sprint(err)}, nil
	case "write a file":
		return verify.Answer{Reason: fmt.Sprint(os.WriteFile("/tmp/written-by-a-worker", []byte("x"), 0o600))}, nil
	case "environment":
		return verify.Answer{Reason: strings.Join(os.Environ(), " ")}, nil
	case "lookups":
		if revoked, known := item.Revoked["a"]; known {
			return verify.Answer{Reason: fmt.Sprint(revoked)}, nil
		}
		return verify.Answer{Lookups: []verify.Lookup{{Chain: [][]byte{{1}, {2}}}}}, nil
	case "who":
		return verify.Answer{Reason: strconv.Itoa(os.Getpid())}, nil
	}
	return t.Verify(item)
}

func newPool(t *testing.T, timeout time.Duration) *confined.Pool {
	t.Helper()
	p := confined.NewPool(confined.Options{Timeout: timeout, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func item(data string) verify.Item {
	return verify.Item{Subject: gatekeeper.Descriptor{Digest: "sha256:" + strings.Repeat("ab", 32)}, MediaType: verify.TypeSimpleSigning, Data: []byte(data)}
}

// What goes wrong with one item is an error about it, and the next one is
// judged.
func TestTroubleEndsOneJudgement(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ data, want string }{
		"a panic in a goroutine": {"panic", "crashed"},
		"a hang":                 {"hang", "took longer than 3s"},
		"an endless loop":        {"spin", "took longer than 3s"},
		"a runaway allocation":   {"allocate", "512 MiB of memory"},
		"an exit without a word": {"exit", "crashed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if raceDetector && tt.data == "allocate" {
				t.Skip("ThreadSanitizer ends the process by itself, in other words, when it cannot have more memory")
			}
			p := newPool(t, 3*time.Second)
			answer, err := p.Verify(t.Context(), verify.Trust{}, item(tt.data))
			if err == nil || !strings.Contains(err.Error(), tt.want) || answer.Result != "" {
				t.Errorf("got %v, %+v, want an error with %q", err, answer, tt.want)
			}
			if answer, err := p.Verify(t.Context(), verify.Trust{}, item("{}")); err != nil || answer.Result != policy.Malformed {
				t.Errorf("the next item: %+v, %v", answer, err)
			}
		})
	}
}

func TestAWorkerCanDoNothingElse(t *testing.T) {
	t.Setenv("GATEKEEPER_SECRET", "hunter2")
	p := newPool(t, 0)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for _, data := range []string{"write a file", "connect " + listener.Addr().String(), "read a file"} {
		answer, err := p.Verify(t.Context(), verify.Trust{}, item(data))
		if err != nil || answer.Reason == "<nil>" {
			t.Errorf("%s: %q, %v", data, answer.Reason, err)
		}
		t.Logf("%s: %s", data, answer.Reason)
	}
	answer, err := p.Verify(t.Context(), verify.Trust{}, item("environment"))
	if err != nil || strings.Contains(answer.Reason, "hunter2") || strings.Contains(answer.Reason, "PATH") {
		t.Errorf("%q, %v", answer.Reason, err)
	}
}

// What a worker wants to know about revocations, and what it is told, gets
// through.
func TestLookupsGetThrough(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0)
	question := item("lookups")
	answer, err := p.Verify(t.Context(), verify.Trust{}, question)
	if err != nil || len(answer.Lookups) != 1 || string(answer.Lookups[0].Chain[1]) != "\x02" || answer.Result != "" {
		t.Errorf("%+v, %v", answer, err)
	}
	question.Revoked = map[string]bool{"a": true}
	if answer, err = p.Verify(t.Context(), verify.Trust{}, question); err != nil || answer.Reason != "true" || len(answer.Lookups) != 0 {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestWorkersAreKeptAndShared(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0) // of two workers
	var mu sync.Mutex
	var wg sync.WaitGroup
	uses := map[string]int{} // by process
	for range 20 {
		wg.Go(func() {
			answer, err := p.Verify(t.Context(), verify.Trust{}, item("who"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || answer.Reason == "" {
				t.Errorf("%+v, %v", answer, err)
			}
			uses[answer.Reason]++
		})
	}
	wg.Wait()
	if len(uses) > 2 {
		t.Errorf("20 items in the processes %v, want two that are kept", uses)
	}
}

// A worker that has had long work is replaced before its CPU time is used up
// by an item that is not to blame.
func TestAWorkerIsReplacedAfterItsWork(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := confined.NewPool(confined.Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		now = now.Add(6 * time.Second)
		return now
	}})
	t.Cleanup(func() { _ = p.Close() })
	var who [3]string
	for i := range who {
		answer, err := p.Verify(t.Context(), verify.Trust{}, item("who"))
		if err != nil {
			t.Fatal(err)
		}
		who[i] = answer.Reason
	}
	if who[0] != who[1] || who[1] == who[2] {
		t.Errorf("processes %v, want another after the second", who)
	}
}

func TestCPUTimeIsLimited(t *testing.T) {
	t.Parallel()
	p := newPool(t, time.Minute)
	_, err := p.Verify(t.Context(), verify.Trust{}, item("spin"))
	if err == nil || !strings.Contains(err.Error(), "more than 6 s of CPU time") {
		t.Errorf("%v", err)
	}
}

func TestACancelledQuestionDoesNotHang(t *testing.T) {
	t.Parallel()
	p := newPool(t, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Verify(ctx, verify.Trust{}, item("hang")); err == nil {
		t.Error("no error")
	}
}

func TestABrokenTrustRootIsAnError(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0)
	trust := verify.Trust{TrustRoots: []verify.TrustRoot{{Name: "acme", Content: []byte("{}"), Keyless: true}}}
	if _, err := p.Verify(t.Context(), trust, item("{}")); err == nil || !strings.Contains(err.Error(), "trust root acme") {
		t.Errorf("%v", err)
	}
}

func TestAClosedPoolAnswersNothing(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), verify.Trust{}, item("{}")); err == nil {
		t.Error("no error")
	}
}
