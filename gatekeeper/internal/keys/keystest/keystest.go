// Package keystest makes keys for tests.
package keystest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
)

// New makes a key pair as cosign writes it, without a password, and returns
// the loaded key and the public one in PEM.
func New(tb testing.TB) (key *keys.Signer, public []byte) {
	tb.Helper()
	pair, err := cosignkey.Generate(nil)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "test.key")
	if err := os.WriteFile(file, pair.Private, 0o600); err != nil {
		tb.Fatal(err)
	}
	key, err = keys.Load(tb.Context(), keys.Reference{Key: file})
	if err != nil {
		tb.Fatal(err)
	}
	return key, pair.Public
}
