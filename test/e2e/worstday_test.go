package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// onSmallDisk has a stack's service run with a folder that is a file system of
// its own, of so many bytes, and returns where that is for the test. The
// service is started with the returned function.
func onSmallDisk(t *testing.T, s *harness.Stack, dir string, size int) (serve func() string) {
	t.Helper()
	probe := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", dir)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("a small file system needs user and mount namespaces: %v %s", err, out)
	}
	return func() string {
		script := fmt.Sprintf(`mount -t tmpfs -o size=%d none %s && exec "$0" "$@"`, size, dir)
		s.ServeWith(t, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script)
		return filepath.Join("/proc", strconv.Itoa(s.Process.Cmd.Process.Pid), "root", dir)
	}
}

// On a full disk nothing is lost and nothing is done twice: the registry is told
// to come again, /readyz says why, and everything goes on once there is space.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	s.Process.Stop(t)
	disk := filepath.Join(s.Dir, "disk")
	if err := os.Mkdir(disk, 0o750); err != nil {
		t.Fatal(err)
	}
	serve := onSmallDisk(t, s, disk, 8<<20)
	config, err := os.ReadFile(s.Path("gatekeeper.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "gatekeeper.yaml", strings.Replace(string(config), s.Dir+"/gatekeeper.db", disk+"/gatekeeper.db", 1))
	inside := serve()
	before := harness.Push(t, s.Staging+"/team-a/before:v1")
	harness.Sign(t, "tag", s.Keys.Private, s.Staging+"/team-a/before@"+before.String())
	s.Await(t, "team-a/before", before, harness.Promoted)

	fill(t, filepath.Join(inside, "filler"))
	digest := harness.Push(t, s.Staging+"/team-a/app:v1")
	harness.Sign(t, "tag", s.Keys.Private, s.Staging+"/team-a/app@"+digest.String())
	awaitReadiness(t, s, http.StatusServiceUnavailable, "gatekeeper.db: the disk is full")
	status, header := report(t, s)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("a push on a full disk: %d %v", status, header)
	}
	if err := os.Remove(filepath.Join(inside, "filler")); err != nil {
		t.Fatal(err)
	}
	s.Await(t, "team-a/app", digest, harness.Promoted)
	awaitReadiness(t, s, http.StatusOK, `"ready":true`)
	if status, _ := report(t, s); status != http.StatusAccepted {
		t.Errorf("a push when there is space again: %d", status)
	}
	yes := 0
	for _, d := range s.Decisions(t, "repository=team-a/app") {
		if d.Verdict == "promoted" {
			yes++
		}
	}
	if yes != 1 {
		t.Errorf("%d decisions to promote, want 1", yes)
	}
}

// fill writes until there is no space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for block := 64 << 10; block >= 1; block /= 4 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, block))
		}
	}
}

// report sends a notification and returns the answer.
func report(t *testing.T, s *harness.Stack) (int, http.Header) {
	t.Helper()
	body := fmt.Sprintf(`{"events":[{"id":%q,"action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","repository":"team-a/none","tag":"v1"}}]}`,
		t.Name()+time.Now().String(), strings.Repeat("a", 64))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Webhooks+"/webhooks/staging", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v1+json")
	req.Header.Set("Authorization", "Bearer "+harness.WebhookSecret)
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Header
}

// awaitReadiness polls /readyz until it says what the test waits for.
func awaitReadiness(t *testing.T, s *harness.Stack, status int, text string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got, body := harness.Get(t, s.Admin+"/readyz")
		if got == status && strings.Contains(string(body), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz: %d %s", got, body)
		}
	}
}

// On SIGTERM the service ends by itself, with status 0.
func TestACleanStop(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	s.Process.Stop(t)
	if code := s.Process.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, s.Process.Output.String())
	}
}

// Storage that cannot be written keeps the service from starting, and it says
// why.
func TestReadOnlyStorage(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	s.Process.Stop(t)
	disk := filepath.Join(s.Dir, "disk")
	if err := os.Mkdir(disk, 0o750); err != nil {
		t.Fatal(err)
	}
	onSmallDisk(t, s, disk, 0)
	config, err := os.ReadFile(s.Path("gatekeeper.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "gatekeeper.yaml", strings.Replace(string(config), s.Dir+"/gatekeeper.db", disk+"/gatekeeper.db", 1))
	script := fmt.Sprintf(`mount -t tmpfs -o ro none %s && exec "$0" "$@"`, disk)
	serve := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script,
		harness.Gatekeeper(t), "serve", "--config", s.Path("gatekeeper.yaml"))
	out, err := serve.CombinedOutput()
	if serve.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), disk+"/gatekeeper.db: the file cannot be written; mount its folder read-write") {
		t.Errorf("%v\n%s", err, out)
	}
}
