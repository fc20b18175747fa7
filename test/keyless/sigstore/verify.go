package sigstore

import (
	"errors"
	"fmt"
	"testing"
)

// Why a client cannot read evidence that another wrote.
var (
	// Rekor v2 dropped that type in v2.3.0, as sigstore-go had.
	ErrDSSE002   = errors.New("cosign 2 logs to Rekor v2 as dsse 0.0.2, which cosign 3 and sigstore-go 1.3 know no longer")
	ErrInToto001 = errors.New("cosign 2 logs as intoto 0.0.1, which sigstore-go does not know, nor cosign in a bundle")
	ErrTimestamp = errors.New("in a tag, cosign timestamps an attestation's envelope (2) or its signature (3) and expects the former, sigstore-go the latter")
)

// CanVerify is nil when a client verifies signatures of this kind, and says why
// not otherwise.
func (g Signing) CanVerify(by Client) error {
	if g.Client == Cosign2 && g.Log == RekorV2 && by != Cosign2 {
		return ErrDSSE002
	}
	return nil
}

// CanVerifyAttestation is nil when a client verifies attestations of this kind,
// and says why not otherwise.
func (g Signing) CanVerifyAttestation(by Client) error {
	if onlyTime := g.Log == NoLog && g.Timestamp; onlyTime && g.Form == Tag && (g.Client == Cosign3) != (by == Library) {
		return ErrTimestamp
	}
	if g.InToto && (g.Form == Bundle || by == Library) {
		return ErrInToto001
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
