// Package scan catalogues an image's packages and matches them against a
// vulnerability database. Layers are hostile: they are looked at by a process
// of its own with bounded memory, time and file sizes, an empty environment
// and no credentials.
package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Source reads from a registry.
type Source interface {
	Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error)
	OpenBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor) (io.ReadCloser, error)
}

// Options set up a Scanner. A zero value means the default.
type Options struct {
	Database   string // the folder of the vulnerability database
	Dir        string // where images are unpacked for a moment; the system's temporary folder
	MaxSize    int64  // bytes of one platform's layers, compressed; 8 GiB
	Timeout    time.Duration
	Concurrent int64 // scans at a time; 2
	Limits     Limits
	Log        *slog.Logger // required
}

// The defaults.
const (
	defaultMaxSize    = 8 << 30
	defaultTimeout    = 10 * time.Minute
	defaultConcurrent = 2
	cachedScans       = 1024
)

// Scanner implements gatekeeper.Scanner. It is safe for concurrent use.
type Scanner struct {
	source     Source
	opts       Options
	places     *semaphore.Weighted
	flights    singleflight.Group
	done       *lru.Cache[string, result]
	namespaces func() uintptr // that workers get
}

type result struct {
	scan    *policy.Scan
	problem string
}

// New returns a scanner.
func New(source Source, opts Options) (*Scanner, error) {
	if opts.MaxSize == 0 {
		opts.MaxSize = defaultMaxSize
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Concurrent == 0 {
		opts.Concurrent = defaultConcurrent
	}
	opts.Limits = opts.Limits.WithDefaults()
	done, err := lru.New[string, result](cachedScans)
	if err != nil {
		return nil, fmt.Errorf("make the scanner's cache: %w", err)
	}
	s := &Scanner{source: source, opts: opts, places: semaphore.NewWeighted(opts.Concurrent), done: done}
	s.namespaces = confine.Allowed(confine.ProcessesToo, opts.Log, WorkerArgument, ProbeArgument)
	return s, nil
}

// Scan implements gatekeeper.Scanner. What was scanned with the same database
// before is not scanned again.
func (s *Scanner) Scan(ctx context.Context, subject policy.Subject, p policy.Platform) (*policy.Scan, *policy.Problem, error) {
	r, err := s.remembered(ctx, p.Digest, func(ctx context.Context, dir string) (Request, error) {
		layout := layout{dir: dir, source: s.source, repository: registry.Repository{Registry: subject.Registry, Name: subject.Repository}}
		return Request{Layout: layout.path()}, layout.fetch(ctx, p.Digest, s.opts.MaxSize)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("scan %s (%s): %w", p.Name, p.Digest, err)
	}
	if r.scan == nil {
		return nil, r.asProblem(), nil
	}
	found := *r.scan
	// The origin is what was asked for, whatever the worker says.
	found.Catalogue = policy.Catalogue{From: policy.CatalogueLayers}
	return &found, r.asProblem(), nil
}

func (r result) asProblem() *policy.Problem {
	if r.problem == "" {
		return nil
	}
	return &policy.Problem{Part: policy.PartVulnerabilities, Reason: r.problem}
}

// prepare puts what is to be scanned into a folder.
type prepare func(ctx context.Context, dir string) (Request, error)

// remembered scans what the digest names, unless that was done before with
// the same database.
func (s *Scanner) remembered(ctx context.Context, digest string, prepare prepare) (result, error) {
	key := digest + " " + DatabaseChecksum(s.opts.Database)
	if r, known := s.done.Get(key); known {
		return r, nil
	}
	flight := s.flights.DoChan(key, func() (any, error) {
		// Several judgements may wait for this scan: it does not end with
		// the first of them.
		r, err := s.scan(context.WithoutCancel(ctx), prepare)
		if err == nil && r.problem == "" {
			s.done.Add(key, r)
		}
		return r, err
	})
	select {
	case f := <-flight:
		r, _ := f.Val.(result)
		return r, f.Err
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
}

func (s *Scanner) scan(ctx context.Context, prepare prepare) (_ result, err error) {
	defer func() {
		// In a goroutine of its own a panic would end the service.
		if r := recover(); r != nil {
			err = fmt.Errorf("the scan panicked: %v", r)
		}
	}()
	if err := s.places.Acquire(ctx, 1); err != nil {
		return result{}, err
	}
	defer s.places.Release(1)
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	dir, err := os.MkdirTemp(s.opts.Dir, "gatekeeper-scan-")
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	request, err := prepare(ctx, dir)
	if err != nil {
		return result{}, err
	}
	request.Database, request.Limits = s.opts.Database, s.opts.Limits
	response, err := s.run(ctx, dir, request)
	switch {
	case err != nil:
		return result{}, err
	case response.Error != "":
		return result{}, errors.New(response.Error)
	case response.Scan == nil:
		return result{}, errors.New("the scanner answered nothing")
	}
	return result{response.Scan, response.Problem}, nil
}
