package worker_test

import (
	"archive/tar"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
)

// The scanner sees runtimes where images of the projects themselves have them,
// and those that programs were compiled with.
func TestRuntimesAreFoundInLayers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	files := map[string]string{
		"usr/local/bin/node":       "\x7fELF\x00node.js/v20.11.0\x00",
		"usr/local/bin/python3.11": "\x7fELF\x003.11.4\x00python3.11\x00",
		"usr/local/bin/php":        "\x7fELF\x00X-Powered-By: PHP/8.3.4\x00",
		"usr/local/bin/perl":       "\x7fELF\x00/usr/local/lib/perl5/5.40.3\x00",
		"app/server":               compiled(t),
	}
	digest := b.push(t, withLayers(t, tarLayer(t, func(w *tar.Writer) error {
		var failed error
		for name, content := range files {
			err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
			_, writeErr := w.Write([]byte(content))
			failed = errors.Join(failed, err, writeErr)
		}
		return failed
	})))
	got, _, err := b.scan(t, b.scanner(t, nil), digest)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range got.Runtimes {
		version, _, _ := strings.Cut(r.Version, ".")
		found = append(found, r.Name+" "+version)
		if r.EndOfLife == nil && r.Name != "go" { // the Go at hand may be newer than the table
			t.Errorf("the end of %+v is not known", r)
		}
	}
	if text := strings.Join(found, ", "); text != "go 1, nodejs 20, perl 5, php 8, python 3" {
		t.Errorf("found %q in %+v", text, got.Packages)
	}
}

// compiled is a small program made by the Go at hand.
func compiled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": "package main\n\nfunc main() {}\n", "go.mod": "module example.com/server\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "server", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// An image without any was looked at.
func TestNoRuntimeIsNotTheSameAsNotLooking(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	digest := b.pushSpec(t, sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "curl", Version: "7.88.1-10"}}})
	got, _, err := b.scan(t, b.scanner(t, nil), digest)
	if err != nil || got.Runtimes == nil || len(got.Runtimes) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
