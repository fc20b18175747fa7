// Package trust knows the trust roots of the configuration: whose certificates
// and logs are believed. Each is a file, a TUF repository with a pinned root,
// or Sigstore's public instance as it was when this version was made.
package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// publicGood is the trusted root of Sigstore's public instance. It is pinned
// here so that nothing has to be fetched; where it has to follow what the
// project changes, the configuration names the TUF repository instead.
//
//go:embed public-good.json
var publicGood []byte

// Root is one trust root, as the configuration describes it. Without File and
// TUF it is Sigstore's public instance.
type Root struct {
	Name    string
	File    string // trusted_root.json, or several, one after the other
	TUF     *TUF
	Require verify.Require
}

// TUF is a repository of The Update Framework (TUF specification 1.0).
type TUF struct {
	URL      string
	RootFile string // root.json that is trusted to begin with
	Target   string // trusted_root.json
}

// Deps is what a Store works with.
type Deps struct {
	Dir    string // where TUF metadata is kept, so that nobody can serve older one
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Store knows the trust roots. It is safe for concurrent use.
type Store struct {
	deps  Deps
	roots map[string]*entry
}

type entry struct {
	Root

	mu      sync.Mutex
	content []byte        // the last that was found sound
	fetched time.Time     // when it was
	tried   time.Time     // when it was last asked for
	failure error         // what came of that; nil when it was sound
	fetch   chan struct{} // closed when the fetch that is under way ends; nil when there is none
}

// How often TUF repositories are asked, how soon again after a failure, and
// how long their last answer counts while they do not answer.
const (
	refreshEvery = 12 * time.Hour
	retryAfter   = time.Minute
	countsFor    = 7 * 24 * time.Hour
)

// New returns a store. Sigstore's public instance is in it, under the name of
// policy.DefaultTrustRoot, unless the configuration has one of that name.
func New(roots []Root, deps Deps) *Store {
	s := &Store{deps: deps, roots: map[string]*entry{
		policy.DefaultTrustRoot: {Root: Root{Name: policy.DefaultTrustRoot, Require: verify.Require{CertificateTimestamps: 1, LogEntries: 1, Timestamps: 1}}},
	}}
	for _, r := range roots {
		s.roots[r.Name] = &entry{Root: r}
	}
	return s
}

// Has says whether there is a trust root of the name.
func (s *Store) Has(name string) bool { return s.roots[name] != nil }

// TrustRoot returns the trust root of a name as it is now. Files are read
// again, so that a new one counts at once.
func (s *Store) TrustRoot(ctx context.Context, name string) (verify.TrustRoot, error) {
	e := s.roots[name]
	if e == nil {
		return verify.TrustRoot{}, fmt.Errorf("the configuration has no trust root %q", name)
	}
	var content []byte
	var err error
	if e.TUF != nil {
		content, err = s.fresh(ctx, e)
	} else {
		content, err = e.load()
	}
	if err != nil {
		return verify.TrustRoot{}, err
	}
	return verify.TrustRoot{Name: name, Content: content, Require: e.Require}, nil
}

// load reads a trust root that is not fetched.
func (e *entry) load() ([]byte, error) {
	content := publicGood
	if e.File != "" {
		var err error
		if content, err = readFile(e.File); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.accept(content); err != nil {
		return nil, fmt.Errorf("%s: %w", e.File, err)
	}
	return content, nil
}

// accept takes new content when it is sound. The entry is locked.
func (e *entry) accept(content []byte) error {
	if e.content != nil && bytes.Equal(content, e.content) {
		return nil
	}
	if err := verify.CheckTrustRoot(content); err != nil {
		return err
	}
	e.content = content
	return nil
}

// fresh returns what counts of a TUF repository, which it has asked when it is
// time to. The caller that finds so waits for the answer, and so do those that
// have none that counts; others take the last one meanwhile. It counts for some
// days, that of an earlier run of the service included.
func (s *Store) fresh(ctx context.Context, e *entry) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := s.deps.Now()
	due := e.content == nil || now.Sub(e.fetched) >= refreshEvery
	rested := e.failure == nil || now.Sub(e.tried) >= retryAfter
	wait := !e.counts(now)
	if due && rested && e.fetch == nil {
		wait = true
		e.tried, e.fetch = now, make(chan struct{})
		// All wait for this answer: it does not end with the first of them.
		go s.renew(context.WithoutCancel(ctx), e, now)
	}
	if under := e.fetch; wait && under != nil {
		e.mu.Unlock()
		select {
		case <-under:
		case <-ctx.Done():
		}
		e.mu.Lock()
	}
	switch {
	case e.counts(now):
		return e.content, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("fetch from %s: %w", e.TUF.URL, context.Cause(ctx))
	}
	return nil, fmt.Errorf("fetch from %s: %w", e.TUF.URL, e.failure)
}

// counts says whether there is an answer that may be used. The entry is locked.
func (e *entry) counts(now time.Time) bool {
	return e.content != nil && now.Sub(e.fetched) < countsFor
}

// renew asks the TUF repository, within the time limit of a fetch.
func (s *Store) renew(ctx context.Context, e *entry, now time.Time) {
	content, err := s.fetch(ctx, e)
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		// In a goroutine of its own a panic would end the service.
		if p := recover(); p != nil {
			e.failure = fmt.Errorf("the trusted root crashed its reader: %v", p)
		}
		close(e.fetch)
		e.fetch = nil
	}()
	if err == nil {
		err = e.accept(content)
	}
	if e.failure = err; err == nil {
		e.fetched = now
		return
	}
	s.deps.Log.WarnContext(ctx, "the trust root cannot be renewed", slog.String("trust_root", e.Name),
		slog.Time("fetched", e.fetched), slog.String("reason", err.Error()))
	if e.content == nil && outage(err) {
		s.recall(ctx, e)
	}
}

// recall takes what an earlier run of the service fetched.
func (s *Store) recall(ctx context.Context, e *entry) {
	content, at, err := s.kept(e)
	if err == nil {
		err = e.accept(content)
	}
	if err != nil {
		s.deps.Log.InfoContext(ctx, "no trust root of an earlier run", slog.String("trust_root", e.Name), slog.String("reason", err.Error()))
		return
	}
	e.fetched = at
}

// readFile reads a trusted root, up to its limit.
func readFile(name string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, verify.MaxTrustRoot+1))
}

// Check reads every trust root that is a file, so that a mistake is found
// before the first push.
func (s *Store) Check() error {
	var errs []error
	for name, e := range s.roots {
		if err := e.check(); err != nil {
			errs = append(errs, fmt.Errorf("trust root %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (e *entry) check() error {
	if e.TUF == nil {
		_, err := e.load()
		return err
	}
	if _, err := readFile(e.TUF.RootFile); err != nil {
		return fmt.Errorf("rootFile: %w", err)
	}
	return nil
}

// folder is where the metadata of a repository is kept: apart for each trust
// root and each pinned root, so that a new one begins anew.
func (s *Store) folder(e *entry, pinned []byte) string {
	return filepath.Join(s.deps.Dir, fmt.Sprintf("%s-%x", strings.ReplaceAll(e.Name, string(filepath.Separator), "_"), sha256.Sum256(pinned)))
}
