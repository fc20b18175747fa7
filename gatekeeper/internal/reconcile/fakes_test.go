package reconcile_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run")) // Distribution leaves it behind
}

// books is a Journal that knows the newest digest of each tag, and what was
// promoted.
type books struct {
	mu      sync.Mutex
	newest  map[string]string // by repository:tag
	golden  map[string]string // by registry/repository:tag
	handed  []notifications.Push
	largest int
	err     error
	each    func() // called for each batch; may be nil
}

func (b *books) Reconcile(_ context.Context, found []notifications.Push) (missed int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.each != nil {
		b.each()
	}
	b.largest = max(b.largest, len(found))
	for _, p := range found {
		if b.handed = append(b.handed, p); b.newest[p.Repository+":"+p.Tag] == p.Digest {
			continue
		}
		missed++
		if b.newest == nil {
			b.newest = map[string]string{}
		}
		b.newest[p.Repository+":"+p.Tag] = p.Digest
	}
	return missed, b.err
}

func (b *books) Golden(_ context.Context, registry, repository, tag string) (gatekeeper.GoldenReference, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	digest, ok := b.golden[registry+"/"+repository+":"+tag]
	return gatekeeper.GoldenReference{Digest: digest}, ok, b.err
}

// tags lists what was handed over, sorted, and forgets it.
func (b *books) tags() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, p := range b.handed {
		all = append(all, p.Repository+":"+p.Tag)
	}
	b.handed = nil
	slices.Sort(all)
	return all
}

// observed is an Observer.
type observed struct {
	mu     sync.Mutex
	missed int
	whole  int // walks that compared everything
}

func (o *observed) ReconcileMissed(_ string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missed += n
}

func (o *observed) Reconciled(string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.whole++
}

func (o *observed) both() [2]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return [2]int{o.missed, o.whole}
}

// setup is a reconciler with its fakes.
type setup struct {
	*reconcile.Reconciler
	books    *books
	observed *observed
	log      *strings.Builder
}

// match is the rest of what a policy says about which pushes it takes.
type match struct{ repositories, tags []string }

func newSetup(tb testing.TB, r reconcile.Registry, change func(*reconcile.Source), policies ...match) setup {
	tb.Helper()
	s := setup{books: &books{}, observed: &observed{}, log: &strings.Builder{}}
	source := reconcile.Source{Name: "staging", Repositories: policy.Globs{"**"}, Aliases: []string{"staging"}}
	if change != nil {
		change(&source)
	}
	var compiled []*policy.Compiled
	for i, m := range policies {
		compiled = append(compiled, promotes(tb, fmt.Sprint("policy-", i), "golden", m))
	}
	s.Reconciler = reconcile.New(source, reconcile.Deps{
		Registry: r, Journal: s.books, Golden: s.books, Policies: func() []*policy.Compiled { return compiled },
		Observer: s.observed, Now: time.Now, Log: slog.New(slog.NewTextHandler(&locked{w: s.log}, nil)),
	})
	return s
}

// locked is a writer for several.
type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func promotes(tb testing.TB, name, to string, m match) *policy.Compiled {
	tb.Helper()
	compiled, err := policy.Compile(policy.Policy{
		APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: name},
		Spec: policy.Spec{
			From: "staging", Match: policy.Match{Repositories: m.repositories, Tags: m.tags},
			Rules:   []policy.Rule{{Name: "any", Expression: "true", Message: "never"}},
			Promote: policy.Promote{To: to, Repository: "{{ .Repository }}", Tags: []string{"{{ .Tag }}"}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return compiled
}

func everything() match { return match{repositories: []string{"**"}} }

// walk has to end without an error.
func (s setup) walk(t *testing.T) {
	t.Helper()
	if err := s.Walk(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type unobserved struct{}

func (unobserved) RegistryRequest(string, int)     {}
func (unobserved) BlobBytes(string, string, int64) {}

// client is a client of a real registry, or of a double.
func client(tb testing.TB, host string) *registry.Registries {
	tb.Helper()
	r, err := registry.New([]registry.Settings{{Name: "staging", URL: &url.URL{Scheme: "http", Host: host}}},
		registry.Deps{Observer: unobserved{}, UserAgent: "test", Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// push writes an image that nobody has and returns its digest.
func push(tb testing.TB, host, repository, tag string) string {
	tb.Helper()
	image, err := random.Image(16, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return pushImage(tb, host, repository, tag, image)
}

func pushImage(tb testing.TB, host, repository, tag string, image v1.Image) string {
	tb.Helper()
	ref, err := name.ParseReference(host + "/" + repository + ":" + tag)
	if err != nil {
		tb.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(tb.Context())); err != nil {
		tb.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		tb.Fatal(err)
	}
	return digest.String()
}

// double is a Registry in memory, whose answers the test may change.
type double struct {
	names   []string
	tags    func(repository string) ([]string, error)
	resolve func(ctx context.Context, repository, tag string) error // before the answer; may be nil

	mu         sync.Mutex
	asked      int // tags resolved
	listed     []string
	under, top int // requests under way, and how many these were at most
}

func (d *double) begin() (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under++
	d.top = max(d.top, d.under)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.under--
	}
}

func (d *double) Repositories(_ context.Context, _ string, each func(string) error) error {
	defer d.begin()()
	for _, name := range d.names {
		if err := each(name); err != nil {
			return err
		}
	}
	return nil
}

func (d *double) Tags(_ context.Context, repo registry.Repository) ([]string, error) {
	defer d.begin()()
	d.mu.Lock()
	d.listed = append(d.listed, repo.Name)
	d.mu.Unlock()
	return d.tags(repo.Name)
}

func (d *double) Resolve(ctx context.Context, _, repository, tag string) (gatekeeper.Descriptor, error) {
	defer d.begin()()
	d.mu.Lock()
	d.asked++
	d.mu.Unlock()
	if d.resolve != nil {
		if err := d.resolve(ctx, repository, tag); err != nil {
			return gatekeeper.Descriptor{}, err
		}
	}
	return gatekeeper.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digestOf(repository + ":" + tag)}, nil
}

func (d *double) requests() (asked, top int, listed []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked, d.top, slices.Clone(d.listed)
}

// numbered are n tags, as registries list them.
func numbered(n int) func(string) ([]string, error) {
	return func(string) ([]string, error) {
		tags := make([]string, n)
		for i := range tags {
			tags[i] = fmt.Sprintf("v%05d", i)
		}
		return tags, nil
	}
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
