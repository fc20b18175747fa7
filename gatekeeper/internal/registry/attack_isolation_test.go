package registry_test

import (
	"errors"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// What was read in one repository is not given out as another's, where it may
// be deleted or never have been.
func TestAttack_CVE_2026_35172(t *testing.T) {
	t.Parallel()
	blob, manifest := []byte("a small blob"), imageManifest()
	l := newLiar(t)
	l.on("GET /v2/app/blobs/"+digestOf(blob), answer(200, "application/octet-stream", blob))
	l.on("GET /v2/app/manifests/"+digestOf(manifest), answer(200, manifestType, manifest))
	r, _ := client(t, l.URL, nil)
	d := gatekeeper.Descriptor{Digest: digestOf(blob), Size: int64(len(blob))}
	if _, err := r.Blob(t.Context(), app, d, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Manifest(t.Context(), app, digestOf(manifest)); err != nil {
		t.Fatal(err)
	}
	other := registry.Repository{Registry: app.Registry, Name: "other"}
	if got, err := r.Blob(t.Context(), other, d, 1<<20); err == nil || errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("the blob of another repository: %q, %v", got, err)
	}
	if got, err := r.Manifest(t.Context(), other, digestOf(manifest)); err == nil || errors.Is(err, gatekeeper.ErrInvalidContent) {
		t.Errorf("the manifest of another repository: %q, %v", got.Body, err)
	}
}
