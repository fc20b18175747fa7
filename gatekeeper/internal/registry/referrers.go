package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
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
	return c.parseReferrers(content.Body, nil)
}

// referrersAPI follows the pages of the answer. A 404 means that there is no
// such API: a registry that has it answers with an empty list.
func (c *client) referrersAPI(ctx context.Context, repo Repository, digest string) ([]Referrer, bool, error) {
	var list []Referrer
	next := "referrers/" + digest
	for range c.maxReferrers { // each page but the last holds at least one entry
		page, following, supported, err := c.referrersPage(ctx, repo, digest, next)
		if err != nil || !supported {
			return nil, supported, err
		}
		if list, err = c.parseReferrers(page, list); err != nil {
			return nil, true, err
		}
		if following == "" {
			return list, true, nil
		}
		next = following
	}
	return nil, true, c.tooManyReferrers()
}

func (c *client) referrersPage(ctx context.Context, repo Repository, digest, path string) (_ []byte, next string, supported bool, err error) {
	operation := "list the referrers of " + digest
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodGet, repository: repo.Name, path: path,
		header: http.Header{"Accept": {string(types.OCIImageIndex)}}, action: pull,
		want: []int{http.StatusOK, http.StatusNotFound},
	})
	if err != nil {
		return nil, "", false, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode == http.StatusNotFound || contentType(resp) != string(types.OCIImageIndex) {
		return nil, "", false, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return nil, "", false, c.failed(operation, err)
	}
	if len(body) > MaxManifest {
		return nil, "", false, fmt.Errorf("%w: one page of referrers is larger than %d bytes", gatekeeper.ErrInvalidContent, MaxManifest)
	}
	next, err = c.nextPage(resp)
	return body, next, true, err
}

// nextPage reads the Link header (RFC 8288); it has to stay on the registry.
func (c *client) nextPage(resp *http.Response) (string, error) {
	link := resp.Header.Get("Link")
	target, params, _ := strings.Cut(link, ">")
	if link == "" || !strings.HasPrefix(target, "<") || !strings.Contains(params, "next") {
		return "", nil
	}
	u, err := resp.Request.URL.Parse(target[1:])
	if err != nil {
		return "", fmt.Errorf("%w: the link to the next page of referrers: %w", gatekeeper.ErrInvalidContent, err)
	}
	if base := c.base; u.Scheme+"://"+u.Host != base {
		return "", fmt.Errorf("%w: the next page of referrers is on another host: %s", gatekeeper.ErrInvalidContent, clean((&url.URL{Scheme: u.Scheme, Host: u.Host}).String()))
	}
	return u.String(), nil
}

// parseReferrers appends the entries of an index.
func (c *client) parseReferrers(body []byte, list []Referrer) ([]Referrer, error) {
	var index struct {
		Manifests []struct {
			MediaType    string            `json:"mediaType"`
			Digest       string            `json:"digest"`
			Size         int64             `json:"size"`
			ArtifactType string            `json:"artifactType"`
			Annotations  map[string]string `json:"annotations"`
		} `json:"manifests"`
	}
	if err := strictjson.Check(body); err != nil {
		return nil, fmt.Errorf("%w: list of referrers: %w", gatekeeper.ErrInvalidContent, err)
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fmt.Errorf("%w: list of referrers: %w", gatekeeper.ErrInvalidContent, err)
	}
	if len(list)+len(index.Manifests) > c.maxReferrers {
		return nil, c.tooManyReferrers()
	}
	for _, m := range index.Manifests {
		if err := checkDigest(m.Digest); err != nil {
			return nil, err
		}
		list = append(list, Referrer{
			Descriptor:   gatekeeper.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size},
			ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
	}
	return list, nil
}

func (c *client) tooManyReferrers() error {
	return fmt.Errorf("%w: more than %d referrers, which is the limit for one image", gatekeeper.ErrInvalidContent, c.maxReferrers)
}
