package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// Limits bound what is read from a registry, how long it may take and how fast
// it is asked. A zero value means the default.
type Limits struct {
	RequestsPerSecond float64 // of all replicas, see Share; unlimited when zero
	Concurrent        int     // requests under way at a time, of all replicas; 16
	Referrers         int     // entries of one referrers list; 1,000
	Tags              int     // tags of one repository; 10,000
	Repositories      int     // repositories of the registry; 100,000

	// HeaderTimeout is how long an answer may take to begin, the connection
	// included; a minute. What was uploaded may take five times as long: the
	// registry hashes and stores it first.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a body may take for each 16 KiB, in either
	// direction; 30 seconds. It has no limit beside this one when it is
	// streamed, however large it is.
	IdleTimeout time.Duration
	// ReadTimeout is how long the whole body of what is read into memory may
	// take: a manifest, a page of a list, a small blob; two minutes.
	ReadTimeout time.Duration
	// ListTimeout is how long all pages of a list may take; five minutes. To
	// wait for a turn counts here, and in no other limit.
	ListTimeout time.Duration
}

// MaxManifest is the size of the largest manifest that is read, in bytes; the
// limit that the distribution-spec names for registries.
const MaxManifest = 4 << 20

const (
	maxLayers    = 1000     // of one manifest
	maxPages     = 1000     // of one list, whatever is on them
	maxTokenBody = 64 << 10 // bytes of a token server's answer
	maxErrorBody = 64 << 10 // bytes of an error's body
	progress     = 16 << 10 // bytes of a body within IdleTimeout
)

func (l Limits) withDefaults() Limits {
	l.Concurrent = cmp.Or(l.Concurrent, 16)
	l.Referrers = cmp.Or(l.Referrers, 1000)
	l.Tags = cmp.Or(l.Tags, 10_000)
	l.Repositories = cmp.Or(l.Repositories, 100_000)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, time.Minute)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 30*time.Second)
	l.ReadTimeout = cmp.Or(l.ReadTimeout, 2*time.Minute)
	l.ListTimeout = cmp.Or(l.ListTimeout, 5*time.Minute)
	return l
}

// LimitError says that what a registry holds is beyond a limit. It is
// gatekeeper.ErrInvalidContent: asking again does not help.
type LimitError struct {
	Subject string // what was read
	Limit   int64
	Unit    string // "bytes", "referrers", "tags", "repositories", "layers", "manifests", "pages"
}

// Error names the limit.
func (e *LimitError) Error() string {
	if e.Unit == "bytes" {
		return fmt.Sprintf("%v: %s is larger than %d bytes, which is the limit", gatekeeper.ErrInvalidContent, e.Subject, e.Limit)
	}
	return fmt.Sprintf("%v: %s has more than %d %s, which is the limit", gatekeeper.ErrInvalidContent, e.Subject, e.Limit, e.Unit)
}

// Unwrap returns gatekeeper.ErrInvalidContent.
func (e *LimitError) Unwrap() error { return gatekeeper.ErrInvalidContent }

// TimeoutError says that a registry took longer than a limit allows. Asking
// again may help.
type TimeoutError struct {
	Limit string // the field of Limits
	After time.Duration
	What  string // what did not happen in this time
}

// Error names the limit.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s within %s (%s)", e.What, e.After, e.Limit)
}

// Timeout implements net.Error's method.
func (e *TimeoutError) Timeout() bool { return true }

// because returns why a context ended, when that was a limit, and else err.
func because(ctx context.Context, err error) error {
	if limit, ok := errors.AsType[*TimeoutError](context.Cause(ctx)); ok && err != nil {
		return limit
	}
	return err
}

// read reads a body of at most limit bytes. A longer one is not read further.
func (c *client) read(resp *http.Response, limit int64, subject string) ([]byte, error) {
	tooLarge := &LimitError{Subject: subject, Limit: limit, Unit: "bytes"}
	if resp.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, c.failed("read "+subject, err)
	}
	if int64(len(body)) > limit {
		return nil, tooLarge
	}
	return body, nil
}
