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

// catalogPage is how many repositories are asked for at a time.
const catalogPage = 1000

// CatalogError says that a registry does not list its repositories: it has no
// such list, or not for these credentials. Asking again does not help.
type CatalogError struct {
	Registry string // the name in the configuration
	Err      error  // what it answered
}

// Error says what to do without the list.
func (e *CatalogError) Error() string {
	return e.Err.Error() + "; to do without this list, name the repositories under reconcile.repositories, without wildcards"
}

// Unwrap returns what the registry answered.
func (e *CatalogError) Unwrap() error { return e.Err }

// Repositories lists the repositories of a registry, each once, in the
// registry's order (Distribution, "HTTP API V2", "Listing Repositories"; OCI
// has nothing of the kind). More than Limits.Repositories are an error, as is a
// name that is none; a registry that offers no such list is a *CatalogError.
// each is called while the list is read: what it does counts for ListTimeout.
func (r *Registries) Repositories(ctx context.Context, registry string, each func(name string) error) error {
	c, err := r.client(registry)
	if err != nil {
		return err
	}
	l := &catalogList{client: c, each: each, seen: map[string]bool{}}
	err = c.pages(ctx, c.catalogRequest("?n="+strconv.Itoa(catalogPage)), l.take)
	if refused, ok := errors.AsType[*Error](err); ok && refused.StatusCode == http.StatusBadRequest && !l.begun {
		// Distribution refuses pages larger than its catalog.maxentries.
		err = c.pages(ctx, c.catalogRequest(""), l.take)
	}
	if err != nil && !l.begun && noCatalog(err) {
		return &CatalogError{Registry: c.name, Err: err}
	}
	return err
}

func (c *client) catalogRequest(query string) request {
	return request{
		operation: "list the repositories", method: http.MethodGet, path: c.base + "/v2/_catalog" + query,
		action: catalog, want: []int{http.StatusOK},
	}
}

// noCatalog says whether an answer to the first question means that there is
// no list for us.
func noCatalog(err error) bool {
	if errors.Is(err, gatekeeper.ErrNotFound) {
		return true
	}
	refused, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch refused.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// catalogList reads the pages of a list of repositories.
type catalogList struct {
	client *client
	each   func(name string) error
	seen   map[string]bool
	begun  bool // the registry has answered with a page
}

func (l *catalogList) take(p page) (bool, error) {
	l.begun = true
	limit := l.client.limits.Repositories
	var names []string // of this page
	err := list(p.body, "repositories", limit, func(entry json.RawMessage) error {
		var name string
		if err := json.Unmarshal(entry, &name); err != nil {
			return err
		}
		if err := checkRepository(name); err != nil {
			return err
		}
		if l.seen[name] {
			return nil
		}
		if len(l.seen) == limit {
			return errTooMany
		}
		l.seen[name] = true
		names = append(names, name)
		return nil
	})
	if err := l.client.invalidList(err, "the list of repositories of "+l.client.name, "repositories", limit); err != nil {
		return false, err
	}
	for _, name := range names {
		if err := l.each(name); err != nil {
			return false, err
		}
	}
	return true, nil
}

// check refuses a request that would lead to another place of the registry.
// Only the catalog is asked for without a repository.
func (r request) check() error {
	if r.action != catalog {
		return checkRepository(r.repository)
	}
	if r.repository != "" {
		return fmt.Errorf("%s: the catalog is no repository's", r.operation)
	}
	return nil
}
