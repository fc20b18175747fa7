package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// The limits of one image besides its size.
const (
	maxLayers     = 512
	maxConfig     = 8 << 20
	parallelBlobs = 4
)

// origin is where images come from.
type origin struct {
	source     Source
	repository registry.Repository
}

// describe reads the manifest of one platform.
func (o origin) describe(ctx context.Context, digest string, maxSize int64) (job, error) {
	content, err := o.source.Manifest(ctx, o.repository, digest)
	if err != nil {
		return job{}, err
	}
	var m v1.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return job{}, fmt.Errorf("decode the manifest: %w", err)
	}
	if err := checkSize(m, maxSize); err != nil {
		return job{}, err
	}
	return job{size: total(m), prepare: func(ctx context.Context, dir string) (Request, error) {
		l := layout{o, dir}
		return Request{Layout: l.path()}, l.fetch(ctx, content, m)
	}}, nil
}

// layout is an image on disk, in the form of the OCI image-spec v1.1
// (image-layout.md), every byte of it re-hashed.
type layout struct {
	origin
	dir string
}

func (l layout) path() string { return filepath.Join(l.dir, "layout") }

func (l layout) blob(digest string) string {
	return filepath.Join(l.path(), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// fetch downloads what a manifest refers to.
func (l layout) fetch(ctx context.Context, content registry.Content, m v1.Manifest) error {
	if err := os.MkdirAll(filepath.Dir(l.blob(content.Digest)), 0o700); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, d := range blobs(m) {
		group.Go(func() error { return l.fetchBlob(ctx, d) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.writeIndex(content)
}

// total is how many bytes a manifest's blobs have.
func total(m v1.Manifest) int64 {
	var sum int64
	for _, d := range blobs(m) {
		sum += d.Size
	}
	return sum
}

func checkSize(m v1.Manifest, maxSize int64) error {
	if len(m.Layers) > maxLayers {
		return fmt.Errorf("%w: %d layers; at most %d are scanned", gatekeeper.ErrInvalidContent, len(m.Layers), maxLayers)
	}
	if m.Config.Size > maxConfig {
		return fmt.Errorf("%w: a configuration of %d bytes; at most %d are read", gatekeeper.ErrInvalidContent, m.Config.Size, maxConfig)
	}
	left := maxSize
	for _, d := range m.Layers {
		if d.Size < 0 || d.Size > left {
			return fmt.Errorf("%w: the layers have more than the %d bytes that are scanned (scanner.maxSize, scanner.disk)", gatekeeper.ErrInvalidContent, maxSize)
		}
		left -= d.Size
	}
	return nil
}

// blobs lists what a manifest refers to, each once.
func blobs(m v1.Manifest) []v1.Descriptor {
	seen := map[string]bool{}
	var unique []v1.Descriptor
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if !seen[d.Digest.String()] {
			seen[d.Digest.String()] = true
			unique = append(unique, d)
		}
	}
	return unique
}

func (l layout) fetchBlob(ctx context.Context, d v1.Descriptor) (err error) {
	body, err := l.source.OpenBlob(ctx, l.repository, gatekeeper.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	f, err := os.OpenFile(l.blob(d.Digest.String()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func (l layout) writeIndex(content registry.Content) error {
	index := map[string]any{
		"schemaVersion": 2,
		"manifests":     []map[string]any{{"mediaType": content.MediaType, "digest": content.Digest, "size": len(content.Body)}},
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	for path, data := range map[string][]byte{
		l.blob(content.Digest):                      content.Body,
		filepath.Join(l.path(), "index.json"):       text,
		filepath.Join(l.path(), v1.ImageLayoutFile): []byte(`{"imageLayoutVersion":"` + v1.ImageLayoutVersion + `"}`),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
