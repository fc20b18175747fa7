package worker

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxWindow bounds the memory of a zstd decoder, in bytes.
const maxWindow = 128 << 20

// verifyLayers unpacks every layer once, into nothing, and makes sure that
// each is what the configuration says, and that all together stay within
// most bytes: the libraries that look inside check neither.
func verifyLayers(layout string, most uint64) error {
	var index v1.Index
	if err := readJSON(filepath.Join(layout, "index.json"), &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 {
		return fmt.Errorf("the layout has %d images, want one", len(index.Manifests))
	}
	var m v1.Manifest
	if err := readJSON(blob(layout, index.Manifests[0].Digest.String()), &m); err != nil {
		return fmt.Errorf("decode the manifest: %w", err)
	}
	var config v1.Image
	if err := readJSON(blob(layout, m.Config.Digest.String()), &config); err != nil {
		return fmt.Errorf("decode the configuration: %w", err)
	}
	if len(m.Layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("the manifest has %d layers, the configuration %d", len(m.Layers), len(config.RootFS.DiffIDs))
	}
	left := most
	for i, d := range m.Layers {
		n, err := verifyLayer(blob(layout, d.Digest.String()), d.MediaType, config.RootFS.DiffIDs[i].String(), left)
		if err != nil {
			return fmt.Errorf("layer %d (%s): %w", i+1, d.Digest, err)
		}
		left -= n
	}
	return nil
}

func blob(layout, digest string) string {
	return filepath.Join(layout, "blobs", "sha256", filepath.Base(strings.TrimPrefix(digest, "sha256:")))
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path) //nolint:gosec // below the layout
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// verifyLayer returns the unpacked size.
func verifyLayer(path, mediaType, diffID string, most uint64) (_ uint64, err error) {
	f, err := os.Open(path) //nolint:gosec // below the layout
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, err := decompress(f, mediaType)
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	limit := int64(min(most, 1<<62))
	n, err := io.Copy(sum, io.LimitReader(r, limit+1))
	if err != nil {
		return 0, fmt.Errorf("unpack: %w", err)
	}
	if n > limit {
		return 0, errors.New("the layers have more bytes, unpacked, than a scan has room for (scanner.disk)")
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != diffID {
		return 0, fmt.Errorf("unpacks to %s, the configuration says %s", got, diffID)
	}
	return uint64(n), nil //nolint:gosec // io.Copy counts upward
}

// decompress goes by the media type, as the OCI image-spec v1.1 (layer.md)
// asks.
func decompress(r io.Reader, mediaType string) (io.Reader, error) {
	switch {
	case strings.HasSuffix(mediaType, "gzip"):
		return gzip.NewReader(r)
	case strings.HasSuffix(mediaType, "zstd"):
		return zstd.NewReader(r, zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	case strings.HasSuffix(mediaType, "tar"):
		return r, nil
	}
	return nil, fmt.Errorf("layers of type %q are not scanned", mediaType)
}
