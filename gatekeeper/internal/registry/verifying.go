package registry

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// verifying reads a blob and compares it with its descriptor.
type verifying struct {
	body   io.ReadCloser
	want   gatekeeper.Descriptor
	hash   hash.Hash
	read   int64
	client *client
	// remainder asks for what follows after a connection broke; nil: the whole
	// blob is asked for again by whoever reads it.
	remainder func(offset int64) (io.ReadCloser, error)
	resumed   int
}

// maxResumed is how often a blob's download is continued.
const maxResumed = 3

// Read implements io.Reader.
func (v *verifying) Read(p []byte) (int, error) {
	rest := v.want.Size - v.read
	if rest == 0 {
		return v.atEnd()
	}
	if int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := v.body.Read(p)
	v.read += int64(n)
	v.hash.Write(p[:n]) // never fails
	v.client.observer.BlobBytes(v.client.name, "in", int64(n))
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		if v.resume(err) {
			return n, nil
		}
		return n, v.client.failed("read the blob "+v.want.Digest, err)
	case v.read < v.want.Size:
		return n, v.client.failed("read the blob "+v.want.Digest, io.ErrUnexpectedEOF)
	}
	return n, nil // the end is looked at by the next call
}

// resume continues a download that broke, and says whether it could. The
// digest is that of all bytes, whichever answers they came in.
func (v *verifying) resume(err error) bool {
	if _, ok := errors.AsType[*brokenError](err); !ok || v.remainder == nil || v.resumed == maxResumed || v.read == v.want.Size {
		return false
	}
	v.resumed++
	if err := v.body.Close(); err != nil {
		return false
	}
	following, err := v.remainder(v.read)
	if err != nil {
		return false // that the connection broke says more
	}
	v.body = following
	return true
}

// atEnd makes sure that nothing follows and that the bytes were the right ones.
func (v *verifying) atEnd() (int, error) {
	var more [1]byte
	if n, err := io.ReadFull(v.body, more[:]); n > 0 {
		return 0, fmt.Errorf("%w: the blob %s is longer than its %d bytes", gatekeeper.ErrInvalidContent, v.want.Digest, v.want.Size)
	} else if !errors.Is(err, io.EOF) {
		return 0, v.client.failed("read the blob "+v.want.Digest, err)
	}
	if got := "sha256:" + hex.EncodeToString(v.hash.Sum(nil)); got != v.want.Digest {
		return 0, fmt.Errorf("%w: the blob %s hashes to %s", gatekeeper.ErrInvalidContent, v.want.Digest, got)
	}
	return 0, io.EOF
}

// Close implements io.Closer.
func (v *verifying) Close() error { return v.body.Close() }
