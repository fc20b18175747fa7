package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// HasBlob asks whether a repository already holds a blob.
func (r *Registries) HasBlob(ctx context.Context, repo Repository, digest string) (bool, error) {
	if err := checkDigest(digest); err != nil {
		return false, err
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return false, err
	}
	resp, err := c.do(ctx, request{
		operation: "look for the blob " + digest, method: http.MethodHead, repository: repo.Name, path: "blobs/" + digest,
		action: push, want: []int{http.StatusOK, http.StatusNotFound}, // whoever says 404: uploading it again does no harm
	})
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// Upload is a blob upload that a registry has begun.
type Upload struct{ location string }

// MountBlob asks the registry to share a blob of another of its repositories
// (OCI distribution-spec v1.1, "Mounting a blob from another repository").
// When it does not, the upload that it began instead is returned.
func (r *Registries) MountBlob(ctx context.Context, repo Repository, digest, from string) (_ *Upload, mounted bool, err error) {
	if err := errors.Join(checkDigest(digest), checkRepository(from)); err != nil {
		return nil, false, err
	}
	query := url.Values{"mount": {digest}, "from": {from}}
	return r.beginUpload(ctx, repo, "mount the blob "+digest+" from "+from, "blobs/uploads/?"+query.Encode(), from)
}

// PushBlob uploads a blob from a reader of exactly the descriptor's size,
// continuing an upload when there is one.
func (r *Registries) PushBlob(ctx context.Context, repo Repository, d gatekeeper.Descriptor, body io.Reader, begun *Upload) error {
	if err := checkDescriptor(d); err != nil {
		return err
	}
	if begun == nil {
		var err error
		if begun, _, err = r.beginUpload(ctx, repo, "begin to upload the blob "+d.Digest, "blobs/uploads/", ""); err != nil {
			return err
		}
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return err
	}
	target, err := url.Parse(begun.location)
	if err != nil {
		return fmt.Errorf("upload the blob %s: location: %w", d.Digest, err)
	}
	query := target.Query()
	query.Set("digest", d.Digest)
	target.RawQuery = query.Encode()
	if d.Size == 0 {
		body = http.NoBody
	}
	resp, err := c.do(ctx, request{
		operation: "upload the blob " + d.Digest, method: http.MethodPut, repository: repo.Name, path: target.String(),
		header: http.Header{"Content-Type": {"application/octet-stream"}}, body: body, length: d.Size,
		action: push, want: []int{http.StatusCreated},
	})
	if err != nil {
		return err
	}
	c.observer.BlobBytes(c.name, "out", d.Size)
	return resp.Body.Close()
}

// beginUpload starts an upload. Its location has to stay on the registry:
// credentials and content are sent nowhere else (CVE-2026-50151).
func (r *Registries) beginUpload(ctx context.Context, repo Repository, operation, path, from string) (*Upload, bool, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, false, err
	}
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodPost, repository: repo.Name, path: path, data: []byte{},
		action: push, from: from, want: []int{http.StatusCreated, http.StatusAccepted},
	})
	if err != nil {
		return nil, false, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, false, c.failed(operation, err)
	}
	if resp.StatusCode == http.StatusCreated {
		return nil, true, nil
	}
	location, err := resp.Location()
	if err != nil {
		return nil, false, c.failed(operation, err)
	}
	if !c.own(location) || location.User != nil {
		return nil, false, c.failed(operation, fmt.Errorf("it wants the blob uploaded to another host, %s", clean(location.Scheme+"://"+location.Host)))
	}
	return &Upload{location: location.String()}, false, nil
}

// PutManifest writes a manifest under a tag or its digest, and makes sure that
// the registry stored these bytes. Stored says whether the registry keeps the
// manifest's subject in its referrers API by itself.
func (r *Registries) PutManifest(ctx context.Context, repo Repository, reference string, content Content) (listsReferrers bool, err error) {
	if err := checkWritten(reference, content); err != nil {
		return false, err
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return false, err
	}
	operation := "write the manifest " + repo.Name + " " + reference
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodPut, repository: repo.Name, path: "manifests/" + reference,
		header: http.Header{"Content-Type": {content.MediaType}}, data: content.Body,
		action: push, want: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	if err != nil {
		return false, err
	}
	if got := resp.Header.Get("Docker-Content-Digest"); got != "" && got != content.Digest {
		err = fmt.Errorf("%w: %s: the registry stored %s instead of %s", gatekeeper.ErrInvalidContent, operation, clean(got), content.Digest)
	}
	return resp.Header.Get("OCI-Subject") != "", errors.Join(err, resp.Body.Close())
}

// checkWritten makes sure that the bytes are those of the digest, under
// whichever name they are to be written.
func checkWritten(reference string, content Content) error {
	if err := errors.Join(checkReference(reference), checkDigest(content.Digest)); err != nil {
		return err
	}
	if isDigest(reference) && reference != content.Digest {
		return fmt.Errorf("%w: %s is not to be written as %s", gatekeeper.ErrInvalidContent, content.Digest, reference)
	}
	if got := digestOf(content.Body); got != content.Digest || int64(len(content.Body)) != content.Size {
		return fmt.Errorf("%w: the manifest to write hashes to %s and has %d bytes, instead of %s and %d",
			gatekeeper.ErrInvalidContent, got, len(content.Body), content.Digest, content.Size)
	}
	return nil
}
