package verify

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// MaxInflated bounds an item, in bytes, after it was decompressed.
const MaxInflated = 16 << 20

// inflated decompresses an item that was stored compressed, as clients that
// handle every layer alike do, up to the limit.
func inflated(item Item) (Item, *refusal) {
	if !bytes.HasPrefix(item.Data, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return item, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(item.Data))
	if err != nil {
		return item, malformed("compressed, but not with gzip: %v", err)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxInflated+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return item, malformed("it cannot be decompressed: %v", err)
	}
	if len(data) > MaxInflated {
		return item, malformed("it inflates to more than %s; at most that much is read", size(MaxInflated))
	}
	item.Data = data
	return item, nil
}

func size(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
