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
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// digestOf is the digest of bytes.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Resolve asks what a tag points to, reading only the header. What it says is
// the registry's word: only what is then read by the digest has been hashed.
func (r *Registries) Resolve(ctx context.Context, registry, repository, tag string) (gatekeeper.Descriptor, error) {
	c, err := r.client(registry)
	if err != nil {
		return gatekeeper.Descriptor{}, err
	}
	if err := checkTag(tag); err != nil {
		return gatekeeper.Descriptor{}, err
	}
	operation := "resolve " + repository + ":" + tag
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodHead, repository: repository, path: "manifests/" + tag,
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
		MediaType: clean(contentType(resp)), Digest: resp.Header.Get("Docker-Content-Digest"), Size: resp.ContentLength,
	}
	if err := resp.Body.Close(); err != nil {
		return gatekeeper.Descriptor{}, c.failed(operation, err)
	}
	if isDigest(d.Digest) {
		return d, nil
	}
	content, err := r.ManifestByTag(ctx, Repository{registry, repository}, tag) // no usable header: read and hash
	return content.Descriptor, err
}

// Manifest reads a manifest or index by digest. What was read before, or is
// being read for somebody else, is not asked for again.
func (r *Registries) Manifest(ctx context.Context, repo Repository, digest string) (Content, error) {
	if err := checkDigest(digest); err != nil {
		return Content{}, err
	}
	key := contentKey(repo, digest)
	if content, ok := r.manifests.get(key); ok {
		return content, nil
	}
	return r.readingManifests.do(ctx, key, func(ctx context.Context) (Content, error) {
		if content, ok := r.manifests.get(key); ok {
			return content, nil // somebody has just read it
		}
		content, err := r.readManifest(ctx, repo, digest)
		if err != nil {
			return Content{}, err
		}
		if content.Digest != digest {
			return Content{}, fmt.Errorf("%w: %s/%s answers %s with content that hashes to %s",
				gatekeeper.ErrInvalidContent, repo.Registry, repo.Name, digest, content.Digest)
		}
		r.manifests.add(key, content)
		return content, nil
	})
}

// ManifestByTag reads what a tag points to now: each time anew.
func (r *Registries) ManifestByTag(ctx context.Context, repo Repository, tag string) (Content, error) {
	if err := checkTag(tag); err != nil {
		return Content{}, err
	}
	content, err := r.readManifest(ctx, repo, tag)
	if err == nil {
		r.manifests.add(contentKey(repo, content.Digest), content)
	}
	return content, err
}

func (r *Registries) readManifest(ctx context.Context, repo Repository, reference string) (Content, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return Content{}, err
	}
	subject := "the manifest " + repo.Name + " " + reference
	asked := request{
		operation: "read " + subject, method: http.MethodGet, repository: repo.Name, path: "manifests/" + reference,
		header: http.Header{"Accept": manifestTypes()}, action: pull, want: []int{http.StatusOK},
	}
	return retry(ctx, c, asked, func() (Content, error) { return c.manifest(ctx, asked, subject) })
}

// manifest reads one, once.
func (c *client) manifest(ctx context.Context, r request, subject string) (_ Content, err error) {
	resp, err := c.attempt(ctx, r)
	if err != nil {
		return Content{}, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := c.read(resp, MaxManifest, subject)
	if err != nil {
		return Content{}, err
	}
	mediaType := contentType(resp)
	if err := checkManifest(body, mediaType, subject, c.limits.Referrers); err != nil {
		return Content{}, err
	}
	return Content{Descriptor: gatekeeper.Descriptor{MediaType: mediaType, Digest: digestOf(body), Size: int64(len(body))}, Body: body}, nil
}

// contentType is empty when there is none, or more than one: each reader would
// believe another.
func contentType(resp *http.Response) string {
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || len(resp.Header.Values("Content-Type")) != 1 {
		return ""
	}
	return mediaType
}

// Blob reads a blob of at most limit bytes into memory. What was read before,
// or is being read for somebody else, is not asked for again.
func (r *Registries) Blob(ctx context.Context, repo Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > limit {
		return nil, &LimitError{Subject: fmt.Sprintf("the blob %s of %d bytes", d.Digest, d.Size), Limit: limit, Unit: "bytes"}
	}
	if data, ok := r.cachedBlob(repo, d); ok {
		return data, nil
	}
	key := fmt.Sprintf("%s %d", contentKey(repo, d.Digest), d.Size)
	return r.readingBlobs.do(ctx, key, func(ctx context.Context) ([]byte, error) {
		if data, ok := r.cachedBlob(repo, d); ok {
			return data, nil // somebody has just read it
		}
		return r.readBlob(ctx, repo, d)
	})
}

// contentKey keeps repositories apart: who may read one may not read another.
func contentKey(repo Repository, digest string) string {
	return repo.Registry + "/" + repo.Name + "@" + digest
}

func (r *Registries) cachedBlob(repo Repository, d gatekeeper.Descriptor) ([]byte, bool) {
	data, ok := r.blobs.get(contentKey(repo, d.Digest))
	return data, ok && int64(len(data)) == d.Size
}

func (r *Registries) readBlob(ctx context.Context, repo Repository, d gatekeeper.Descriptor) ([]byte, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	asked := blobRequest(repo, d)
	data, err := retry(ctx, c, asked, func() ([]byte, error) { return c.blob(ctx, asked, d) })
	if err != nil {
		return nil, fmt.Errorf("read the blob %s of %s/%s: %w", d.Digest, repo.Registry, repo.Name, err)
	}
	if len(data) <= maxCachedBlob {
		r.blobs.add(contentKey(repo, d.Digest), data)
	}
	return data, nil
}

func blobRequest(repo Repository, d gatekeeper.Descriptor) request {
	return request{
		operation: "read the blob " + d.Digest, method: http.MethodGet, repository: repo.Name, path: "blobs/" + d.Digest,
		action: pull, want: []int{http.StatusOK},
	}
}

// blob reads one into memory, once.
func (c *client) blob(ctx context.Context, r request, d gatekeeper.Descriptor) (_ []byte, err error) {
	resp, err := c.attempt(ctx, r) //nolint:bodyclose // closed through verifying
	if err != nil {
		return nil, err
	}
	body := &verifying{body: resp.Body, want: d, hash: sha256.New(), client: c}
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(body)
}

// maxShared is the size in bytes up to which a blob that is streamed is read
// as Blob does, so that others have it too.
const maxShared = 64 << 10

// OpenBlob streams a blob. The reader fails at the end unless exactly the
// bytes of the descriptor came by, and never yields more than its size.
func (r *Registries) OpenBlob(ctx context.Context, repo Repository, d gatekeeper.Descriptor) (io.ReadCloser, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	if data, ok := r.cachedBlob(repo, d); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if d.Size > maxShared {
		return r.streamBlob(ctx, repo, d)
	}
	data, err := r.Blob(ctx, repo, d, maxShared)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (r *Registries) streamBlob(ctx context.Context, repo Repository, d gatekeeper.Descriptor) (io.ReadCloser, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	asked := blobRequest(repo, d)
	asked.stream = true
	resp, err := c.do(ctx, asked) //nolint:bodyclose // the caller closes it through verifying
	if err != nil {
		return nil, err
	}
	return &verifying{
		body: resp.Body, want: d, hash: sha256.New(), client: c,
		remainder: func(offset int64) (io.ReadCloser, error) { return c.remainder(ctx, asked, offset) },
	}, nil
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
	if m.Subject == nil || !isDigest(m.Subject.Digest) {
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
