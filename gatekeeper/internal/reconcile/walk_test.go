package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Each tag that a policy is about costs one request, and no more than some are
// under way.
func TestAWalkIsSparing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &double{names: []string{"a", "b", "c", "d", "e", "f", "g", "h"}, tags: numbered(500)}
		d.resolve = func(context.Context, string, string) error {
			<-time.NewTimer(time.Millisecond).C
			return nil
		}
		s := newSetup(t, d, func(s *reconcile.Source) { s.Concurrent = 3 }, match{[]string{"**", "!h"}, []string{"v*", "!v*9"}})
		s.walk(t)
		asked, top, listed := d.requests()
		if asked != 7*450 || len(listed) != 7 || slices.Contains(listed, "h") {
			t.Errorf("%d tags asked for in %v", asked, listed)
		}
		if top != 3 {
			t.Errorf("%d requests at a time", top)
		}
		if got := s.observed.both(); got != [2]int{7 * 450, 1} || s.books.largest > 200 {
			t.Errorf("%v, up to %d at a time", got, s.books.largest)
		}
	})
}

// What a walk holds does not grow with the registry.
func TestMemoryIsBounded(t *testing.T) {
	d := &double{tags: numbered(10_000)}
	for i := range 20 {
		d.names = append(d.names, fmt.Sprintf("team-a/application-%d", i))
	}
	s := newSetup(t, d, nil, everything())
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	s.books.newest = map[string]string{}
	before, most, n := heap(), uint64(0), 0
	s.books.each = func() {
		s.books.handed, s.books.newest = nil, map[string]string{} // not the walk's
		if n++; n%100 == 0 {
			most = max(most, heap())
		}
	}
	s.walk(t)
	const limit = 16 << 20 // all of it together would be 50 MB
	if most > before+limit || n < 20*50 {
		t.Errorf("%d MB more after %d batches", (most-before)>>20, n)
	}
	t.Logf("%d MB for 200,000 tags", (int64(most)-int64(before))>>20)
}

func TestTheShareOfTheRateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &double{names: []string{"a"}, tags: numbered(99)}
		s := newSetup(t, d, func(s *reconcile.Source) { s.RequestsPerSecond = 10 }, everything())
		begun := time.Now()
		s.walk(t) // a list of repositories, one of tags, 99 tags
		if took := time.Since(begun).Round(time.Millisecond); took != 10*time.Second {
			t.Errorf("101 requests at 10 a second took %s", took)
		}
	})
}

func TestACancelledWalkEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		d := &double{names: []string{"a", "b", "c"}, tags: numbered(1000)}
		d.resolve = func(ctx context.Context, _, tag string) error {
			if tag > "v00003" { // hangs
				<-ctx.Done()
			}
			return ctx.Err()
		}
		s := newSetup(t, d, nil, everything())
		begun := time.Now()
		if err := s.Walk(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %s", took)
		}
		if asked, _, _ := d.requests(); asked > 30 {
			t.Errorf("%d tags were asked for", asked)
		}
		if len(s.books.tags()) > 0 || s.observed.both() != [2]int{0, 0} || strings.Contains(s.log.String(), "not compared") {
			t.Errorf("handed over, or taken for troubles:\n%s", s.log)
		}
	})
}

// resting is the error of a registry that says when to come back.
type resting time.Duration

func (r resting) Error() string             { return "come back" }
func (r resting) RetryAfter() time.Duration { return time.Duration(r) }

// A registry that wants to rest, and one that is down, is left alone.
func TestAWalkEndsWhenGoingOnIsOfNoUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		most int // tags asked for; 16 are under way when it ends
		ends bool
	}{
		{"it names a time", resting(time.Minute), 30, true},
		{"it names no time", resting(0), 1000, false},
		{"too many requests", &registry.Error{StatusCode: http.StatusTooManyRequests}, 30, true},
		{"it is down", &registry.Error{Err: errors.New("connection refused")}, 30, true},
		{"it fails", &registry.Error{StatusCode: http.StatusInternalServerError}, 30, true},
		{"it refuses", &registry.Error{StatusCode: http.StatusForbidden}, 1000, false},
		{"it lies", gatekeeper.ErrInvalidContent, 1000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &double{names: []string{"a", "b", "c", "d"}, tags: numbered(250)}
			d.resolve = func(context.Context, string, string) error { return fmt.Errorf("resolve: %w", tt.err) }
			s := newSetup(t, d, nil, everything())
			err := s.Walk(t.Context())
			if !errors.Is(err, tt.err) || strings.Contains(fmt.Sprint(err), "ended early") != tt.ends {
				t.Errorf("%v", err)
			}
			if asked, _, _ := d.requests(); asked > tt.most || !tt.ends && asked < tt.most {
				t.Errorf("%d tags were asked for", asked)
			}
			if n := strings.Count(s.log.String(), "not compared"); n > 10 || n == 0 {
				t.Errorf("%d lines in the log", n)
			}
			if s.observed.both() != [2]int{0, 0} {
				t.Errorf("%v", s.observed.both())
			}
		})
	}
}

// One word of a registry that wants to rest is enough, and no more are waited
// for.
func TestARegistryThatWantsToRestIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, rest := range []error{resting(time.Second), &registry.Error{StatusCode: http.StatusTooManyRequests}} {
		d := &double{names: []string{"a", "b", "c"}, tags: numbered(100)}
		d.resolve = func(_ context.Context, _, tag string) error {
			if tag == "v00003" {
				return rest
			}
			return nil
		}
		s := newSetup(t, d, func(s *reconcile.Source) { s.Concurrent = 1 }, everything())
		if err := s.Walk(t.Context()); !errors.Is(err, rest) {
			t.Errorf("%v, want %v", err, rest)
		}
		if asked, _, _ := d.requests(); asked != 4 {
			t.Errorf("%v: %d tags were asked for", rest, asked)
		}
	}
}

// Failures between answers are those of single tags.
func TestScatteredFailuresDoNotEndAWalk(t *testing.T) {
	t.Parallel()
	d := &double{names: []string{"a"}, tags: numbered(200)}
	d.resolve = func(_ context.Context, _, tag string) error {
		if strings.HasSuffix(tag, "5") {
			return &registry.Error{StatusCode: http.StatusInternalServerError}
		}
		return nil
	}
	s := newSetup(t, d, func(s *reconcile.Source) { s.Concurrent = 1 }, everything())
	if err := s.Walk(t.Context()); err == nil || s.observed.both() != [2]int{180, 0} {
		t.Errorf("%v, %v", err, s.observed.both())
	}
}

// A tag or a repository that is deleted meanwhile is no trouble.
func TestWhatIsGoneIsNoTrouble(t *testing.T) {
	t.Parallel()
	d := &double{names: []string{"a", "b"}}
	d.tags = func(repository string) ([]string, error) {
		if repository == "b" {
			return nil, fmt.Errorf("tags: %w", gatekeeper.ErrNotFound)
		}
		return []string{"v1", "v2"}, nil
	}
	d.resolve = func(_ context.Context, _, tag string) error {
		if tag == "v1" {
			return fmt.Errorf("resolve: %w", gatekeeper.ErrNotFound)
		}
		return nil
	}
	s := newSetup(t, d, nil, everything())
	s.walk(t)
	if diff := cmp.Diff([]string{"a:v2"}, s.books.tags()); diff != "" || s.observed.both() != [2]int{1, 1} {
		t.Errorf("%v (-want +got)\n%s", s.observed.both(), diff)
	}
}

// Without the journal there is nothing to compare with.
func TestAJournalThatFailsEndsTheWalk(t *testing.T) {
	t.Parallel()
	d := &double{names: []string{"a", "b", "c", "d", "e", "f", "g", "h"}, tags: numbered(1000)}
	s := newSetup(t, d, nil, everything())
	s.books.err = errors.New("disk full")
	if err := s.Walk(t.Context()); !errors.Is(err, s.books.err) {
		t.Errorf("%v", err)
	}
	if asked, _, _ := d.requests(); asked > 4*200 {
		t.Errorf("%d tags were asked for", asked)
	}
}

// Where staging and golden are one registry, what was promoted is no push: it
// would be promoted again, and again.
func TestWhatWasPromotedIsNoPush(t *testing.T) {
	t.Parallel()
	d := &double{names: []string{"app", "golden/app"}, tags: func(string) ([]string, error) { return []string{"v1", "v2"}, nil }}
	promoted := map[string]string{"mirror/golden/app:v1": digestOf("golden/app:v1"), "mirror/golden/app:v2": digestOf("an older one")}
	for _, tt := range []struct {
		to   string
		want []string
	}{
		{"mirror", []string{"app:v1", "app:v2", "golden/app:v2"}},
		{"golden", []string{"app:v1", "app:v2", "golden/app:v1", "golden/app:v2"}},
	} {
		compiled := []*policy.Compiled{promotes(t, "services", tt.to, everything())}
		b, o := &books{golden: promoted}, &observed{}
		r := reconcile.New(reconcile.Source{Name: "staging", Repositories: policy.Globs{"**"}, Aliases: []string{"staging", "mirror"}}, reconcile.Deps{
			Registry: d, Journal: b, Golden: b, Policies: func() []*policy.Compiled { return compiled }, Observer: o, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		if err := r.Walk(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, b.tags()); diff != "" {
			t.Errorf("to %s (-want +got)\n%s", tt.to, diff)
		}
	}
}

// A walk that ends early is followed by one that begins elsewhere.
func TestEachWalkHasAnotherOrder(t *testing.T) {
	t.Parallel()
	d := &double{tags: numbered(1)}
	for i := range 50 {
		d.names = append(d.names, fmt.Sprint("r", i))
	}
	s := newSetup(t, d, func(s *reconcile.Source) { s.Concurrent = 1 }, everything())
	s.walk(t)
	s.walk(t)
	_, _, listed := d.requests()
	if len(listed) != 100 || slices.Equal(listed[:50], listed[50:]) {
		t.Error("two walks of one order")
	}
}

// A policy that is loaded later counts from the next walk on.
func TestPoliciesAreAskedForAtEachWalk(t *testing.T) {
	t.Parallel()
	d := &double{names: []string{"a"}, tags: numbered(3)}
	var mu sync.Mutex
	var inForce []*policy.Compiled
	b := &books{}
	r := reconcile.New(reconcile.Source{Name: "staging", Repositories: policy.Globs{"**"}}, reconcile.Deps{
		Registry: d, Journal: b, Golden: b, Observer: &observed{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Policies: func() []*policy.Compiled {
			mu.Lock()
			defer mu.Unlock()
			return inForce
		},
	})
	for want := range 2 {
		if err := r.Walk(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.tags(); len(got) != 3*want {
			t.Errorf("walk %d: %v", want, got)
		}
		mu.Lock()
		inForce = []*policy.Compiled{promotes(t, "later", "golden", everything())}
		mu.Unlock()
	}
}
