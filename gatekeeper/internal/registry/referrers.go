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
// it, or by the fallback tag where the registry has no such API or knows
// nothing of the digest (OCI distribution-spec v1.1, "Listing Referrers").
func (r *Registries) Referrers(ctx context.Context, repo Repository, digest string) ([]Referrer, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	if c.now().Unix() >= c.noReferrersUntil.Load() {
		list, listed, err := c.referrersAPI(ctx, repo, digest)
		if err != nil || listed {
			return list, err
		}
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

// referrersAPI follows the pages of the answer. Without a list and without an
// error, the fallback tag has to be looked at.
func (c *client) referrersAPI(ctx context.Context, repo Repository, digest string) (list []Referrer, listed bool, err error) {
	operation := "list the referrers of " + digest
	err = c.pages(ctx, request{
		operation: operation, method: http.MethodGet, repository: repo.Name, path: "referrers/" + digest,
		header: http.Header{"Accept": {string(types.OCIImageIndex)}}, action: pull, want: []int{http.StatusOK, http.StatusNotFound},
	}, func(p page) (bool, error) {
		if p.status != http.StatusOK || p.contentType != string(types.OCIImageIndex) {
			return false, c.noList(operation, p, listed)
		}
		listed = true
		list, err = c.parseReferrers(p.body, list, digest)
		if err == nil {
			c.hasReferrers.Store(true)
		}
		return true, err
	})
	if err != nil {
		return nil, false, err
	}
	return list, listed, nil
}

// noList judges an answer that is no list of referrers. Some registries answer
// 404 for a digest that they do not know, in the words of the specification;
// that says nothing of the API. Any other 404 means that there is no API, for
// as long as rememberNoReferrers — but not once it has answered: then a proxy
// is speaking, and what it says is an outage, not absence.
func (c *client) noList(operation string, p page, later bool) error {
	switch {
	case later:
		return c.failed(operation, fmt.Errorf("a later page is missing: status %d, content type %q", p.status, clean(p.contentType)))
	case p.unknown:
		return nil
	case c.hasReferrers.Load():
		return c.failed(operation, fmt.Errorf("status %d, content type %q, from a registry that has answered with lists before", p.status, clean(p.contentType)))
	case p.status == http.StatusNotFound:
		c.noReferrersUntil.Store(c.now().Add(rememberNoReferrers).Unix())
	}
	return nil
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
