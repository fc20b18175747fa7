package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/notifications/distribution"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// push is the notification of one push.
func push(id string) string {
	return fmt.Sprintf(`{"events":[{"id":%q,"action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"sha256:%s","repository":"team-a/app","tag":"v1"}}]}`, id, strings.Repeat("a", 63)+id)
}

// assembled is a service of one machine with a configuration that edit changes.
func assembled(t *testing.T, log *slog.Logger, edit func(*config.Config)) (svc *service, url, secret string) {
	t.Helper()
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
	edit(c)
	s, err := withPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if svc, err = newService(t.Context(), s, listener, listener, log); err != nil {
		t.Fatal(err)
	}
	if secret, err = c.Registries[0].Notifications.Secret(); err != nil {
		t.Fatal(err)
	}
	return svc, "http://" + listener.Addr().String(), secret
}

// While a service stops it says that it is not ready, and still takes what
// registries report; then it ends well.
func TestAServiceThatStopsSaysSoFirst(t *testing.T) {
	t.Parallel()
	svc, url, secret := assembled(t, slog.New(slog.DiscardHandler), func(c *config.Config) { c.Listen.Drain = policy.Duration(3 * time.Second) })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.run(ctx, nil) }()
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
	if code, body = ask(t, http.MethodPost, url+"/webhooks/staging", secret, push("1")); code != http.StatusAccepted || !strings.Contains(body, `"accepted":1`) {
		t.Errorf("a push that is reported now: %d %s", code, body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Without its database a service answers within seconds that it cannot take
// anything, says why and gives no password away; it goes on when the database
// is back, and stops well when it is not.
func TestAServiceWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedLog
	svc, url, secret := assembled(t, slog.New(slog.NewTextHandler(&log, nil)), func(c *config.Config) {
		c.Storage.URL, c.Storage.PasswordFile = server.NewDatabase(t), password
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.run(ctx, nil) }()
	report := func(id string, want int) {
		began := time.Now()
		code, body := ask(t, http.MethodPost, url+"/webhooks/staging", secret, push(id))
		if took := time.Since(began); code != want || took > 9*time.Second {
			t.Errorf("push %s: %d %s after %s", id, code, body, took)
		}
	}
	unready := func(text string) {
		if code, body := ask(t, http.MethodGet, url+"/readyz", "", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, text) || strings.Contains(body, "correct-horse") {
			t.Errorf("%d %s", code, body)
		}
	}
	report("1", http.StatusAccepted)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	report("3", http.StatusServiceUnavailable)
	unready("cannot be reached")
	began := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Errorf("a stop without the database: %v", err)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("a stop without the database takes %s", took)
	}
	t.Logf("stopped in %s", time.Since(began))
	if strings.Contains(log.String(), "correct-horse") {
		t.Error("the log has the password")
	}
}

// lockedLog keeps what is logged.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
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
