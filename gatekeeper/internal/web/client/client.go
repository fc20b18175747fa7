// Package client asks a running service through its API.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// The limits of a request.
const (
	timeout   = 30 * time.Second
	maxAnswer = 64 << 20 // bytes
)

// Client asks one service. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// Error is an answer of the service that is an error.
type Error struct {
	Status int    // HTTP status code
	Title  string // the status in words
	Detail string
}

// Error is the detail, or the status in words.
func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return fmt.Sprintf("the gatekeeper answers %d %s", e.Status, e.Title)
}

// New returns a client of the service at a URL; token may be empty.
func New(server, token string) (*Client, error) {
	base, err := url.Parse(server)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("the server %q is not a URL like http://127.0.0.1:8080", server)
	}
	return &Client{base: base, token: token, http: &http.Client{
		Timeout: timeout,
		// A redirect could take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Decisions lists decisions, newest first, without their evidence.
func (c *Client) Decisions(ctx context.Context, q gatekeeper.DecisionQuery) ([]gatekeeper.Decision, error) {
	values := url.Values{}
	for key, value := range map[string]string{
		"verdict": string(q.Verdict), "source": q.Source, "repository": q.Repository, "tag": q.Tag, "digest": q.Digest, "policy": q.Policy,
	} {
		if value != "" {
			values.Set(key, value)
		}
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Before > 0 {
		values.Set("before", strconv.FormatInt(q.Before, 10))
	}
	var list struct {
		Decisions []gatekeeper.Decision `json:"decisions"`
	}
	return list.Decisions, c.get(ctx, "/api/v1/decisions", values, &list)
}

// Decision returns one decision with its evidence.
func (c *Client) Decision(ctx context.Context, id string) (gatekeeper.Decision, error) {
	var d gatekeeper.Decision
	return d, c.get(ctx, "/api/v1/decisions/"+url.PathEscape(id), nil, &d)
}

// Image returns what is known about REPOSITORY:TAG or REPOSITORY@DIGEST.
func (c *Client) Image(ctx context.Context, image string) (gatekeeper.ImageStatus, error) {
	var s gatekeeper.ImageStatus
	return s, c.get(ctx, "/api/v1/images", url.Values{"image": {image}}, &s)
}

func (c *Client) get(ctx context.Context, path string, values url.Values, into any) (err error) {
	target := *c.base
	target.Path = strings.TrimSuffix(target.Path, "/") + path
	target.RawQuery = values.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no gatekeeper answers at %s: %w; is gatekeeper serve running? Set --server or GATEKEEPER_SERVER", c.base, cause(err))
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answers something that is no answer of a gatekeeper: %w", c.base, err)
	}
	return nil
}

// cause is the error without the request around it, which names the URL again.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func refusal(resp *http.Response, body []byte) error {
	e := &Error{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil {
		e.Detail = problem.Detail
	}
	if e.Status == http.StatusUnauthorized {
		e.Detail = "the gatekeeper asks for a token: give it with --token-file or GATEKEEPER_TOKEN_FILE"
	}
	return e
}
