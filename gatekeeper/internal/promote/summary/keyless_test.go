package summary_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
)

func now() time.Time { return time.Unix(1_800_000_000, 0) }

// tokenFile holds a token with claims that nobody verifies here.
func tokenFile(t *testing.T, claims string) string {
	t.Helper()
	return textFile(t, "e30."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".c2ln\n")
}

func textFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTokensThatAreNotSent(t *testing.T) {
	t.Parallel()
	asked := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a token was sent") }))
	t.Cleanup(asked.Close)
	for name, c := range map[string]struct{ file, want string }{
		"absent":      {filepath.Join(t.TempDir(), "absent"), "no such file"},
		"empty":       {textFile(t, ""), "no JSON Web Token"},
		"no token":    {textFile(t, "secret"), "no JSON Web Token"},
		"not base64":  {textFile(t, "a.!.b"), "no JSON Web Token"},
		"not JSON":    {textFile(t, "a.aaaa.b"), "no JSON Web Token"},
		"endless":     {textFile(t, strings.Repeat("x", 1<<17)), "more than 65536 bytes"},
		"expired":     {tokenFile(t, fmt.Sprintf(`{"sub":"gatekeeper","exp":%d}`, now().Unix())), "expired at 2027-01-15T08:00:00Z"},
		"exp is text": {tokenFile(t, `{"exp":"tomorrow"}`), "no JSON Web Token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := summary.Keyless{Fulcio: asked.URL, Rekor: asked.URL, TokenFile: c.file, Now: now}
			_, err := k.Sign(t.Context(), statement(t, facts()))
			if err == nil || !strings.Contains(err.Error(), "identity token") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What a service answers goes into a journal and a log: it is named, quoted,
// and bounded.
func TestAFulcioThatRefuses(t *testing.T) {
	t.Parallel()
	file := tokenFile(t, fmt.Sprintf(`{"sub":"gatekeeper","exp":%d}`, now().Unix()+1))
	for name, c := range map[string]struct {
		status int
		text   string
		want   string
	}{
		"out of order":    {http.StatusServiceUnavailable, "try\x1b[31m later", "answers 503 Service Unavailable: try [31m later"},
		"too many":        {http.StatusTooManyRequests, "slow down", "answers 429 Too Many Requests: slow down"},
		"another issuer":  {http.StatusBadRequest, "no such issuer", "Fulcio returned 400: no such issuer"},
		"endless":         {http.StatusBadGateway, strings.Repeat("x", 1<<20), "xxx"},
		"endless refusal": {http.StatusForbidden, strings.Repeat("x", 1<<20), "xxx"},
		"no certificate":  {http.StatusOK, "{}", "no certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			fulcio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e30.") {
					t.Errorf("authorization %q", r.Header.Get("Authorization"))
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.text))
			}))
			t.Cleanup(fulcio.Close)
			_, err := summary.Keyless{Fulcio: fulcio.URL + "/", TokenFile: file, Now: now}.Sign(t.Context(), statement(t, facts()))
			if err == nil || !strings.Contains(err.Error(), "ask Fulcio at "+fulcio.URL+" for a certificate") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if asked != 1 {
				t.Errorf("asked %d times while others wait", asked)
			}
		})
	}
}

func TestSigningEndsWithItsContext(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(end) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k := summary.Keyless{Fulcio: silent.URL, TokenFile: tokenFile(t, `{"sub":"gatekeeper"}`), Now: now}
	if _, err := k.Sign(ctx, statement(t, facts())); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), silent.URL) {
		t.Error(err)
	}
}

func TestSigningConfigurationsThatNameNobody(t *testing.T) {
	t.Parallel()
	token := tokenFile(t, `{"sub":"gatekeeper"}`)
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":   {"{", "signing configuration"},
		"no service": {`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}`, "certificate authority"},
		"outdated": {`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[{"url":"https://fulcio.example.com",
			"majorApiVersion":1,"validFor":{"start":"2020-01-01T00:00:00Z","end":"2021-01-01T00:00:00Z"},"operator":"example.com"}]}`, "certificate authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := summary.Keyless{SigningConfig: textFile(t, c.text), TokenFile: token, Now: now}
			if _, err := k.Sign(t.Context(), statement(t, facts())); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
