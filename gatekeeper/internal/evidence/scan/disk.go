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

// A scan's folder is measured again after this time, and after more the more is
// in it, so that measuring takes a small part of a processor.
const (
	measureAfter    = 250 * time.Millisecond
	measureForEntry = 5 * time.Microsecond
)

// maxEntries is how many files and folders a scan may have in its folder. It
// has a few for each layer and those of archives in it.
const maxEntries = 1 << 17

// errGrown says that a scan's folder has more in it than it may.
var errGrown = errors.New("the scan outgrew its folder and was ended")

// watch measures a folder until ctx ends, or until it has more than it may
// have; then it returns why.
func watch(ctx context.Context, dir string, pid int, most uint64) error {
	for {
		entries, err := measure(dir, pid, most)
		if err != nil {
			return err
		}
		again := time.NewTimer(measureAfter + time.Duration(entries)*measureForEntry)
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-again.C:
		}
	}
}

// measure returns how many files and folders are in a folder, and an error when
// they are too many, when they and what a process has open though it is
// removed take more than most bytes, or when that cannot be found out.
func measure(dir string, pid int, most uint64) (entries int, err error) {
	used := removedButOpen(pid)
	if used > most {
		return 0, tooMuchDisk(most)
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return unlessGone(err)
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("%w: it made more than %d files", errGrown, maxEntries)
		}
		info, err := d.Info()
		if err != nil {
			return unlessGone(err)
		}
		if used += allocated(info); used > most {
			return tooMuchDisk(most)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errGrown) {
		err = fmt.Errorf("%w: what it wrote cannot be measured: %w", errGrown, err)
	}
	return entries, err
}

func tooMuchDisk(most uint64) error {
	return fmt.Errorf("%w: it needed more than %d MiB (scanner.disk)", errGrown, most>>20)
}

// unlessGone drops the error about a file that was removed in the meantime.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
