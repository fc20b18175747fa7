package trust_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// want asks for a content of the trust root.
func want(t *testing.T, w *world, content []byte) {
	t.Helper()
	got, err := w.get(t.Context())
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(content))
	}
}

// wantError asks for an error that says something.
func wantError(t *testing.T, w *world, text string) {
	t.Helper()
	if got, err := w.get(t.Context()); err == nil || !strings.Contains(err.Error(), text) || len(got) > 0 {
		t.Errorf("got %d bytes, %v; want an error with %q", len(got), err, text)
	}
}

func TestThePublicInstanceIsBuiltIn(t *testing.T) {
	t.Parallel()
	s := trust.New(nil, trust.Deps{})
	root, err := s.TrustRoot(t.Context(), policy.DefaultTrustRoot)
	if err != nil || root.Require != (verify.Require{CertificateTimestamps: 1, LogEntries: 1, Timestamps: 1}) || !bytes.Equal(root.Content, content(t, 0)) {
		t.Errorf("%+v, %v", root.Require, err)
	}
	if err := verify.CheckTrustRoot(root.Content); err != nil {
		t.Error(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if _, err := s.TrustRoot(t.Context(), "acme"); err == nil || s.Has("acme") || !s.Has(policy.DefaultTrustRoot) {
		t.Errorf("a trust root that is not there: %v", err)
	}
}

func TestAFileIsReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, trust.Root{Name: "acme", File: file}, t.TempDir())
	wantError(t, w, file)
	if err := w.Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	write(content(t, 0))
	want(t, w, content(t, 0))
	write(content(t, 1))
	want(t, w, content(t, 1))
	write([]byte("{}"))
	wantError(t, w, "no trusted root")
	write(bytes.Repeat([]byte(" "), verify.MaxTrustRoot+100))
	wantError(t, w, "at most")
	write(content(t, 0))
	want(t, w, content(t, 0))
	if err := w.Check(); err != nil {
		t.Error(err)
	}
}

func TestARepositoryIsAskedWhenItIsTime(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	want(t, w, content(t, 0))
	r.publish(map[string][]byte{target: content(t, 1)})
	asked := len(r.requests())
	w.now = w.now.Add(11 * time.Hour)
	want(t, w, content(t, 0))
	if n := len(r.requests()); n != asked {
		t.Errorf("asked %d times too early", n-asked)
	}
	w.now = w.now.Add(2 * time.Hour)
	want(t, w, content(t, 1))
	r.rotate()
	r.publish(map[string][]byte{target: content(t, 2)})
	w.now = w.now.Add(13 * time.Hour)
	want(t, w, content(t, 2))
	// After a restart it goes on from the root that it knows.
	r.publish(map[string][]byte{target: content(t, 3)})
	asked = len(r.requests())
	want(t, w.again(t, r.trust()), content(t, 3))
	for _, request := range r.requests()[asked:] {
		if strings.HasSuffix(request, "/2.root.json") {
			t.Error("it began with the pinned root")
		}
	}
}

// While the repository does not answer, the last answer counts for some days;
// without one nothing is known.
func TestAnOutageOfTheRepository(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	r.fails(http.StatusServiceUnavailable)
	wantError(t, w, "503")
	asked := len(r.requests())
	w.now = w.now.Add(30 * time.Second)
	wantError(t, w, "503")
	if n := len(r.requests()); n != asked {
		t.Errorf("asked again %d times too soon", n-asked)
	}
	r.fails(0)
	w.now = w.now.Add(time.Minute)
	want(t, w, content(t, 0))
	r.fails(http.StatusServiceUnavailable)
	w.now = w.now.Add(6 * 24 * time.Hour)
	want(t, w, content(t, 0))
	if !strings.Contains(w.log.String(), "cannot be renewed") || !strings.Contains(w.log.String(), "503") {
		t.Errorf("the log says nothing of it: %s", w.log)
	}
	w.now = w.now.Add(24 * time.Hour)
	wantError(t, w, "503")
	r.fails(0)
	w.now = w.now.Add(2 * time.Minute)
	want(t, w, content(t, 0))
}

// A restart while the repository is down goes on with what was fetched before,
// for as long as it would have counted.
func TestARestartDuringAnOutage(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	want(t, w, content(t, 0))
	r.fails(http.StatusServiceUnavailable)
	w = w.again(t, r.trust())
	want(t, w, content(t, 0))
	r.Close()
	w = w.again(t, r.trust())
	want(t, w, content(t, 0))
	w = w.again(t, r.trust())
	w.now = w.now.Add(8 * 24 * time.Hour)
	wantError(t, w, "connect")
}

// What the repository signs is looked at too.
func TestATargetHasToBeATrustedRoot(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: []byte("{}")})
	wantError(t, r.world(), "no trusted root")
	r.publish(map[string][]byte{"another.json": content(t, 0)})
	wantError(t, r.world(), "trusted_root.json")
}

func TestTheFetcherHasLimits(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	r.answers(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		t.Error("64 MiB were read")
	})
	wantError(t, w, "is larger than")
}

// A redirect could lead anywhere, for example to what only this machine can
// reach.
func TestTheFetcherFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
		r := newRepository(t)
		r.publish(map[string][]byte{target: content(t, 0)})
		r.answers(func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, elsewhere.URL, status) })
		wantError(t, r.world(), strconv.Itoa(status))
	}
}

func TestAMissingPinnedRoot(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	root := r.trust()
	root.TUF.RootFile += ".missing"
	w := newWorld(t, root, t.TempDir())
	wantError(t, w, "the pinned root")
	if err := w.Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// An empty file is no trust root, and the mistake names the file.
func TestAnEmptyFileIsNoTrustRoot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, trust.Root{Name: "acme", File: file}, t.TempDir())
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}
