package policyset_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const services = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["team-*/**"]}
  wait: 1h
  signatures: [{name: ci, anyOf: [{keyFile: keys/ci.pub}]}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

var (
	stricter = strings.Replace(services, "wait: 1h", "wait: 1h\n  patchLevel: {maxAge: 30d}", 1)               //nolint:gochecknoglobals // a policy, as text
	inLog    = strings.Replace(services, "keys/ci.pub", "keys/ci.pub, trustRoot: acme", 1)                     //nolint:gochecknoglobals // a policy, as text
	inVault  = strings.Replace(services, "keyFile: keys/ci.pub", "kms: hashivault://ci", 1)                    //nolint:gochecknoglobals // a policy, as text
	infra    = strings.NewReplacer("name: services", "name: infra", "team-*/**", "infra/**").Replace(services) //nolint:gochecknoglobals // a policy, as text
)

func newKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// world is a folder of policies, what follows it, and what they tell.
type world struct {
	t       *testing.T
	dir     string
	set     *policyset.Set
	watcher *policyset.Watcher
	now     time.Time
	log     bytes.Buffer

	roots map[string]string // trust roots; absent: cannot be read
	kms   func() (string, error)
	asked int // a key management service

	followed  []string // the policies that the observer knew of when they came into force
	failed    bool     // the metric
	rejudged  []string // what an image of team-a was judged by, by call
	rejudging error
}

// newWorld starts with one policy and its key.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), roots: map[string]string{"acme": "one"}}
	key := newKey(t)
	w.kms = func() (string, error) { return key, nil }
	w.write("services.yaml", services)
	w.write("keys/ci.pub", key)
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

// open starts to follow the folder.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.set, err = policyset.Open(w.t.Context(), policyset.Source{
		Location: w.dir,
		KMS: func(context.Context, string) ([]byte, error) {
			w.asked++
			key, err := w.kms()
			return []byte(key), err
		},
		Check: func(all []policyfile.Policy) error {
			for _, p := range all {
				if p.Spec().Promote.To != "golden" {
					return errors.New("there is no registry " + p.Spec().Promote.To)
				}
			}
			return nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.watcher = policyset.NewWatcher(policyset.Deps{
		Set: w.set, TrustRoots: w, Rejudger: w, Observer: w, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	w.look()
}

// look looks until what is there counts, and no further.
func (w *world) look() {
	w.t.Helper()
	for range 3 {
		if w.watcher.Check(w.t.Context()) {
			return
		}
	}
	w.t.Fatal("the files never settle")
}

func (w *world) inForce() []string {
	var all []string
	for _, p := range w.set.Compiled() {
		all = append(all, p.Fingerprint())
	}
	return all
}

// logged counts the lines of a level.
func (w *world) logged(level string) int { return strings.Count(w.log.String(), "level="+level) }

func (w *world) Fingerprint(_ context.Context, name string) (string, error) {
	if f, ok := w.roots[name]; ok {
		return f, nil
	}
	return "", errors.New("it is broken")
}

func (w *world) Rejudge(_ context.Context, judgedBy func(source, repository, tag string) string) (int, error) {
	if w.rejudging != nil {
		return 0, w.rejudging
	}
	w.rejudged = append(w.rejudged, judgedBy("staging", "team-a/app", "v1"))
	return 7, nil
}

func (w *world) FollowPolicies(all []*policy.Compiled) {
	w.followed = nil
	for _, p := range all {
		w.followed = append(w.followed, p.Fingerprint())
	}
	if now := w.set.Compiled(); len(all) > 0 && len(now) > 0 && all[0] == now[0] {
		w.t.Error("policies are in force before anybody hears of them")
	}
}

func (w *world) PolicyReload(failed bool) { w.failed = failed }

// state is everything that may not change when a mistake is made.
func (w *world) state() map[string]string {
	return map[string]string{"in force": strings.Join(w.inForce(), " "), "judged by": strings.Join(w.rejudged, " ")}
}

func (w *world) wantUnchanged(since map[string]string) {
	w.t.Helper()
	if now := w.state(); !maps.Equal(now, since) {
		w.t.Errorf("%v, was %v", now, since)
	}
}
