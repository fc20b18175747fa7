package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// crawling has, besides the images of the bench, any number of large ones whose
// layers never come.
type crawling struct {
	scan.Source
	opened chan string // what was asked for of a large image
}

func (c crawling) Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error) {
	if !strings.HasPrefix(digest, "large") {
		return c.Source.Manifest(ctx, r, digest)
	}
	body := fmt.Appendf(nil, `{"config":{"digest":"sha256:aa","size":2},"layers":[{"digest":"sha256:bb","size":%d}]}`, 5<<30)
	return registry.Content{Descriptor: gatekeeper.Descriptor{Digest: digest}, Body: body}, nil
}

func (c crawling) OpenBlob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor) (io.ReadCloser, error) {
	if d.Digest != "sha256:aa" && d.Digest != "sha256:bb" {
		return c.Source.OpenBlob(ctx, r, d)
	}
	c.opened <- d.Digest
	<-ctx.Done()
	return nil, ctx.Err()
}

// Large images whose layers trickle in hold up neither small ones nor the end.
func TestLargeImagesDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	source := crawling{b.source, make(chan string, 100)}
	s, err := scan.New(source, scan.Options{Database: b.database, Dir: b.dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for i := range 4 {
		waiting.Go(func() {
			digest := fmt.Sprint("large", i)
			_, _, err := s.Scan(ctx, policy.Subject{Registry: "staging", Repository: "app", Digest: digest}, policy.Platform{Digest: digest, Name: "linux/amd64"})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", digest, err)
			}
		})
	}
	<-source.opened // one is at it
	healthy := b.pushSpec(t, vulnerable())
	found, problem, err := s.Scan(t.Context(), policy.Subject{Registry: "staging", Repository: "app", Digest: healthy}, policy.Platform{Digest: healthy, Name: "linux/amd64"})
	if err != nil || problem != nil || len(found.Vulnerabilities) == 0 {
		t.Errorf("%+v, %v, %v", found, problem, err)
	}
	if more := len(source.opened); more > 1 {
		t.Errorf("%d blobs of large images were asked for besides, want one: more than one such image was scanned at a time", more)
	}
	cancel()
	waiting.Wait()
	if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 {
		t.Errorf("they left %v behind (%v)", left, err)
	}
}

// A scan that nobody waits for any more is ended, and is gone with all it left
// when the last one leaves.
func TestAScanThatNobodyWaitsForEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	img, err := mutate.Config(withLayers(t, archive(t, part{make([]byte, 1024), 1})), v1.Config{Labels: map[string]string{"misbehave": "hang"}})
	if err != nil {
		t.Fatal(err)
	}
	digest := b.push(t, img)
	source := reading{b.source, make(chan struct{}, 100)}
	s, err := scan.New(source, scan.Options{Database: b.database, Dir: b.dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, _, err := s.Scan(ctx, policy.Subject{Registry: "staging", Repository: "app", Digest: digest}, policy.Platform{Digest: digest, Name: "linux/amd64"})
		gone <- err
	}()
	<-source.read // the configuration
	<-source.read // and the layer
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v behind (%v)", left, err)
	}
}

// reading says when a blob is read.
type reading struct {
	scan.Source
	read chan struct{}
}

func (r reading) OpenBlob(ctx context.Context, from registry.Repository, d gatekeeper.Descriptor) (io.ReadCloser, error) {
	defer func() { r.read <- struct{}{} }()
	return r.Source.OpenBlob(ctx, from, d)
}
