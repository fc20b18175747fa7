package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// The limits of a list of tags.
const (
	maxTags     = 100_000
	maxTagPages = 1000
	tagsOfAPage = 1000
)

// tagPattern is the grammar of tags (OCI distribution-spec v1.1, "Pulling
// manifests").
func tagPattern() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`) }

// Tags lists every tag of a repository (OCI distribution-spec v1.1, "Listing
// Tags"), at most 100,000; ErrNotFound when there is no such repository.
func (r *Registries) Tags(ctx context.Context, repo Repository) ([]string, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	var all []string
	next := fmt.Sprintf("tags/list?n=%d", tagsOfAPage)
	pattern := tagPattern()
	for range maxTagPages {
		page, following, err := c.tagsPage(ctx, repo, next)
		if err != nil {
			return nil, err
		}
		for _, tag := range page {
			if !pattern.MatchString(tag) {
				return nil, fmt.Errorf("%w: %s lists the tag %q", gatekeeper.ErrInvalidContent, repo.Name, clean(tag))
			}
		}
		if all = append(all, page...); len(all) > maxTags {
			break
		}
		if following == "" {
			return all, nil
		}
		next = following
	}
	return nil, fmt.Errorf("%w: %s has more than %d tags or %d pages of them", gatekeeper.ErrInvalidContent, repo.Name, maxTags, maxTagPages)
}

func (c *client) tagsPage(ctx context.Context, repo Repository, path string) (_ []string, next string, err error) {
	operation := "list the tags of " + repo.Name
	resp, err := c.do(ctx, request{
		operation: operation, method: http.MethodGet, repository: repo.Name, path: path, action: pull, want: []int{http.StatusOK},
	})
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return nil, "", c.failed(operation, err)
	}
	if len(body) > MaxManifest {
		return nil, "", fmt.Errorf("%w: one page of tags is larger than %d bytes", gatekeeper.ErrInvalidContent, MaxManifest)
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := strictjson.Unmarshal(body, &list); err != nil {
		return nil, "", fmt.Errorf("%w: the list of tags of %s: %w", gatekeeper.ErrInvalidContent, repo.Name, err)
	}
	next, err = c.nextPage(resp)
	return list.Tags, next, err
}
