// Package database installs and describes the scanner's vulnerability
// database.
package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anchore/clio"
	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/distribution"
	"github.com/anchore/grype/grype/db/v6/installation"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// The limits of an update.
const (
	checkTimeout  = 30 * time.Second
	updateTimeout = 15 * time.Minute
)

// Status describes the installed database.
type Status struct {
	Dir      string    `json:"dir"`
	Built    time.Time `json:"built"`
	Schema   string    `json:"schema"`
	Checksum string    `json:"checksum"` // of the installed file, to tell databases apart
	Source   string    `json:"source,omitempty"`
	Sample   bool      `json:"sample,omitempty"`
}

// ErrAbsent says that no database is installed.
var ErrAbsent = errors.New("there is no vulnerability database; run gatekeeper db update, or gatekeeper db import FILE on a machine without a way out")

// Describe says which database is installed, without reading all of it.
func Describe(dir string) (Status, error) {
	d, err := v6.ReadDescription(scan.DatabaseFile(dir))
	switch {
	case errors.Is(err, v6.ErrDBDoesNotExist) || err == nil && d == nil:
		return Status{Dir: dir}, ErrAbsent
	case err != nil:
		return Status{Dir: dir}, fmt.Errorf("the vulnerability database in %s cannot be read; run gatekeeper db update: %w", dir, err)
	}
	_, sample := os.Stat(scan.SampleMark(dir))
	return Status{
		Dir: dir, Built: d.Built.UTC(), Schema: d.SchemaVersion.String(), Checksum: scan.DatabaseChecksum(dir), Sample: sample == nil,
	}, nil
}

// Verify describes the installed database and makes sure that it still has
// the checksum it was installed with. It reads the whole file.
func Verify(dir string) (Status, error) {
	s, err := Describe(dir)
	if err != nil {
		return s, err
	}
	curator, err := newCurator(dir, "")
	if err != nil {
		return s, err
	}
	full := curator.Status()
	s.Source = full.From
	if full.Error != nil {
		return s, fmt.Errorf("the vulnerability database in %s is damaged; run gatekeeper db update: %w", dir, full.Error)
	}
	return s, nil
}

// newCurator leaves the age of a database to the policies.
func newCurator(dir, url string) (v6.Curator, error) {
	cfg := distribution.DefaultConfig()
	cfg.ID = clio.Identification{Name: "gatekeeper"}
	cfg.CheckTimeout, cfg.UpdateTimeout = checkTimeout, updateTimeout
	cfg.RequireUpdateCheck = true
	if url != "" {
		cfg.LatestURL = url
	}
	client, err := distribution.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare the database's download: %w", err)
	}
	curator, err := installation.NewCurator(installation.Config{DBRootDir: dir, ValidateChecksum: true}, client)
	if err != nil {
		return nil, fmt.Errorf("prepare the database's installation: %w", err)
	}
	return curator, nil
}

// Update installs the newest database from the vendor, or from a mirror of its
// listing. It says whether there was a newer one. A sample is always replaced.
func Update(ctx context.Context, dir, url string) (bool, error) {
	if err := removeSample(dir); err != nil {
		return false, err
	}
	curator, err := newCurator(dir, url)
	if err != nil {
		return false, err
	}
	updated, err := interruptible(ctx, curator.Update)
	if err != nil {
		return false, fmt.Errorf("update the vulnerability database: %w (without a way out, use gatekeeper db import FILE)", err)
	}
	return updated, nil
}

func removeSample(dir string) error {
	if _, err := os.Stat(scan.SampleMark(dir)); err != nil {
		return nil //nolint:nilerr // there is no sample to remove
	}
	if err := os.RemoveAll(filepath.Dir(scan.DatabaseFile(dir))); err != nil {
		return fmt.Errorf("remove the sample database: %w", err)
	}
	return nil
}

// Import installs a database from an archive (.tar.zst, .tar.gz, .tar.xz) or a
// database file (.db). With a checksum, hexadecimal SHA-256, nothing else is
// installed: the checksum within is no protection.
func Import(ctx context.Context, dir, archive, checksum string) error {
	if strings.Contains(archive, "://") {
		return fmt.Errorf("%s is no file; download it first, or use gatekeeper db update", archive)
	}
	if checksum != "" {
		if err := checkSum(archive, checksum); err != nil {
			return err
		}
	}
	curator, err := newCurator(dir, "")
	if err != nil {
		return err
	}
	_, err = interruptible(ctx, func() (bool, error) { return true, curator.Import(archive) })
	if err != nil {
		return fmt.Errorf("import %s: %w", archive, err)
	}
	if err := os.Remove(scan.SampleMark(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("import %s: %w", archive, err)
	}
	return nil
}

func checkSum(file, want string) (err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	got := hex.EncodeToString(sum.Sum(nil))
	if !strings.EqualFold(got, strings.TrimPrefix(want, "sha256:")) {
		return fmt.Errorf("%s has the SHA-256 %s, not %s; nothing was installed", file, got, want)
	}
	return nil
}

// interruptible lets the caller go when ctx ends; the library's own timeouts
// end what it does.
func interruptible(ctx context.Context, f func() (bool, error)) (bool, error) {
	type outcome struct {
		ok  bool
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		ok, err := f()
		done <- outcome{ok, err}
	}()
	select {
	case o := <-done:
		return o.ok, o.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
