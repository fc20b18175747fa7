package summary

import (
	"context"
	"fmt"
	"strings"
)

// Probe signs a statement that is about nothing and opens it, so that a key
// whose signatures nobody could verify is noticed before it is needed.
func Probe(ctx context.Context, s Signer, trust *Trust) error {
	nothing := "sha256:" + strings.Repeat("0", 64)
	statement, err := Statement(Facts{Golden: "probe.invalid/probe", Digest: nothing, Tags: []string{"probe"}, Policy: "probe", Fingerprint: nothing})
	if err != nil {
		return err
	}
	signed, err := s.Sign(ctx, statement)
	if err != nil {
		return fmt.Errorf("try to sign: %w; %s", err, Remedy(s))
	}
	if _, err := trust.Open(signed, nothing); err != nil {
		return fmt.Errorf("a signature was made to try it, and does not verify: %w; %s", err, Remedy(s))
	}
	return nil
}

// Remedy says which setting to mend when what a signer signs does not verify.
func Remedy(s Signer) string {
	if _, key := s.(KeySigner); key {
		return "see signing.key: it has to sign over SHA-256 with ECDSA or RSA PKCS #1 v1.5, or with Ed25519 as it is; " +
			"in a key management service make a key for that (P-256)"
	}
	return "see signing.keyless: identity and issuer have to be those in the certificate, and trustedRootFile has to name the services that are used"
}
