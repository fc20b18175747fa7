package trust_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// fingerprint is that of the trust root; empty when it cannot be used.
func (w *world) fingerprint(t *testing.T) string {
	t.Helper()
	got, err := w.Fingerprint(t.Context(), "acme")
	if (got == "") != (err != nil) {
		t.Errorf("%q, %v", got, err)
	}
	return got
}

func TestTheFingerprintFollowsAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := trust.Root{Name: "acme", File: file, Require: verify.Require{LogEntries: 1}}
	w := newWorld(t, root, t.TempDir())
	if got := w.fingerprint(t); got != "" {
		t.Errorf("without a file it is %s", got)
	}
	write(content(t, 0))
	first := w.fingerprint(t)
	write(content(t, 1))
	second := w.fingerprint(t)
	if first == "" || second == "" || first == second {
		t.Errorf("%q, then %q", first, second)
	}
	write([]byte("{}"))
	if got := w.fingerprint(t); got != "" {
		t.Errorf("of a broken file it is %s", got)
	}
	write(content(t, 0))
	if got := w.again(t, root).fingerprint(t); got != first {
		t.Errorf("after a restart %q, before %q", got, first)
	}
	root.Require.Timestamps++
	if got := w.again(t, root).fingerprint(t); got == first || got == "" {
		t.Errorf("it does not tell what is required: %q", got)
	}
}

func TestTheFingerprintFollowsARepository(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(map[string][]byte{target: content(t, 0)})
	w := r.world()
	first := w.fingerprint(t)
	r.publish(map[string][]byte{target: content(t, 1)})
	if got := w.fingerprint(t); got != first || first == "" {
		t.Errorf("%q, and %q before what counts changed", first, got)
	}
	w.now = w.now.Add(13 * time.Hour)
	second := w.fingerprint(t)
	if second == first || second == "" {
		t.Errorf("%q, then %q", first, second)
	}
	r.fails(http.StatusServiceUnavailable)
	w.now = w.now.Add(13 * time.Hour)
	if got := w.fingerprint(t); got != second {
		t.Errorf("in an outage %q, before %q", got, second)
	}
	w.now = w.now.Add(8 * 24 * time.Hour)
	if got := w.fingerprint(t); got != "" {
		t.Errorf("the last answer is too old to count, and has the fingerprint %q", got)
	}
}

func TestTheFingerprintOfWhatIsBuiltIn(t *testing.T) {
	t.Parallel()
	s := trust.New(nil, trust.Deps{})
	if got, err := s.Fingerprint(t.Context(), policy.DefaultTrustRoot); err != nil || got == "" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := s.Fingerprint(t.Context(), "acme"); err == nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}
