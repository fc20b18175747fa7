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
	args := append([]string{"sign"}, s.signingFlags(tb, g)...)
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
	file := writeFile(tb, "predicate.json", predicate)
	args := append([]string{"attest", "--type=" + predicateType, "--predicate=" + file}, s.signingFlags(tb, g)...)
	if g.InToto {
		args = append(args, "--rekor-entry-type=intoto")
	}
	if out, err := run(tb, g.Client, nil, append(args, image)...); err != nil {
		tb.Fatalf("attest as %s: %v\n%s", g, err, out)
	}
}

// signingFlags are the flags that cosign sign and cosign attest share.
func (s *Stack) signingFlags(tb testing.TB, g Signing) []string {
	tb.Helper()
	flags := []string{"--yes", fmt.Sprintf("--new-bundle-format=%t", g.Form == Bundle)}
	if g.Key != nil {
		flags = append(flags, "--key="+g.Key.Private)
	} else {
		flags = append(flags, "--identity-token="+writeFile(tb, "token", []byte(g.Identity.Token)))
	}
	if g.Key == nil || g.Log == RekorV2 {
		flags = append(flags, "--trusted-root="+s.TrustedRoot)
	}
	if g.Log == RekorV2 {
		return append(flags, "--signing-config="+s.SigningConfig)
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
