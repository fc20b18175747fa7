package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// rememberNoReferrers is how long a registry that has no referrers API is not
// asked for it again.
const rememberNoReferrers = 10 * time.Minute

// Referrers lists what refers to a digest: by the referrers API, every page of
// it, or by the fallback tag where the registry has no such API (OCI
// distribution-spec v1.1, "Listing Referrers").
func (r *Registries) Referrers(ctx context.Context, repo Repository, digest string) ([]Referrer, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	if c.now().Unix() >= c.noReferrersUntil.Load() {
		list, supported, err := c.referrersAPI(ctx, repo, digest)
		if err != nil || supported {
			return list, err
		}
		c.noReferrersUntil.Store(c.now().Add(rememberNoReferrers).Unix())
	}
	content, err := r.ManifestByTag(ctx, repo, FallbackTag(digest, ""))
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.parseReferrers(content.Body, nil, digest)
}

// referrersAPI follows the pages of the answer. A 404 to the first means that
// there is no such API: a registry that has it answers with an empty list.
func (c *client) referrersAPI(ctx context.Context, repo Repository, digest string) (list []Referrer, supported bool, err error) {
	operation := "list the referrers of " + digest
	err = c.pages(ctx, request{
		operation: operation, method: http.MethodGet, repository: repo.Name, path: "referrers/" + digest,
		header: http.Header{"Accept": {string(types.OCIImageIndex)}}, action: pull, want: []int{http.StatusOK, http.StatusNotFound},
	}, func(p page) (bool, error) {
		if p.status == http.StatusNotFound || p.contentType != string(types.OCIImageIndex) {
			if supported {
				return false, c.failed(operation, fmt.Errorf("a later page is missing: status %d, content type %q", p.status, clean(p.contentType)))
			}
			return false, nil
		}
		supported = true
		list, err = c.parseReferrers(p.body, list, digest)
		return true, err
	})
	if err != nil {
		return nil, false, err
	}
	return list, supported, nil
}

// parseReferrers appends the entries of an index.
func (c *client) parseReferrers(body []byte, all []Referrer, digest string) ([]Referrer, error) {
	err := list(body, "manifests", c.limits.Referrers, func(entry json.RawMessage) error {
		if len(all) == c.limits.Referrers {
			return errTooMany
		}
		var m struct {
			MediaType    string            `json:"mediaType"`
			Digest       string            `json:"digest"`
			Size         int64             `json:"size"`
			ArtifactType string            `json:"artifactType"`
			Annotations  map[string]string `json:"annotations"`
		}
		if err := json.Unmarshal(entry, &m); err != nil {
			return err
		}
		if err := checkDigest(m.Digest); err != nil {
			return err
		}
		all = append(all, Referrer{
			Descriptor:   gatekeeper.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size},
			ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
		return nil
	})
	return all, c.invalidList(err, "the list of referrers of "+digest, "referrers", c.limits.Referrers)
}
