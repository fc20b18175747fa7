package sigstore

import (
	"errors"
	"fmt"
	"testing"
)

// Why a client cannot read evidence that another wrote.
var (
	// Rekor v2 dropped that type in v2.3.0, after sigstore-go had.
	ErrEntryType = errors.New("cosign 2 logs to Rekor v2 as dsse 0.0.2, which cosign 3 and sigstore-go 1.3 know no longer")
	ErrTimestamp = errors.New("cosign 3 timestamps the signature of an attestation, where readers of tags expect its envelope")
)

// CanVerify is nil when a client verifies signatures of this kind, and says why
// not otherwise.
func (g Signing) CanVerify(by Client) error {
	if g.Client == Cosign2 && g.Log == RekorV2 && by != Cosign2 {
		return ErrEntryType
	}
	return nil
}

// CanVerifyAttestation is nil when a client verifies attestations of this kind,
// and says why not otherwise.
func (g Signing) CanVerifyAttestation(by Client) error {
	if g.Client == Cosign3 && g.Form == Tag && g.Log == NoLog && g.Timestamp {
		return ErrTimestamp
	}
	return g.CanVerify(by)
}

// Verify asks a client, without a network, whether the image is signed as told.
func (s *Stack) Verify(tb testing.TB, by Client, g Signing, image string) error {
	tb.Helper()
	args := append([]string{"verify", "--trusted-root=" + s.TrustedRoot}, verifyFlags(g)...)
	if out, err := run(tb, by, nil, append(args, image)...); err != nil {
		return fmt.Errorf("%s verify: %w\n%s", by, err, out)
	}
	return nil
}

// VerifyAttestation asks a client, without a network, whether somebody
// attested a predicate of this type about the image, as told.
func (s *Stack) VerifyAttestation(tb testing.TB, by Client, g Signing, predicateType, image string) error {
	tb.Helper()
	args := append([]string{"verify-attestation", "--type=" + predicateType}, verifyFlags(g)...)
	var env []string
	if by == Cosign2 && g.Form == Tag && g.Key == nil {
		env = s.keyFiles // it refuses a trusted root for these
	} else {
		args = append(args, "--trusted-root="+s.TrustedRoot)
	}
	if out, err := run(tb, by, env, append(args, image)...); err != nil {
		return fmt.Errorf("%s verify-attestation: %w\n%s", by, err, out)
	}
	return nil
}

// verifyFlags are the flags that cosign verify and cosign verify-attestation
// share.
func verifyFlags(g Signing) []string {
	flags := []string{"--offline", fmt.Sprintf("--new-bundle-format=%t", g.Form == Bundle)}
	if g.Key != nil {
		flags = append(flags, "--key="+g.Key.Public)
	} else {
		flags = append(flags, "--certificate-identity="+g.Identity.Name, "--certificate-oidc-issuer="+g.Identity.Issuer)
	}
	if g.Log == NoLog {
		flags = append(flags, "--insecure-ignore-tlog")
	}
	if g.Log == RekorV2 || g.Log == NoLog && g.Timestamp {
		flags = append(flags, "--use-signed-timestamps")
	}
	if g.Form == Referrer {
		flags = append(flags, "--experimental-oci11")
	}
	return flags
}
