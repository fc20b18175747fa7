// Package scan catalogues an image's packages and matches them against a
// vulnerability database. Layers are hostile: they are looked at by a process
// of its own with bounded memory, time and file sizes, an empty environment
// and no credentials.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
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
	Database   string        // the folder of the vulnerability database
	Dir        string        // where images are unpacked for a moment; the system's temporary folder
	MaxSize    int64         // bytes of one platform's layers, compressed; 8 GiB
	Disk       int64         // bytes that one scan may take of the disk, the layers included; five times MaxSize
	Timeout    time.Duration // for one platform, without the wait for a place; 10 minutes
	Concurrent int64         // scans at a time; 2
	Limits     Limits
	Log        *slog.Logger     // required
	Now        func() time.Time // tells when a scan ended; not recorded when nil
}

// The defaults.
const (
	defaultMaxSize    = 8 << 30
	defaultDisk       = 5 // times the largest size
	defaultTimeout    = 10 * time.Minute
	defaultConcurrent = 2
	defaultMemory     = 4 << 30
	defaultFiles      = 1024
	cachedScans       = 1024
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	o.MaxSize = cmp.Or(o.MaxSize, defaultMaxSize)
	o.Disk = cmp.Or(o.Disk, defaultDisk*min(o.MaxSize, math.MaxInt64/defaultDisk))
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Concurrent = cmp.Or(o.Concurrent, defaultConcurrent)
	o.Limits.Memory = cmp.Or(o.Limits.Memory, defaultMemory)
	o.Limits.Files = cmp.Or(o.Limits.Files, defaultFiles)
	o.Limits.CPU = cmp.Or(o.Limits.CPU, uint64(math.Ceil(max(1, o.Timeout.Seconds()))))
	return o
}

// Scanner implements gatekeeper.Scanner. It is safe for concurrent use.
type Scanner struct {
	source Source
	opts   Options
	places places
	shared shared
	done   *lru.Cache[string, result]
	kernel func() confine.Kernel // what workers are confined with
}

type result struct {
	scan    *policy.Scan
	problem string
}

// New returns a scanner. It removes what scans of a process that crashed left
// in the folder.
func New(source Source, opts Options) (*Scanner, error) {
	opts = opts.withDefaults()
	done, err := lru.New[string, result](cachedScans)
	if err != nil {
		return nil, fmt.Errorf("make the scanner's cache: %w", err)
	}
	if err := sweep(opts.Dir); err != nil {
		return nil, err
	}
	return &Scanner{source: source, opts: opts, places: newPlaces(opts.Concurrent), done: done, kernel: probed(opts.Log)}, nil
}

// probed finds out, when it is first asked, what workers can be confined with,
// and logs it.
func probed(log *slog.Logger) func() confine.Kernel {
	return sync.OnceValue(func() confine.Kernel {
		k, err := confine.Probe(WorkerArgument, ProbeArgument)
		if err != nil {
			log.Error("no scan can be confined, and none will be made", slog.Any("error", err))
		}
		k.Log(log, WorkerArgument)
		return k
	})
}

// Unconfined lists what the kernel, or the container, does not let scans be
// confined with; empty: nothing is missing.
func (s *Scanner) Unconfined() []string { return s.kernel().Missing() }

// Scan implements gatekeeper.Scanner. What was scanned with the same database
// before is not scanned again.
func (s *Scanner) Scan(ctx context.Context, subject policy.Subject, p policy.Platform) (*policy.Scan, *policy.Problem, error) {
	from := origin{s.source, registry.Repository{Registry: subject.Registry, Name: subject.Repository}}
	r, err := s.remembered(ctx, p.Digest, func(ctx context.Context) (job, error) {
		return from.describe(ctx, p.Digest, min(s.opts.MaxSize, s.opts.Disk))
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

// job is something to scan.
type job struct {
	size int64 // bytes to fetch
	// prepare puts it into a folder.
	prepare func(ctx context.Context, dir string) (Request, error)
}

// describe finds out what there is to scan.
type describe func(ctx context.Context) (job, error)

// remembered scans what the digest names, unless that was done before with
// the same database.
func (s *Scanner) remembered(ctx context.Context, digest string, describe describe) (result, error) {
	key := digest + " " + DatabaseChecksum(s.opts.Database)
	if r, known := s.done.Get(key); known {
		return r, nil
	}
	return s.shared.run(ctx, key, func(ctx context.Context) (result, error) {
		r, err := s.scan(ctx, describe)
		if err == nil && r.problem == "" {
			s.done.Add(key, r)
		}
		return r, err
	})
}

// scan waits for a place, which takes as long as it takes, and scans.
func (s *Scanner) scan(ctx context.Context, describe describe) (result, error) {
	job, err := s.described(ctx, describe)
	if err != nil {
		return result{}, err
	}
	giveBack, err := s.places.take(ctx, job.size)
	if err != nil {
		return result{}, err
	}
	defer giveBack()
	ctx, cancel := s.inTime(ctx)
	defer cancel()
	r, err := s.work(ctx, job)
	return r, inWords(ctx, err)
}

func (s *Scanner) described(ctx context.Context, describe describe) (job, error) {
	ctx, cancel := s.inTime(ctx)
	defer cancel()
	job, err := describe(ctx)
	return job, inWords(ctx, err)
}

// work scans in a folder that is removed again.
func (s *Scanner) work(ctx context.Context, job job) (_ result, err error) {
	folder, err := newFolder(s.opts.Dir)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, folder.remove()) }()
	request, err := job.prepare(ctx, folder.path)
	if err != nil {
		return result{}, err
	}
	request.Database, request.Limits = s.opts.Database, s.opts.Limits
	if left := uint64(s.opts.Disk - job.size); request.Limits.Unpacked == 0 || request.Limits.Unpacked > left { //nolint:gosec // the size is at most the disk's
		request.Limits.Unpacked = left
	}
	response, err := s.run(ctx, folder.path, request)
	switch {
	case err != nil:
		return result{}, err
	case response.Error != "":
		return result{}, errors.New(plain.Line(response.Error, maxReason))
	case response.Scan == nil:
		return result{}, errors.New("the scanner answered nothing")
	}
	if s.opts.Now != nil { // the worker's clock has no say
		response.Scan.FinishedAt = s.opts.Now().UTC()
	}
	return result{response.Scan, plain.Line(response.Problem, maxReason)}, nil
}

// maxReason is how much is shown of what a worker has to say, in characters.
const maxReason = 500

// inTime bounds one scan.
func (s *Scanner) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.Timeout, timeoutError(s.opts.Timeout))
}

// timeoutError says that a scan took longer than it may.
type timeoutError time.Duration

// Error implements error.
func (t timeoutError) Error() string {
	return fmt.Sprintf("the scan took longer than %s (scanner.timeout) and was ended", time.Duration(t))
}

// inWords says why an error came about when that was the end of the time.
func inWords(ctx context.Context, err error) error {
	if late, ok := errors.AsType[timeoutError](context.Cause(ctx)); ok && err != nil {
		return late
	}
	return err
}
