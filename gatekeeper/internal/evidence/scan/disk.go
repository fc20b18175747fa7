package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// How often a scan's folder is measured: often, but never for more than a
// twentieth of the time, however much is in it.
const (
	measureEvery = 250 * time.Millisecond
	measureShare = 20
)

// maxEntries is how many files and folders one scan may make.
const maxEntries = 1 << 20

// errGrown says that a scan's folder has more in it than it may.
var errGrown = errors.New("a limit of the scan's folder")

// watch measures a folder until ctx ends, or until it has more than it may
// have; then it returns why.
func watch(ctx context.Context, dir string, pid int, most uint64) error {
	every := measureEvery
	for {
		began := time.Now()
		if err := measure(dir, pid, most); err != nil {
			return err
		}
		every = max(measureEvery, measureShare*time.Since(began))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// measure returns an error when what is in a folder, and what a process has
// open though it is removed, takes more than most bytes, or when that cannot be
// found out.
func measure(dir string, pid int, most uint64) error {
	used, entries := removedButOpen(pid), 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed in the meantime
		}
		if err != nil {
			return err
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("%w: the scanner made more than %d files and was ended", errGrown, maxEntries)
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if used += allocated(info); used > most {
			return fmt.Errorf("%w: the scan needed more than %d MiB of disk (scanner.disk) and was ended", errGrown, most>>20)
		}
		return nil
	})
	if err == nil || errors.Is(err, errGrown) {
		return err
	}
	return fmt.Errorf("the scanner hid what it wrote, and was ended: %w", err)
}

// removedButOpen is the space of files that a process has open and that are in
// no folder any more.
func removedButOpen(pid int) (used uint64) {
	open := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(open)
	if err != nil {
		return 0 // it has ended
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(open, e.Name()))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink == 0 {
			used += allocated(info)
		}
	}
	return used
}

// allocated is the space that a file takes, in bytes: holes take none.
func allocated(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return uint64(max(0, info.Size()))
	}
	const block = 512 // stat(2), st_blocks
	return uint64(max(0, stat.Blocks)) * block
}
