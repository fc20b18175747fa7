// Package harness runs the product and the programs around it as processes,
// for the end-to-end tests and the benchmarks.
package harness

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
	RegistryModule = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"
	CosignModule   = "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
	Cosign3Module  = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"
)

// tools builds each program once for the whole run. Finished programs are kept
// in the user's cache folder, by module and version.
var tools = struct { //nolint:gochecknoglobals // one build for all tests
	sync.Mutex
	built map[string]string
}{built: map[string]string{}}

// Tool returns the path of a program built from its pinned module.
func Tool(tb testing.TB, module string) string {
	tb.Helper()
	tools.Lock()
	defer tools.Unlock()
	if path, ok := tools.built[module]; ok {
		return path
	}
	path, err := installTool(tb.Context(), module)
	if err != nil {
		tb.Fatalf("build %s: %v", module, err)
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

// binaries are the product, built once from this tree for each set of build
// tags.
var binaries = struct { //nolint:gochecknoglobals // one build for all tests
	sync.Mutex
	built map[string]string
}{built: map[string]string{}}

// Gatekeeper returns the path of the product's binary.
func Gatekeeper(tb testing.TB) string {
	tb.Helper()
	return gatekeeperWith(tb, "")
}

// Killable returns the path of a binary of the product that kills itself where
// the environment variable GATEKEEPER_FAILPOINT says.
func Killable(tb testing.TB) string {
	tb.Helper()
	return gatekeeperWith(tb, "failpoint")
}

func gatekeeperWith(tb testing.TB, tags string) string {
	tb.Helper()
	binaries.Lock()
	defer binaries.Unlock()
	if path, ok := binaries.built[tags]; ok {
		return path
	}
	dir, err := os.MkdirTemp("", "gatekeeper-e2e-") //nolint:usetesting // outlives the test that builds it
	if err != nil {
		tb.Fatal(err)
	}
	// Built in its own module, whose versions it ships with: the caller may be
	// in another.
	const module = "github.com/golden-gatekeeper/gatekeeper"
	root, err := exec.CommandContext(tb.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		tb.Fatalf("find the module of gatekeeper: %v", err)
	}
	path := filepath.Join(dir, "gatekeeper")
	build := exec.CommandContext(tb.Context(), "go", "build", "-tags", tags, "-o", path, module+"/cmd/gatekeeper")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build gatekeeper: %v\n%s", err, out)
	}
	binaries.built[tags] = path
	return path
}

// Main runs the tests of a package and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	Clean()
	os.Exit(code)
}

// Clean removes what was built for the tests, for those whose TestMain does
// more than Main.
func Clean() {
	for _, path := range binaries.built {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}
