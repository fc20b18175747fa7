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

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// Schemes lists the key management services by the scheme of their URIs.
func Schemes() []string {
	all := policyfile.KMSSchemes()
	for i := range all {
		all[i] += "://"
	}
	return all
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
// environment, as its vendor's tools do, and has half a minute.
func PublicKeyPEM(ctx context.Context, uri string) ([]byte, error) {
	_, public, err := openPublic(ctx, uri)
	if err != nil {
		return nil, err
	}
	text, err := encodePublic(public)
	if err != nil {
		return nil, fmt.Errorf("the public key of %s: %w", uri, err)
	}
	return text, nil
}

// openPublic prepares a key of a service and reads its public half, in time.
func openPublic(ctx context.Context, uri string) (kms.SignerVerifier, crypto.PublicKey, error) {
	type pair struct {
		key    kms.SignerVerifier
		public crypto.PublicKey
	}
	p, err := within(ctx, loadTimeout, func(ctx context.Context) (pair, error) {
		key, err := openKMS(ctx, uri)
		if err != nil {
			return pair{}, err
		}
		public, err := key.PublicKey(options.WithContext(ctx))
		return pair{key, public}, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the public key of %s: %w", uri, err)
	}
	return p.key, p.public, nil
}

// openKMS prepares a key of a service. The scheme is looked at first: for one
// that it does not know, kms.Get runs a program by that name.
func openKMS(ctx context.Context, uri string) (kms.SignerVerifier, error) {
	if !IsKMS(uri) {
		return nil, fmt.Errorf("%q names no key management service that is supported; write one of %s", uri, strings.Join(Schemes(), ", "))
	}
	if err := vaultReady(uri); err != nil {
		return nil, err
	}
	return kms.Get(ctx, uri, crypto.SHA256)
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
