package sigstore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// KeyPair is a pair of key files as cosign generate-key-pair writes them. The
// private key's password is empty.
type KeyPair struct{ Private, Public string }

// NewKeyPair generates a key pair with cosign.
func NewKeyPair(tb testing.TB) *KeyPair {
	tb.Helper()
	prefix := filepath.Join(tb.TempDir(), "cosign")
	if out, err := run(tb, Cosign2, nil, "generate-key-pair", "--output-key-prefix", prefix); err != nil {
		tb.Fatalf("generate a key pair: %v\n%s", err, out)
	}
	return &KeyPair{Private: prefix + ".key", Public: prefix + ".pub"}
}

// Sign lets the client sign an image, which is named by its digest.
func (s *Stack) Sign(tb testing.TB, g Signing, image string) {
	tb.Helper()
	if err := g.CanSign(); err != nil {
		tb.Fatalf("sign as %s: %v", g, err)
	}
	var env []string
	args := append([]string{"sign"}, s.signingFlags(g)...)
	if g.Form == Referrer {
		env = []string{"COSIGN_EXPERIMENTAL=1"}
		args = append(args, "--registry-referrers-mode=oci-1-1")
	}
	if out, err := run(tb, g.Client, env, append(args, image)...); err != nil {
		tb.Fatalf("sign as %s: %v\n%s", g, err, out)
	}
}

// Attest lets the client attest a predicate, whose type is one of cosign's
// names or a URI, about an image that is named by its digest.
func (s *Stack) Attest(tb testing.TB, g Signing, predicateType string, predicate []byte, image string) {
	tb.Helper()
	if err := g.CanAttest(); err != nil {
		tb.Fatalf("attest as %s: %v", g, err)
	}
	file := filepath.Join(tb.TempDir(), "predicate.json")
	if err := os.WriteFile(file, predicate, 0o600); err != nil {
		tb.Fatal(err)
	}
	args := append([]string{"attest", "--type=" + predicateType, "--predicate=" + file}, s.signingFlags(g)...)
	if out, err := run(tb, g.Client, nil, append(args, image)...); err != nil {
		tb.Fatalf("attest as %s: %v\n%s", g, err, out)
	}
}

// signingFlags are the flags that cosign sign and cosign attest share.
func (s *Stack) signingFlags(g Signing) []string {
	flags := []string{"--yes", fmt.Sprintf("--new-bundle-format=%t", g.Form == Bundle)}
	if g.Key != nil {
		flags = append(flags, "--key="+g.Key.Private)
	} else {
		flags = append(flags, "--identity-token="+g.Identity.Token, "--trusted-root="+s.TrustedRoot)
	}
	if g.Log == RekorV2 {
		if g.Key != nil {
			flags = append(flags, "--trusted-root="+s.TrustedRoot)
		}
		return append(flags, "--signing-config="+s.SigningConfigV2)
	}
	// Without a signing configuration, each service is named.
	flags = append(flags, "--use-signing-config=false", "--fulcio-url="+s.fulcio.url, "--rekor-url="+s.rekorV1.url)
	if g.Log == NoLog {
		flags = append(flags, "--tlog-upload=false")
	}
	if g.Timestamp {
		flags = append(flags, "--timestamp-server-url="+s.timestamps.url+timestampPath)
	}
	return flags
}

// Verify asks a client, without a network, whether the image is signed as told.
func (s *Stack) Verify(tb testing.TB, by Client, g Signing, image string) error {
	tb.Helper()
	args := append([]string{"verify"}, s.verifyFlags(by, g)...)
	if out, err := run(tb, by, nil, append(args, image)...); err != nil {
		return fmt.Errorf("%s verify: %w\n%s", by, err, out)
	}
	return nil
}

// VerifyAttestation asks a client, without a network, whether somebody
// attested a predicate of this type about the image, as told.
func (s *Stack) VerifyAttestation(tb testing.TB, by Client, g Signing, predicateType, image string) error {
	tb.Helper()
	args := append([]string{"verify-attestation", "--type=" + predicateType}, s.verifyFlags(by, g)...)
	if out, err := run(tb, by, nil, append(args, image)...); err != nil {
		return fmt.Errorf("%s verify-attestation: %w\n%s", by, err, out)
	}
	return nil
}

// verifyFlags are the flags that cosign verify and cosign verify-attestation
// share.
func (s *Stack) verifyFlags(_ Client, g Signing) []string {
	flags := []string{"--offline", "--trusted-root=" + s.TrustedRoot, fmt.Sprintf("--new-bundle-format=%t", g.Form == Bundle)}
	if g.Key != nil {
		flags = append(flags, "--key="+g.Key.Public)
	} else {
		flags = append(flags, "--certificate-identity="+g.Identity.Name, "--certificate-oidc-issuer="+g.Identity.Issuer)
	}
	if g.Log == NoLog {
		flags = append(flags, "--insecure-ignore-tlog")
	}
	if g.Timestamp || g.Log == RekorV2 {
		flags = append(flags, "--use-signed-timestamps")
	}
	if g.Form == Referrer {
		flags = append(flags, "--experimental-oci11")
	}
	return flags
}

// run runs a client that finds nothing of its user's and reaches nothing but
// this machine.
func run(tb testing.TB, client Client, env []string, args ...string) ([]byte, error) {
	tb.Helper()
	home := tb.TempDir()
	cmd := exec.CommandContext(tb.Context(), harness.Tool(tb, string(client)), args...)
	cmd.Dir = home
	cmd.Env = append([]string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=",
		// Nobody listens there. Go asks no proxy for 127.0.0.1.
		"HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1",
	}, env...)
	return cmd.CombinedOutput()
}
