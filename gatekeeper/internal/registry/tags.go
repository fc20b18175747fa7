package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// tagsPage is how many tags are asked for at a time.
const tagsPage = 1000

// Tags lists the tags of a repository, each once, in the registry's order (OCI
// distribution-spec v1.1, "Listing Tags"). More than Limits.Tags are an error,
// as is a name that is no tag; a repository that does not exist is
// gatekeeper.ErrNotFound.
func (r *Registries) Tags(ctx context.Context, repo Repository) ([]string, error) {
	c, err := r.client(repo.Registry)
	if err != nil {
		return nil, err
	}
	subject := "the list of tags of " + repo.Registry + "/" + clean(repo.Name)
	var all []string
	seen := map[string]bool{}
	err = c.pages(ctx, request{
		operation: "list the tags of " + repo.Name, method: http.MethodGet, repository: repo.Name,
		path: "tags/list?n=" + strconv.Itoa(tagsPage), action: pull, want: []int{http.StatusOK},
	}, func(p page) (bool, error) {
		err := list(p.body, "tags", c.limits.Tags, func(entry json.RawMessage) error {
			var tag string
			if err := json.Unmarshal(entry, &tag); err != nil {
				return err
			}
			if err := checkTag(tag); err != nil {
				return err
			}
			if seen[tag] {
				return nil
			}
			if len(all) == c.limits.Tags {
				return errTooMany
			}
			seen[tag] = true
			all = append(all, tag)
			return nil
		})
		return true, c.invalidList(err, subject, "tags", c.limits.Tags)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// invalidList says of a list what is wrong with it.
func (c *client) invalidList(err error, subject, unit string, limit int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooMany):
		return &LimitError{Subject: subject, Limit: int64(limit), Unit: unit}
	case errors.Is(err, gatekeeper.ErrInvalidContent):
		return fmt.Errorf("%s: %w", subject, err)
	}
	return fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, subject, err)
}
