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

	"github.com/google/go-containerregistry/pkg/authn"
)

// The lifetime of a token: at least what the specification promises ("Token
// Authentication Specification", expires_in), and no longer than a revoked
// account should be able to go on. It is not used in its last seconds.
const (
	minToken    = time.Minute
	maxToken    = time.Hour
	tokenMargin = 10 * time.Second
)

// token exchanges credentials for a token of the registry's token server
// (Distribution, "Token Authentication Specification" and "Docker Registry v2
// authentication using OAuth2"), or asks for one anonymously.
func (c *client) token(ctx context.Context, asked challenge, s scope, credentials authn.AuthConfig) (authorization, error) {
	realm, err := c.checkRealm(asked.realm)
	if err != nil {
		return authorization{}, c.failed("authenticate", err)
	}
	query := realm.Query()
	query.Set("service", asked.service)
	for _, one := range s.strings() {
		query.Add("scope", one)
	}
	plain := *realm
	plain.RawQuery = query.Encode()
	if credentials.IdentityToken == "" {
		return c.exchange(ctx, http.MethodGet, &plain, nil, basicHeader(credentials))
	}
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {credentials.IdentityToken},
		"service": {asked.service}, "client_id": {"gatekeeper"}, "scope": {strings.Join(s.strings(), " ")},
	}
	got, err := c.exchange(ctx, http.MethodPost, realm, form, "")
	// Not every token server knows OAuth2.
	if refused, ok := errors.AsType[*Error](err); ok && basicHeader(credentials) != "" &&
		(refused.StatusCode == http.StatusNotFound || refused.StatusCode == http.StatusMethodNotAllowed) {
		return c.exchange(ctx, http.MethodGet, &plain, nil, basicHeader(credentials))
	}
	return got, err
}

// exchange asks a token server that was checked. It is never followed to
// another place: a redirect would take an identity token along in the body.
func (c *client) exchange(ctx context.Context, method string, target *url.URL, form url.Values, header string) (_ authorization, err error) {
	operation := "ask " + clean(target.Host) + " for a token"
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return authorization{}, fmt.Errorf("registry %s: %s: %w", c.name, operation, err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	hc := &http.Client{Transport: c.tokenTransport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a token server's redirect is not followed")
	}}
	resp, err := hc.Do(req)
	if err != nil {
		return authorization{}, c.failed(operation, err)
	}
	resp.Body = c.deadline(resp.Body, false, cancel)
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		// Whatever it says is no word of the registry about a repository.
		return authorization{}, &Error{Registry: c.name, Operation: operation, StatusCode: resp.StatusCode, Wait: retryAfter(resp, c.now)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody+1))
	if err != nil {
		return authorization{}, c.failed(operation, err)
	}
	if len(text) > maxTokenBody {
		return authorization{}, c.failed(operation, fmt.Errorf("the answer is larger than %d bytes", maxTokenBody))
	}
	return c.parseToken(text, operation)
}

func (c *client) parseToken(text []byte, operation string) (authorization, error) {
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return authorization{}, c.failed(operation, errors.New("the answer is not the JSON of a token"))
	}
	token := answer.Token
	if token == "" {
		token = answer.AccessToken
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return authorization{}, c.failed(operation, errors.New("the answer holds no token"))
	}
	lifetime := time.Duration(min(max(answer.ExpiresIn, 0), maxToken.Seconds())) * time.Second
	return authorization{header: "Bearer " + token, until: c.now().Add(max(lifetime, minToken) - tokenMargin)}, nil
}
