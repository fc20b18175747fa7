package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// MaxManifest is the size of the largest manifest that is read, in bytes; the
// limit that the distribution-spec names for registries.
const MaxManifest = 4 << 20

// digestPattern is the one form of digest that is used: sha256, lower case
// (OCI image-spec v1.1, descriptor.md "Registered algorithms").
func digestPattern() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) }

func checkDigest(digest string) error {
	if !digestPattern().MatchString(digest) {
		return fmt.Errorf("%w: %q is no sha256 digest", gatekeeper.ErrInvalidContent, clean(digest))
	}
	return nil
}

// digestOf is the digest of bytes.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// manifestTypes are the media types that are asked for.
func manifestTypes() []string {
	return []string{
		string(types.OCIManifestSchema1), string(types.OCIImageIndex),
		string(types.DockerManifestSchema2), string(types.DockerManifestList),
	}
}

// Resolve asks what a tag points to, reading only the header.
func (r *Registries) Resolve(ctx context.Context, registry, repository, tag string) (gatekeeper.Descriptor, error) {
	c, err := r.client(registry)
	if err != nil {
		return gatekeeper.Descriptor{}, err
	}
	resp, err := c.do(ctx, request{
		operation: "resolve " + repository + ":" + tag, method: http.MethodHead, repository: repository, path: "manifests/" + tag,
		header: http.Header{"Accept": manifestTypes()}, action: pull, want: []int{http.StatusOK},
	})
	if refused, ok := errors.AsType[*Error](err); ok && refused.StatusCode == http.StatusNotFound {
		// Not certainly the registry's own answer: one with a body is.
		content, err := r.ManifestByTag(ctx, Repository{registry, repository}, tag)
		return content.Descriptor, err
	}
	if err != nil {
		return gatekeeper.Descriptor{}, err
	}
	d := gatekeeper.Descriptor{
		MediaType: contentType(resp), Digest: resp.Header.Get("Docker-Content-Digest"), Size: resp.ContentLength,
	}
	if err := resp.Body.Close(); err != nil {
		return gatekeeper.Descriptor{}, c.failed("resolve "+repository+":"+tag, err)
	}
	if digestPattern().MatchString(d.Digest) {
		return d, nil
	}
	content, err := r.ManifestByTag(ctx, Repository{registry, repository}, tag) // no usable header: read and hash
	return content.Descriptor, err
}

// Manifest reads a manifest or index by digest.
func (r *Registries) Manifest(ctx context.Context, repo Repository, digest string) (Content, error) {
	if err := checkDigest(digest); err != nil {
		return Content{}, err
	}
	key := repo.Registry + "/" + repo.Name + "@" + digest
	if content, ok := r.manifests.Get(key); ok {
		return content, nil
	}
	content, err := r.readManifest(ctx, repo, digest)
	if err != nil {
		return Content{}, err
	}
	if content.Digest != digest {
		return Content{}, fmt.Errorf("%w: %s/%s answers %s with content that hashes to %s",
			gatekeeper.ErrInvalidContent, repo.Registry, repo.Name, digest, content.Digest)
	}
	r.manifests.Add(key, content)
	return content, nil
}

// ManifestByTag reads what a tag points to.
func (r *Registries) ManifestByTag(ctx context.Context, repo Repository, tag string) (Content, error) {
	content, err := r.readManifest(ctx, repo, tag)
	if err == nil {
		r.manifests.Add(repo.Registry+"/"+repo.Name+"@"+content.Digest, content)
	}
	return content, err
}

func (r *Registries) readManifest(ctx context.Context, repo Repository, reference string) (_ Content, err error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return Content{}, err
	}
	operation := "read the manifest " + repo.Name + " " + reference
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodGet, repository: repo.Name, path: "manifests/" + reference,
		header: http.Header{"Accept": manifestTypes()}, action: pull, want: []int{http.StatusOK},
	})
	if err != nil {
		return Content{}, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return Content{}, c.failed(operation, err)
	}
	if len(body) > MaxManifest {
		return Content{}, fmt.Errorf("%w: the manifest %s is larger than %d bytes", gatekeeper.ErrInvalidContent, reference, MaxManifest)
	}
	mediaType := contentType(resp)
	if err := checkManifest(body, mediaType); err != nil {
		return Content{}, fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, operation, err)
	}
	return Content{Descriptor: gatekeeper.Descriptor{MediaType: mediaType, Digest: digestOf(body), Size: int64(len(body))}, Body: body}, nil
}

func contentType(resp *http.Response) string {
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// checkManifest refuses documents that one reader takes for a manifest and
// another for an index (GHSA-qq97-vm5h-rrhg, GHSA-mc8v-mgrf-8f4m), and media
// types that are neither.
func checkManifest(body []byte, mediaType string) error {
	var shape struct {
		MediaType string          `json:"mediaType"`
		Layers    json.RawMessage `json:"layers"`
		FSLayers  json.RawMessage `json:"fsLayers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := strictjson.Unmarshal(body, &shape); err != nil {
		return fmt.Errorf("not the JSON of a manifest: %w", err)
	}
	kind := types.MediaType(mediaType)
	switch {
	case !kind.IsImage() && !kind.IsIndex(), kind == types.DockerManifestSchema1, kind == types.DockerManifestSchema1Signed:
		return fmt.Errorf("media type %q is no manifest or index that is supported", clean(mediaType))
	case shape.MediaType != "" && shape.MediaType != mediaType:
		return fmt.Errorf("it is served as %q but calls itself %q", mediaType, clean(shape.MediaType))
	case shape.FSLayers != nil, shape.Manifests != nil && shape.Layers != nil:
		return errors.New("it is ambiguous: both a manifest and an index")
	case kind.IsIndex() && shape.Manifests == nil:
		return errors.New("it is served as an index but lists no manifests")
	case kind.IsImage() && shape.Manifests != nil:
		return errors.New("it is served as a manifest but is an index")
	}
	return nil
}

// Blob reads a blob of at most limit bytes into memory.
func (r *Registries) Blob(ctx context.Context, repo Repository, d gatekeeper.Descriptor, limit int64) (_ []byte, err error) {
	if d.Size > limit {
		return nil, fmt.Errorf("%w: the blob %s has %d bytes; at most %d are read", gatekeeper.ErrInvalidContent, clean(d.Digest), d.Size, limit)
	}
	rc, err := r.OpenBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	data, err := io.ReadAll(rc)
	if err != nil {
		return nil, fmt.Errorf("read the blob %s of %s/%s: %w", d.Digest, repo.Registry, repo.Name, err)
	}
	if len(data) <= maxCachedBlob {
		r.blobs.Add(blobKey(repo, d.Digest), data)
	}
	return data, nil
}

// blobKey keeps repositories apart: who may read one may not read another.
func blobKey(repo Repository, digest string) string {
	return repo.Registry + "/" + repo.Name + "@" + digest
}

// OpenBlob streams a blob. The reader fails at the end unless exactly the
// bytes of the descriptor came by, and never yields more than its size.
func (r *Registries) OpenBlob(ctx context.Context, repo Repository, d gatekeeper.Descriptor) (io.ReadCloser, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	if data, ok := r.blobs.Get(blobKey(repo, d.Digest)); ok && int64(len(data)) == d.Size {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if d.Size < 0 {
		return nil, fmt.Errorf("%w: the blob %s has the size %d", gatekeeper.ErrInvalidContent, d.Digest, d.Size)
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, request{ //nolint:bodyclose // the caller closes it through verifying
		operation: "read the blob " + d.Digest, method: http.MethodGet, repository: repo.Name, path: "blobs/" + d.Digest,
		action: pull, want: []int{http.StatusOK},
	})
	if err != nil {
		return nil, err
	}
	return &verifying{body: resp.Body, want: d, hash: sha256.New(), client: c}, nil
}

// SubjectOf returns the digest in the manifest's subject field; empty when it
// refers to nothing.
func (r *Registries) SubjectOf(ctx context.Context, registry, repository, digest string) (string, error) {
	content, err := r.Manifest(ctx, Repository{registry, repository}, digest)
	if err != nil {
		return "", err
	}
	var m struct {
		Subject *struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return "", fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, digest, err)
	}
	if m.Subject == nil || !digestPattern().MatchString(m.Subject.Digest) {
		return "", nil
	}
	return m.Subject.Digest, nil
}

// FallbackTag is the tag under which a registry without referrers API keeps
// what refers to a digest (OCI distribution-spec v1.1, "Referrers Tag
// Schema"); with a suffix, the tag of cosign's older form.
func FallbackTag(digest, suffix string) string {
	return strings.Replace(digest, ":", "-", 1) + suffix
}
