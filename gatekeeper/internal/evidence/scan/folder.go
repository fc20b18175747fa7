package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
)

// folderPrefix is how the names of scans' folders begin.
const folderPrefix = "gatekeeper-scan-"

// folder is where one scan works. It is locked for as long as the process that
// made it lives and works there.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes a folder below parent; empty: the system's for temporary
// files.
func newFolder(parent string) (folder, error) {
	path, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return folder{}, fmt.Errorf("make a folder for the scan: %w", err)
	}
	lock, err := lockFolder(path)
	if err != nil {
		// Another process took it for one that a crash left.
		return folder{}, errors.Join(fmt.Errorf("lock the scan's folder: %w", err), os.RemoveAll(path))
	}
	return folder{path, lock}, nil
}

func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0) //nolint:gosec // ours
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f folder) remove() error {
	return errors.Join(confine.Remove(f.path), f.lock.Close())
}

// sweep removes the folders that scans of processes that are no more left
// below parent.
func sweep(parent string) error {
	if parent == "" {
		parent = os.TempDir()
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("look for what earlier scans left: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), folderPrefix) || !isOurs(e) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		lock, err := lockFolder(path)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist):
			continue // at work, or gone
		case err != nil:
			errs = append(errs, fmt.Errorf("remove what an earlier scan left: %w", err))
		default:
			errs = append(errs, folder{path, lock}.remove())
		}
	}
	return errors.Join(errs...)
}

// isOurs says whether the user of this process owns an entry: the system's
// folder for temporary files has those of others too.
func isOurs(e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
