package keys_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
)

// silenced stands before a Vault that says nothing more once silent is set.
func silenced(t *testing.T, target string, silent *atomic.Bool) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	forward := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			<-end
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	return server.URL
}

// Vault's client has no limit of its own, and takes no context.
func TestAVaultThatSaysNothing(t *testing.T) {
	var silent atomic.Bool
	t.Setenv("VAULT_ADDR", silenced(t, vault(t, newECDSA(t, elliptic.P256())), &silent))
	t.Setenv("VAULT_TOKEN", "token-of-the-test")
	s, err := keys.Load(t.Context(), keys.Reference{Key: "hashivault://golden"})
	if err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	patient := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for i := range 20 { // more than may be without an answer
		if _, _, err := s.SignData(patient(), []byte("data")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "key management service") {
			t.Errorf("signing %d: %v", i, err)
		}
	}
	if _, err := keys.Load(patient(), keys.Reference{Key: "hashivault://golden"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("load: %v", err)
	}
	if _, err := keys.PublicKeyPEM(patient(), "hashivault://golden"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("public key: %v", err)
	}
}
