package keys_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
)

// Vault's client takes no context: a server that never answers would hold
// everybody up for its own timeout, and its retries.
func TestAServiceThatNeverAnswersIsNotWaitedFor(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	t.Setenv("VAULT_ADDR", vault(t, key))
	t.Setenv("VAULT_TOKEN", "token-of-the-test")
	ended := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	t.Cleanup(func() {
		close(ended)
		silent.Close()
	})
	t.Setenv("VAULT_ADDR", silent.URL)
	for name, call := range map[string]func(context.Context) error{
		"a signing key": func(ctx context.Context) error {
			_, err := keys.Load(ctx, keys.Reference{Key: "hashivault://golden"})
			return err
		},
		"a policy's key": func(ctx context.Context) error {
			_, err := keys.PublicKeyPEM(ctx, "hashivault://golden")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			returnsInTime(t, func() error { return call(ctx) })
		})
	}
}

func TestASignatureThatNeverComesIsNotWaitedFor(t *testing.T) {
	ended := make(chan struct{})
	address := vault(t, newECDSA(t, elliptic.P256()))
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-ended
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.Redirect(w, r, address+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(func() {
		close(ended)
		silent.Close()
	})
	t.Setenv("VAULT_ADDR", silent.URL)
	t.Setenv("VAULT_TOKEN", "token-of-the-test")
	s, err := keys.Load(t.Context(), keys.Reference{Key: "hashivault://golden"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	returnsInTime(t, func() error {
		_, _, err := s.SignData(ctx, []byte("a summary"))
		return err
	})
}

// Vault's client dereferences what an empty answer does not have.
func TestAnEmptyAnswerIsAnError(t *testing.T) {
	address := vault(t, newECDSA(t, elliptic.P256()))
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			http.Redirect(w, r, address+r.URL.Path, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(empty.Close)
	t.Setenv("VAULT_ADDR", empty.URL)
	t.Setenv("VAULT_TOKEN", "token-of-the-test")
	s, err := keys.Load(t.Context(), keys.Reference{Key: "hashivault://golden"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SignData(t.Context(), []byte("a summary")); err == nil || !strings.Contains(err.Error(), "sign with hashivault://golden") {
		t.Errorf("%v", err)
	}
}

// returnsInTime wants the error of a deadline that names the key.
func returnsInTime(t *testing.T, call func() error) {
	t.Helper()
	returned := make(chan error, 1)
	go func() { returned <- call() }()
	select {
	case err := <-returned:
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hashivault://golden") {
			t.Errorf("%v, want that the time for hashivault://golden was over", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is still waiting")
	}
}

func TestALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]time.Duration{"load": keys.LoadTimeout, "sign": keys.SignTimeout} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				begun := time.Now()
				_, err := keys.Within(t.Context(), limit, func(context.Context) (string, error) {
					<-ended
					return "", nil
				})
				if took := time.Since(begun); took != limit || took > time.Minute {
					t.Errorf("took %s", took)
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "key management service within "+limit.String()) {
					t.Errorf("%v", err)
				}
				close(ended)
			})
		})
	}
}
