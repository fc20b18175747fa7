package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// signedStack is a stack whose gatekeeper signs what it promotes.
func signedStack(t *testing.T) (*harness.Stack, harness.KeyPair) {
	t.Helper()
	s := harness.NewStack(t, signedPolicy)
	s.Process.Stop(t)
	own := harness.GenerateKeys(t, s.Dir, "gatekeeper")
	text, err := os.ReadFile(s.Path("gatekeeper.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "gatekeeper.yaml", string(text)+"signing: {key: \""+own.Private+"\"}\n")
	s.Serve(t)
	return s, own
}

// promoted pushes and signs an image and waits until it is golden.
func promoted(t *testing.T, s *harness.Stack, repository string) string {
	t.Helper()
	digest := harness.Push(t, s.Staging+"/"+repository+":v1")
	harness.Sign(t, "bundle", s.Keys.Private, s.Staging+"/"+repository+"@"+digest.String())
	s.Await(t, repository, digest, harness.Promoted)
	return digest.String()
}

// summaryFlags ask cosign for the gatekeeper's summary without a transparency
// log; cosign 3 needs no more, cosign 2 has to be told about the format, and
// asks for a trusted root even where a key needs none.
func summaryFlags(t *testing.T, module, key string) []string {
	t.Helper()
	flags := []string{"verify-attestation", "--key", key, "--type", "https://slsa.dev/verification_summary/v1", "--insecure-ignore-tlog", "--allow-http-registry"}
	if module == harness.CosignModule {
		root := filepath.Join(t.TempDir(), "trusted_root.json")
		if err := os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--new-bundle-format", "--trusted-root", root)
	}
	return flags
}

func TestCosignAcceptsTheSummary(t *testing.T) {
	t.Parallel()
	s, own := signedStack(t)
	digest := promoted(t, s, "team-a/app")
	for name, module := range map[string]string{"cosign 2": harness.CosignModule, "cosign 3": harness.Cosign3Module} {
		t.Run(name, func(t *testing.T) {
			for key, want := range map[string]bool{own.Public: true, s.Keys.Public: false} {
				for _, reference := range []string{":v1", "@" + digest} {
					c := exec.CommandContext(t.Context(), harness.Tool(t, module), append(summaryFlags(t, module, key), s.Golden+"/team-a/app"+reference)...)
					c.Env = append(os.Environ(), "SIGSTORE_NO_CACHE=true")
					out, err := c.CombinedOutput()
					if (err == nil) != want {
						t.Errorf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
					}
				}
			}
		})
	}
}
