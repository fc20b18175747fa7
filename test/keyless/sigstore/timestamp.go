package sigstore

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

const timestampPath = "/api/v1/timestamp"

// authorityHandler is the timestamp authority with a key in memory. Its
// package holds that key in a variable and takes its settings from viper, so
// that there is one in a process: all Stacks share it.
var authorityHandler = sync.OnceValue(func() http.Handler { //nolint:gochecknoglobals // the authority's package is global, too
	viper.Set("timestamp-signer", "memory")
	viper.Set("timestamp-signer-hash", "sha256")
	viper.Set("include-chain-in-response", false)
	const policy = "1.3.6.1.4.1.57264.2" // Sigstore's
	viper.Set("default-policy-oid", policy)
	viper.Set("accepted-policy-oids", []string{policy})
	const timeout = 30 * time.Second
	return server.NewRestAPIServer("127.0.0.1", 0, []string{"http"}, false, timeout, timeout).GetHandler()
})

// timestampAuthority answers requests for RFC 3161 timestamps.
type timestampAuthority struct {
	url   string
	chain []*x509.Certificate // leaf first
}

func startTimestampAuthority(tb testing.TB) *timestampAuthority {
	tb.Helper()
	listener := httptest.NewServer(authorityHandler())
	tb.Cleanup(listener.Close)
	text, err := fetch(tb, listener.URL+timestampPath+"/certchain")
	if err != nil {
		tb.Fatalf("certificates of the timestamp authority: %v", err)
	}
	chain, err := cryptoutils.UnmarshalCertificatesFromPEM(text)
	if err != nil {
		tb.Fatalf("certificates of the timestamp authority: %v", err)
	}
	return &timestampAuthority{url: listener.URL, chain: chain}
}

// fetch reads up to 1 MiB from a server of the Stack.
func fetch(tb testing.TB, url string) ([]byte, error) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", url, err)
	}
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return body, nil
}
