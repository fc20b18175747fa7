package trust_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
)

const target = "trusted_root.json"

// content is a trusted root; with padding it is another one.
func content(t *testing.T, padding int) []byte {
	t.Helper()
	data, err := os.ReadFile("public-good.json")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, bytes.Repeat([]byte("\n"), padding)...)
}

// key signs metadata.
type key struct {
	public *metadata.Key
	signer signature.Signer
}

func newKey(t *testing.T) key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	return key{k, signer}
}

// repository is a TUF repository that a test signs anew. The root has two
// keys, and needs both.
type repository struct {
	*httptest.Server
	t *testing.T

	roots   []key
	online  key // of the other roles
	version int64
	root    *metadata.Metadata[metadata.RootType]

	mu      sync.Mutex
	files   map[string][]byte
	asked   []string
	outage  int // the status that everything is answered with; 0: none
	handler http.HandlerFunc
	held    func() // what every request waits for
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t: t, roots: []key{newKey(t), newKey(t)}, online: newKey(t), files: map[string][]byte{}}
	r.root = r.rootOf(1, r.online)
	r.files["1.root.json"] = r.signed(r.root, r.roots...)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		data, ok := r.files[req.URL.Path[1:]]
		if !ok { // a mirror that lies serves a target by any path
			data, ok = r.files["targets/"+path.Base(req.URL.Path)]
		}
		r.asked = append(r.asked, req.RequestURI)
		outage, handler, held := r.outage, r.handler, r.held
		r.mu.Unlock()
		if held != nil {
			held()
		}
		switch {
		case handler != nil:
			handler(w, req)
		case outage != 0:
			w.WriteHeader(outage)
		case !ok:
			http.NotFound(w, req)
		default:
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *repository) expires() time.Time { return time.Now().Add(24 * time.Hour).UTC() }

// rootOf is a root in which a key has every role but the root's.
func (r *repository) rootOf(version int64, online key) *metadata.Metadata[metadata.RootType] {
	root := metadata.Root(r.expires())
	root.Signed.Version = version
	for _, k := range r.roots {
		r.check(root.Signed.AddKey(k.public, metadata.ROOT))
	}
	root.Signed.Roles[metadata.ROOT].Threshold = len(r.roots)
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		r.check(root.Signed.AddKey(online.public, role))
	}
	return root
}

// rotate publishes a new root, which revokes the online key.
func (r *repository) rotate() {
	r.online = newKey(r.t)
	r.root = r.rootOf(r.root.Signed.Version+1, r.online)
	r.put(fmt.Sprintf("%d.root.json", r.root.Signed.Version), r.signed(r.root, r.roots...))
}

func (r *repository) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) put(name string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = data
}

// pinned is the file with the first root.
func (r *repository) pinned() string {
	file := filepath.Join(r.t.TempDir(), "root.json")
	r.check(os.WriteFile(file, r.files["1.root.json"], 0o600))
	return file
}

// publish signs the targets anew, by the online key unless others are named.
func (r *repository) publish(targets map[string][]byte, by ...key) {
	r.t.Helper()
	r.version++
	if len(by) == 0 {
		by = []key{r.online}
	}
	all := metadata.Targets(r.expires())
	all.Signed.Version = r.version
	for name, data := range targets {
		info, err := metadata.TargetFile().FromBytes(name, data)
		r.check(err)
		all.Signed.Targets[name] = info
		r.put("targets/"+hex.EncodeToString(info.Hashes["sha256"])+"."+path.Base(name), data)
	}
	snapshot := metadata.Snapshot(r.expires())
	snapshot.Signed.Version = r.version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(r.version)
	stamp := metadata.Timestamp(r.expires())
	stamp.Signed.Version = r.version
	stamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(r.version)
	r.put(fmt.Sprintf("%d.targets.json", r.version), r.signedTargets(all, by))
	r.put(fmt.Sprintf("%d.snapshot.json", r.version), r.signedSnapshot(snapshot, by))
	r.put("timestamp.json", r.signedTimestamp(stamp, by))
}

func (r *repository) signed(m *metadata.Metadata[metadata.RootType], by ...key) []byte {
	return written(r, m, by)
}

func (r *repository) signedTargets(m *metadata.Metadata[metadata.TargetsType], by []key) []byte {
	return written(r, m, by)
}

func (r *repository) signedSnapshot(m *metadata.Metadata[metadata.SnapshotType], by []key) []byte {
	return written(r, m, by)
}

func (r *repository) signedTimestamp(m *metadata.Metadata[metadata.TimestampType], by []key) []byte {
	return written(r, m, by)
}

func written[T metadata.Roles](r *repository, m *metadata.Metadata[T], by []key) []byte {
	r.t.Helper()
	m.ClearSignatures()
	for _, k := range by {
		_, err := m.Sign(k.signer)
		r.check(err)
	}
	data, err := m.ToBytes(false)
	r.check(err)
	return data
}

// state is what a mirror kept of the repository.
func (r *repository) state() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

// goBack serves an earlier state.
func (r *repository) goBack(to map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(to)
}

func (r *repository) fails(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outage = status
}

func (r *repository) answers(handler http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = handler
}

// holds makes requests wait until they are let go. It returns a channel that
// says when the first has arrived.
func (r *repository) holds() (arrived chan struct{}, letGo func()) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = func() {
		once.Do(func() { close(arrived) })
		<-gate
	}
	letGo = sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(letGo)
	return arrived, letGo
}

func (r *repository) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.asked...)
}

// world is a store of one trust root in a repository, and its clock.
type world struct {
	*trust.Store
	dir string
	log *bytes.Buffer
	now time.Time
}

func newWorld(t *testing.T, root trust.Root, dir string) *world {
	t.Helper()
	w := &world{dir: dir, log: &bytes.Buffer{}, now: time.Now()}
	w.Store = trust.New([]trust.Root{root}, trust.Deps{
		Dir: dir, Client: &http.Client{Timeout: 10 * time.Second}, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	return w
}

func (r *repository) trust() trust.Root {
	return trust.Root{Name: "acme", TUF: &trust.TUF{URL: r.URL, RootFile: r.pinned(), Target: target}, Require: verify.Require{LogEntries: 1}}
}

func (r *repository) world() *world { return newWorld(r.t, r.trust(), r.t.TempDir()) }

// again is the same store after a restart.
func (w *world) again(t *testing.T, root trust.Root) *world {
	t.Helper()
	next := newWorld(t, root, w.dir)
	next.now = w.now
	return next
}

func (w *world) get(ctx context.Context) ([]byte, error) {
	root, err := w.TrustRoot(ctx, "acme")
	return root.Content, err
}
