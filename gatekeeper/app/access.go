package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	dockertypes "github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	gkconfig "github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// registrySettings turns the configuration of a registry into settings.
func registrySettings(r gkconfig.Registry) (registry.Settings, error) {
	u, err := r.ParsedURL()
	if err != nil {
		return registry.Settings{}, err
	}
	s := registry.Settings{
		Name: r.Name, URL: u, TokenServers: r.Auth.TokenServers,
		Limits: registry.Limits{RequestsPerSecond: r.Limits.RequestsPerSecond, Concurrent: r.Limits.Concurrent},
	}
	if s.Keychain, err = keychain(r.Auth); err != nil {
		return s, fmt.Errorf("registry %s: auth.%w", r.Name, err)
	}
	if r.CAFile == "" {
		return s, nil
	}
	if s.RootCAs, err = certificates(r.CAFile); err != nil {
		return s, fmt.Errorf("registry %s: caFile: %w", r.Name, err)
	}
	return s, nil
}

func certificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// keychain returns where a registry's credentials come from.
func keychain(a gkconfig.Auth) (authn.Keychain, error) {
	switch {
	case a.Anonymous:
		return authn.NewMultiKeychain(), nil
	case a.DockerConfig != "":
		k := dockerConfig{file: a.DockerConfig}
		_, err := k.load()
		return k, err
	case a.Username != "":
		password, err := a.Password()
		return fixed{authn.FromConfig(authn.AuthConfig{Username: a.Username, Password: password})}, err
	}
	return authn.DefaultKeychain, nil
}

// fixed is a keychain with the credentials of one registry.
type fixed struct{ auth authn.Authenticator }

// Resolve implements authn.Keychain.
func (f fixed) Resolve(authn.Resource) (authn.Authenticator, error) { return f.auth, nil }

// dockerConfig is a config.json as docker login writes it. It is read again
// for each registry and repository, so that a renewed secret is used.
type dockerConfig struct{ file string }

func (d dockerConfig) load() (_ interface {
	GetAuthConfig(host string) (dockertypes.AuthConfig, error)
}, err error,
) {
	f, err := os.Open(d.file)
	if err != nil {
		return nil, fmt.Errorf("dockerConfig: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	cf, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("dockerConfig: %s: %w", d.file, err)
	}
	return cf, nil
}

// Resolve implements authn.Keychain.
func (d dockerConfig) Resolve(target authn.Resource) (authn.Authenticator, error) {
	cf, err := d.load()
	if err != nil {
		return nil, err
	}
	for _, key := range []string{target.String(), target.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
		}
		found, err := cf.GetAuthConfig(key)
		if err != nil {
			return nil, fmt.Errorf("dockerConfig: %s: %w", d.file, err)
		}
		auth := authn.AuthConfig{
			Username: found.Username, Password: found.Password, Auth: found.Auth,
			IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
		}
		if auth != (authn.AuthConfig{}) {
			return authn.FromConfig(auth), nil
		}
	}
	return authn.Anonymous, nil
}
