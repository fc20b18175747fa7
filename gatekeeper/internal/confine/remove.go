package confine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove removes a folder with all that a worker left in it, folders that the
// worker locked up included.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walked := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d == nil || !d.IsDir() || err != nil {
			return err
		}
		return os.Chmod(path, 0o700) //nolint:gosec // a folder, about to be removed
	})
	if err := os.RemoveAll(dir); err != nil {
		return errors.Join(err, walked)
	}
	return nil
}
