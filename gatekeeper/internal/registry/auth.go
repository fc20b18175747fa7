package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// The actions of a token's scope (Distribution, "Token scope documentation").
const (
	pull = "pull"
	push = "push,pull"
	// catalog is the whole scope of the list of repositories, which is no
	// repository's.
	catalog = "registry:catalog:*"
)

// scope is what a request needs to be allowed. It is never taken from a
// registry's challenge: one registry could ask for a token that opens another.
type scope struct {
	repository string
	action     string
	from       string // another repository of the registry, to read a blob of
}

// strings are the scopes of a token request.
func (s scope) strings() []string {
	if s.action == catalog {
		return []string{catalog}
	}
	all := []string{"repository:" + s.repository + ":" + s.action}
	if s.from != "" {
		all = append(all, "repository:"+s.from+":"+pull)
	}
	return all
}

// authorization is the value of a header, and how long it is used.
type authorization struct {
	header string
	until  time.Time
}

// rememberCredentials is how long credentials are used before they are looked
// up again, so that a renewed secret is found.
const rememberCredentials = 5 * time.Minute

// authorize returns the Authorization header of a request, empty for none. The
// registry is asked once how it authenticates; tokens are kept and renewed.
func (c *client) authorize(ctx context.Context, s scope) (string, error) {
	c.mu.Lock()
	wanted := c.challenge
	c.mu.Unlock()
	if wanted == nil {
		asked, err := c.pings.do(ctx, "", c.ping)
		if err != nil {
			return "", err
		}
		wanted = &asked
	}
	return c.answer(ctx, *wanted, s)
}

// ping asks the registry how it authenticates (OCI distribution-spec v1.1,
// "Determining Support"). It carries no credentials and is not sent elsewhere.
func (c *client) ping(ctx context.Context) (challenge, error) {
	const operation = "ask how it authenticates"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v2/", nil)
	if err != nil {
		return challenge{}, err
	}
	hc := &http.Client{Transport: c.transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if !c.own(req.URL) {
			return fmt.Errorf("it is sent to another host, %s", clean(req.URL.Host))
		}
		return checkRedirect(req, via)
	}}
	resp, err := hc.Do(req)
	if err != nil {
		return challenge{}, c.failed(operation, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		// Whatever it says is no word about a repository.
		refused := &Error{Registry: c.name, Operation: operation, StatusCode: resp.StatusCode, Wait: retryAfter(resp, c.now)}
		return challenge{}, errors.Join(refused, resp.Body.Close())
	}
	asked := challengeOf(resp.Header)
	if err := resp.Body.Close(); err != nil {
		return challenge{}, c.failed(operation, err)
	}
	c.remember(asked)
	return asked, nil
}

func (c *client) remember(asked challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.challenge = &asked
}

// challenged takes a refusal's challenge and returns another Authorization
// header than the one that was sent, if there is any.
func (c *client) challenged(ctx context.Context, s scope, resp *http.Response, sent string) (header string, again bool, err error) {
	asked := challengeOf(resp.Header)
	if asked.scheme == "" {
		return "", false, nil
	}
	c.remember(asked)
	c.authorizations.Remove(s.key(asked))
	header, err = c.answer(ctx, asked, s)
	return header, header != sent, err
}

func (s scope) key(asked challenge) string {
	return fmt.Sprintf("%q %q", asked, s)
}

// answer makes the header that a challenge asks for.
func (c *client) answer(ctx context.Context, asked challenge, s scope) (string, error) {
	key := s.key(asked)
	if kept, ok := c.authorizations.Get(key); ok && c.now().Before(kept.until) {
		return kept.header, nil
	}
	made, err := c.authorizing.do(ctx, key, func(ctx context.Context) (authorization, error) {
		credentials, err := c.credentials(ctx, s.repository)
		if err != nil {
			return authorization{}, err
		}
		made := authorization{until: c.now().Add(rememberCredentials)}
		switch {
		case credentials.RegistryToken != "":
			made.header = "Bearer " + credentials.RegistryToken
		case asked.scheme == "bearer":
			if made, err = c.token(ctx, asked, s, credentials); err != nil {
				return authorization{}, err
			}
		default:
			made.header = basicHeader(credentials)
		}
		c.authorizations.Add(key, made)
		return made, nil
	})
	return made.header, err
}

// credentials looks up the registry's own, under its own name: no helper is
// asked about a host that the registry names. Without a repository they are
// those of the registry as a whole.
func (c *client) credentials(ctx context.Context, repository string) (authn.AuthConfig, error) {
	var whose authn.Resource = c.registry
	if repository != "" {
		repo, err := name.NewRepository(c.registry.RegistryStr()+"/"+repository, name.StrictValidation)
		if err != nil {
			return authn.AuthConfig{}, fmt.Errorf("repository %q: %w", clean(repository), err)
		}
		whose = repo
	}
	auth, err := authn.Resolve(ctx, c.keychain, whose)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("registry %s: look up credentials: %w", c.name, err)
	}
	found, err := authn.Authorization(ctx, auth)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("registry %s: look up credentials: %w", c.name, err)
	}
	return *found, nil
}

// basicHeader is empty when there is no password.
func basicHeader(credentials authn.AuthConfig) string {
	switch {
	case credentials.Auth != "":
		return "Basic " + credentials.Auth
	case credentials.Username != "" || credentials.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials.Username+":"+credentials.Password))
	}
	return ""
}
