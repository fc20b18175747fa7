package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// resumeWithin is how long the remainder of a blob may take to begin to come, the
// wait for a turn included. An upload that reads it may hold the last slot of
// the same registry: then nobody's turn comes.
const resumeWithin = 10 * time.Second

// remainder asks for a blob from an offset on (RFC 9110, section 14; OCI
// distribution-spec v1.1, "Pulling blobs": a registry should support it).
func (c *client) remainder(ctx context.Context, r request, offset int64) (_ io.ReadCloser, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := &TimeoutError{Limit: "resumeWithin", After: resumeWithin, What: "the rest did not begin"}
	timer := time.AfterFunc(late.After, func() { cancel(late) })
	defer timer.Stop()
	r.operation = fmt.Sprintf("%s from byte %d on", r.operation, offset)
	r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}}
	r.want = []int{http.StatusPartialContent}
	resp, err := c.do(ctx, r) //nolint:bodyclose // the caller closes it through verifying
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := &timed{resp.Body, func() { cancel(nil) }}
	if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", offset)) {
		return nil, errors.Join(c.failed(r.operation, fmt.Errorf("it answers with the range %q", clean(got))), body.Close())
	}
	c.health.RegistryRetry(c.name)
	return body, nil
}
