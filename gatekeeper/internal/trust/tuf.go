package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The limits of fetching from a TUF repository.
const (
	fetchTimeout = 15 * time.Second
	maxFetched   = 8 << 20 // bytes of one file, whatever the metadata says
)

// fetch updates the metadata of a repository and reads the target. What the
// metadata of earlier updates says stays in the folder: older metadata, and
// that which a changed root did not sign, is refused.
//
// The client forgets the roots that followed the pinned one, and then takes a
// mirror's word that there are none: keys that were revoked would count again.
// So it begins with the last root that it accepted (TUF specification 1.0,
// 5.3.8), which belongs to the pinned one that it came from.
func (s *Store) fetch(ctx context.Context, e *entry) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	content, _, err := s.update(e, false, &fetcher{ctx: ctx, client: s.deps.Client})
	return content, err
}

// kept reads what an earlier update left in the folder, and when that was: its
// signatures are verified again, and metadata that ended does not count.
func (s *Store) kept(e *entry) ([]byte, time.Time, error) {
	return s.update(e, true, nowhere{})
}

// outage tells a repository that does not answer from one that answers what
// cannot be accepted.
func outage(err error) bool {
	if status, ok := errors.AsType[*metadata.ErrDownloadHTTP](err); ok {
		return status.StatusCode >= http.StatusInternalServerError || status.StatusCode == http.StatusTooManyRequests
	}
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// update runs the client on a trust root's folder; with local, it keeps to what
// is there.
func (s *Store) update(e *entry, local bool, from interface {
	DownloadFile(address string, limit int64, timeout time.Duration) ([]byte, error)
},
) (content []byte, at time.Time, err error) {
	// The client reads metadata before it looks at the signatures, and can
	// panic on it, in this goroutine.
	defer func() {
		if p := recover(); p != nil {
			content, err = nil, fmt.Errorf("the metadata crashed the TUF client: %v", p)
		}
	}()
	pinned, err := readFile(e.TUF.RootFile)
	if err != nil {
		return nil, at, fmt.Errorf("the pinned root: %w", err)
	}
	folder := s.folder(e, pinned)
	newest, err := readFile(filepath.Join(folder, tuf.URLToPath(e.TUF.URL), "root.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		newest = pinned
	case err != nil:
		return nil, at, fmt.Errorf("the root of the last update: %w", err)
	}
	client, err := tuf.New(&tuf.Options{Root: newest, RepositoryBaseURL: e.TUF.URL, CachePath: folder, ForceCache: local, Fetcher: from})
	if err != nil {
		return nil, at, err
	}
	if content, err = client.GetTarget(e.TUF.Target); err != nil || !local {
		return content, at, err
	}
	last, err := tuf.LoadConfig(filepath.Join(folder, tuf.URLToPath(e.TUF.URL)+".json"))
	if err != nil {
		return nil, at, err
	}
	return content, last.LastTimestamp, nil
}

// nowhere fetches nothing.
type nowhere struct{}

// DownloadFile implements the fetcher of go-tuf.
func (nowhere) DownloadFile(address string, _ int64, _ time.Duration) ([]byte, error) {
	return nil, fmt.Errorf("%s: only what is there already is read", address)
}

// fetcher reads files of a TUF repository. It lives for one update.
type fetcher struct {
	ctx    context.Context //nolint:containedctx // the interface of the library has no room for it
	client *http.Client
}

// DownloadFile implements the fetcher of go-tuf. It follows no redirect.
func (f *fetcher) DownloadFile(address string, limit int64, _ time.Duration) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	client := *f.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: resp.StatusCode, URL: address}
	}
	limit = min(limit, maxFetched)
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s is larger than %d bytes", address, limit)}
	}
	return data, nil
}
