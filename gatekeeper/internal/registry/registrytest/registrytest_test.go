package registrytest_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry/registrytest"
)

// A client that goes away in the middle of a manifest, as one does whose
// context ends, leaves nothing: real registries compare with the length.
func TestATruncatedManifestIsNotStored(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) string{"Distribution": registrytest.Distribution, "with a referrers API": registrytest.WithReferrers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: %s\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 100\r\n\r\n{", host); err != nil {
				t.Fatal(err)
			}
			half, ok := conn.(*net.TCPConn)
			if !ok {
				t.Fatalf("%T", conn)
			}
			if err := half.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil { // until the registry has dealt with it
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/app/manifests/v1", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("a tag after half a manifest: status %d", resp.StatusCode)
			}
		})
	}
}
