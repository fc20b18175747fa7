package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	// The services that keys may be kept in.
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
)

// Schemes lists the key management services by the scheme of their URIs.
func Schemes() []string {
	return []string{"awskms://", "azurekms://", "gcpkms://", "hashivault://"}
}

// IsKMS says whether a reference names a key in a key management service, by
// the scheme of its URI.
func IsKMS(reference string) bool {
	for _, scheme := range Schemes() {
		if strings.HasPrefix(reference, scheme) {
			return true
		}
	}
	return false
}

// PublicKeyPEM asks a key management service for a public key and returns it
// in PEM (PKIX). The service's client takes addresses and credentials from the
// environment, as its vendor's tools do.
func PublicKeyPEM(ctx context.Context, uri string) ([]byte, error) {
	key, err := openKMS(ctx, uri)
	if err != nil {
		return nil, err
	}
	text, err := encodePublic(key.public)
	if err != nil {
		return nil, fmt.Errorf("the public key of %s: %w", uri, err)
	}
	return text, nil
}

// serviceKey is a key in a service, with its public half.
type serviceKey struct {
	kms.SignerVerifier

	public crypto.PublicKey
}

// openKMS prepares a key of a service and reads its public half. The scheme is
// looked at first: for one that it does not know, kms.Get runs a program by
// that name.
func openKMS(ctx context.Context, uri string) (serviceKey, error) {
	if !IsKMS(uri) {
		return serviceKey{}, fmt.Errorf("%q names no key management service that is supported; write one of %s", uri, strings.Join(Schemes(), ", "))
	}
	if err := vaultReady(uri); err != nil {
		return serviceKey{}, fmt.Errorf("%s: %w", uri, err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	return ask(ctx, func(ctx context.Context) (serviceKey, error) {
		key, err := kms.Get(ctx, uri, crypto.SHA256)
		if err != nil {
			return serviceKey{}, fmt.Errorf("open the key %s: %w", uri, err)
		}
		public, err := key.PublicKey(options.WithContext(ctx))
		if err != nil {
			return serviceKey{}, fmt.Errorf("read the public key of %s: %w", uri, err)
		}
		return serviceKey{key, public}, nil
	})
}

// vaultReady makes sure of Vault's address and token: without a token its
// client runs whatever program ~/.vault names as a helper.
func vaultReady(uri string) error {
	if !strings.HasPrefix(uri, "hashivault://") {
		return nil
	}
	if os.Getenv("VAULT_ADDR") == "" && os.Getenv("BAO_ADDR") == "" {
		return errors.New("the environment variable VAULT_ADDR is not set")
	}
	if os.Getenv("VAULT_TOKEN") == "" && os.Getenv("BAO_TOKEN") == "" {
		return errors.New("the environment variable VAULT_TOKEN is not set")
	}
	return nil
}
