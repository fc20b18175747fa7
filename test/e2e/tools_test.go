package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The real programs, at the versions the product is built against.
const (
	registryModule = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"
	cosignModule   = "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
)

// tools builds each program once for the whole run. Finished programs are kept
// in the user's cache folder, by module and version.
var tools = struct { //nolint:gochecknoglobals // one build for all tests
	sync.Mutex
	built map[string]string
}{built: map[string]string{}}

// tool returns the path of a program built from its pinned module.
func tool(t *testing.T, module string) string {
	t.Helper()
	tools.Lock()
	defer tools.Unlock()
	if path, ok := tools.built[module]; ok {
		return path
	}
	path, err := installTool(t.Context(), module)
	if err != nil {
		t.Fatalf("build %s: %v", module, err)
	}
	tools.built[module] = path
	return path
}

func installTool(ctx context.Context, module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	importPath, version, _ := strings.Cut(module, "@")
	dir := filepath.Join(cache, "gatekeeper-test-tools", filepath.Base(importPath)+"-"+version)
	path := filepath.Join(dir, filepath.Base(importPath))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// Built aside and renamed: another run may be building the same.
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	install := exec.CommandContext(ctx, "go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+work, "CGO_ENABLED=0", "GOFLAGS=")
	install.Dir = work
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	return path, os.Rename(filepath.Join(work, filepath.Base(importPath)), path)
}

// gatekeeperBinary is built once from this tree.
var gatekeeperBinary = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one build for all tests
	dir, err := os.MkdirTemp("", "gatekeeper-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatekeeper")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", path, "github.com/golden-gatekeeper/gatekeeper/cmd/gatekeeper")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func gatekeeper(t *testing.T) string {
	t.Helper()
	path, err := gatekeeperBinary()
	if err != nil {
		t.Fatalf("build gatekeeper: %v", err)
	}
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := gatekeeperBinary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}
