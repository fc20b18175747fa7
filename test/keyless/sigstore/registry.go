package sigstore

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// NewRegistry starts a registry of CNCF Distribution and returns its host. It
// has no referrers API: referrers are in the fallback tag sha256-<hex>.
func NewRegistry(tb testing.TB) string {
	tb.Helper()
	return harness.StartRegistry(tb, "", "")
}

// NewReferrersRegistry starts a registry in memory that has the referrers API
// of OCI 1.1, and returns its host.
func NewReferrersRegistry(tb testing.TB) string {
	tb.Helper()
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// PushImage pushes a small image that no other is like, tagged v1, and returns
// its reference by digest.
func PushImage(tb testing.TB, host, repository string) string {
	tb.Helper()
	image, err := random.Image(512, 1)
	if err != nil {
		tb.Fatalf("make an image: %v", err)
	}
	tag, err := name.NewTag(host + "/" + repository + ":v1")
	if err != nil {
		tb.Fatalf("name an image: %v", err)
	}
	if err := remote.Write(tag, image, remote.WithContext(tb.Context())); err != nil {
		tb.Fatalf("push %s: %v", tag, err)
	}
	digest, err := image.Digest()
	if err != nil {
		tb.Fatalf("digest of %s: %v", tag, err)
	}
	return tag.Context().Digest(digest.String()).String()
}
