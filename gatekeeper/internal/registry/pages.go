package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// page is one answer of a list.
type page struct {
	status      int
	contentType string
	body        []byte
	unknown     bool   // a 404 in the registry's own words: what was asked for does not exist
	next        string // the URL of the page after it; empty: it is the last
}

// pages follows a list from page to page, on the registry itself only (OCI
// distribution-spec v1.1, "Content Discovery"). take is handed each page; when
// it does not want more, the list ends.
func (c *client) pages(ctx context.Context, r request, take func(page) (more bool, err error)) error {
	limit := &TimeoutError{Limit: "ListTimeout", After: c.limits.ListTimeout, What: "the list did not end"}
	ctx, cancel := context.WithTimeoutCause(ctx, limit.After, limit)
	defer cancel()
	seen := map[string]bool{}
	for range maxPages {
		p, err := retry(ctx, c, r, func() (page, error) { return c.page(ctx, r) })
		if err != nil {
			return err
		}
		more, err := take(p)
		if err != nil || !more || p.next == "" {
			return err
		}
		if seen[p.next] {
			return fmt.Errorf("%w: registry %s: %s: the pages lead back to one that was read, %s", gatekeeper.ErrInvalidContent, c.name, r.operation, clean(p.next))
		}
		seen[p.next] = true
		r.path = p.next
	}
	return &LimitError{Subject: "the list of pages to " + r.operation, Limit: maxPages, Unit: "pages"}
}

// page reads one page, once.
func (c *client) page(ctx context.Context, r request) (_ page, err error) {
	resp, err := c.attempt(ctx, r)
	if err != nil {
		return page{}, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	p := page{status: resp.StatusCode, contentType: contentType(resp)}
	if p.status != http.StatusOK {
		if p.unknown, err = unknown(r, resp); err != nil {
			return page{}, c.failed(r.operation, err)
		}
		return p, nil
	}
	if p.body, err = c.read(resp, MaxManifest, "one page to "+r.operation); err != nil {
		return page{}, err
	}
	p.next, err = c.nextPage(resp)
	return p, err
}

// nextPage reads the Link headers (RFC 8288); the one to the next page has to
// stay on the registry.
func (c *client) nextPage(resp *http.Response) (string, error) {
	target := nextLink(resp.Header.Values("Link"))
	if target == "" {
		return "", nil
	}
	u, err := resp.Request.URL.Parse(target)
	if err != nil {
		return "", fmt.Errorf("%w: the link to the next page: %w", gatekeeper.ErrInvalidContent, err)
	}
	if !c.own(u) || u.User != nil || !strings.HasPrefix(u.Path, "/v2/") {
		return "", fmt.Errorf("%w: the next page is on another host or outside of the registry's API: %s",
			gatekeeper.ErrInvalidContent, clean((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()))
	}
	return u.String(), nil
}

// nextLink is the target of the link whose relation is next.
func nextLink(values []string) string {
	for _, value := range values {
		for {
			_, link, ok := strings.Cut(value, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(link, ">")
			if !ok {
				break
			}
			params, _, _ := strings.Cut(rest, "<")
			if isNext(params) {
				return target
			}
			value = rest
		}
	}
	return ""
}

func isNext(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(key), "rel") {
			continue
		}
		for relation := range strings.FieldsSeq(strings.Trim(value, " \t,\"")) {
			if strings.EqualFold(relation, "next") {
				return true
			}
		}
	}
	return false
}

// list decodes the elements of a document's field, one after the other, and
// stops beyond the limit before anything else is looked at.
func list(body []byte, field string, limit int, each func(json.RawMessage) error) error {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("not the JSON of a list: %w", err)
	}
	for key := range document {
		if key != field && strings.EqualFold(key, field) {
			return fmt.Errorf("it has %q where %q is expected", key, field)
		}
	}
	if err := entries(document[field], limit, each); err != nil {
		return err
	}
	return strictjson.Check(body)
}
