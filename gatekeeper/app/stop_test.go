package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/notifications/distribution"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const onePush = `{"events":[{"id":"1","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","repository":"team-a/app","tag":"v1"}}]}`

// While a service stops it says that it is not ready, and still takes what
// registries report; then it ends well.
func TestAServiceThatStopsSaysSoFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := prepareData(dir); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := oneMachineConfig(dir, "127.0.0.1:1", "127.0.0.1:2", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Listen.Drain = policy.Duration(3 * time.Second)
	s, err := withPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := newService(t.Context(), s, listener, listener, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.run(ctx, nil) }()
	url := "http://" + listener.Addr().String()
	if code, body := ask(t, http.MethodGet, url+"/readyz", "", ""); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	stop()
	code, body := 0, ""
	for code != http.StatusServiceUnavailable {
		code, body = ask(t, http.MethodGet, url+"/readyz", "", "")
	}
	if !strings.Contains(body, "the service is stopping") {
		t.Error(body)
	}
	secret, err := c.Registries[0].Notifications.Secret()
	if err != nil {
		t.Fatal(err)
	}
	if code, body = ask(t, http.MethodPost, url+"/webhooks/staging", secret, onePush); code != http.StatusAccepted || !strings.Contains(body, `"accepted":1`) {
		t.Errorf("a push that is reported now: %d %s", code, body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func ask(t *testing.T, method, url, secret, content string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", distribution.ContentTypes()[0])
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // asks a server of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
