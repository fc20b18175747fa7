package verify

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// defaultMaxSize bounds an item, in bytes, after it was decompressed.
const defaultMaxSize = 16 << 20

// inflated decompresses an item that was stored compressed, as clients that
// handle every layer alike do, up to the limit.
func inflated(item Item) (Item, *refusal) {
	if !bytes.HasPrefix(item.Data, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return item, nil
	}
	// Counted first and kept then, so that what is too large takes no room.
	limit := cmp.Or(item.MaxSize, defaultMaxSize)
	n, err := inflate(io.Discard, item.Data, limit)
	switch {
	case err != nil:
		return item, malformed("it cannot be decompressed: %v", err)
	case n > limit:
		return item, malformed("it inflates to more than %s; at most that much is read", size(limit))
	}
	data := bytes.NewBuffer(make([]byte, 0, n))
	if _, err := inflate(data, item.Data, limit); err != nil {
		return item, malformed("it cannot be decompressed: %v", err)
	}
	item.Data = data.Bytes()
	return item, nil
}

// inflate decompresses up to one byte more than the limit.
func inflate(w io.Writer, data []byte, limit int64) (int64, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	return n, errors.Join(err, r.Close())
}

func size(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
