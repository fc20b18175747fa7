package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// loadPolicies reads a policy file, or every policy file below a folder. Key
// management services are asked for the keys that they keep.
func loadPolicies(ctx context.Context, location string) ([]policyfile.Policy, error) {
	return readPolicies(location, func(uri string) ([]byte, error) { return keys.PublicKeyPEM(ctx, uri) })
}

// readPolicies reads policies; kms stands in for key management services.
func readPolicies(location string, kms func(uri string) ([]byte, error)) ([]policyfile.Policy, error) {
	read := func(name string) ([]byte, error) {
		if keys.IsKMS(name) {
			return kms(name)
		}
		return readFile(name)
	}
	info, err := os.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	if info.IsDir() {
		return policyfile.Load(os.DirFS(location), location, read)
	}
	data, err := readFile(location)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	return policyfile.Parse(location, data, read)
}

// readFile reads a policy or a key, and one byte more than is allowed of what
// is too large, so that the reader refuses it.
func readFile(name string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
}

// checkDestinations makes sure that policies name registries that exist.
func checkDestinations(policies []policyfile.Policy, registries map[string]bool) error {
	var errs []error
	for _, p := range policies {
		for key, name := range map[string]string{"spec.from": p.Spec().From, "spec.promote.to": p.Spec().Promote.To} {
			if !registries[name] {
				errs = append(errs, fmt.Errorf("%s: policy %s: %s: the configuration has no registry %q", p.File, p.Name(), key, name))
			}
		}
	}
	return errors.Join(errs...)
}
