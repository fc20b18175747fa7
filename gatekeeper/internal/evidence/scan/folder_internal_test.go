package scan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A crash leaves a folder that nobody has locked. One that another process
// works in, and what is not ours, stays.
func TestOnlyWhatACrashLeftIsSwept(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	crashed, other := filepath.Join(parent, folderPrefix+"1"), filepath.Join(parent, "other")
	for _, dir := range []string{filepath.Join(crashed, "tmp", "locked up"), other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(crashed, "tmp"), 0); err != nil {
		t.Fatal(err)
	}
	working, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	for path, stays := range map[string]bool{crashed: false, other: true, working.path: true} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := working.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(working.path); err == nil {
		t.Error("the folder is still there")
	}
}

func TestAFolderIsMeasured(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	write := func(t *testing.T, dir string, n int) *os.File {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if _, err := f.Write([]byte(strings.Repeat("x", n))); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tt := range []struct {
		name string
		fill func(t *testing.T, dir string)
		want string
	}{
		{"little", func(t *testing.T, dir string) { t.Helper(); write(t, dir, 4096) }, ""},
		{"one large file", func(t *testing.T, dir string) { t.Helper(); write(t, dir, 2*most) }, "1 MiB (scanner.disk)"},
		{"a large file that is mostly a hole", func(t *testing.T, dir string) {
			t.Helper()
			if err := write(t, dir, 10).Truncate(1 << 40); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"many files", func(t *testing.T, dir string) {
			t.Helper()
			for i := range 200 {
				write(t, dir, 8192+i)
			}
		}, "scanner.disk"},
		{"a file that is removed and still open", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(write(t, dir, 2*most).Name()); err != nil {
				t.Fatal(err)
			}
		}, "scanner.disk"},
		{"paths too deep to follow", func(t *testing.T, dir string) {
			t.Helper()
			at, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			for range 30 {
				name := strings.Repeat("d", 200)
				if err := at.Mkdir(name, 0o700); err != nil {
					t.Fatal(err)
				}
				next, err := at.OpenRoot(name)
				if err = errors.Join(err, at.Close()); err != nil {
					t.Fatal(err)
				}
				at = next
			}
			if err := at.Close(); err != nil {
				t.Fatal(err)
			}
		}, syscall.ENAMETOOLONG.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tt.fill(t, dir)
			pid := 0 // nobody
			if strings.Contains(tt.name, "open") {
				pid = os.Getpid()
			}
			_, err := measure(dir, pid, most)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && !strings.Contains(got, tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestTheWatchEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := watch(ctx, t.TempDir(), os.Getpid(), 1<<20); err != nil {
		t.Error(err)
	}
}
