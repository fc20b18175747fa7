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
func promoted(t *testing.T, s *harness.Stack, form, repository string) string {
	t.Helper()
	digest := harness.Push(t, s.Staging+"/"+repository+":v1")
	harness.Sign(t, form, s.Keys.Private, s.Staging+"/"+repository+"@"+digest.String())
	s.Await(t, repository, digest, harness.Promoted)
	return digest.String()
}

// summaryFlags ask cosign for the gatekeeper's summary without a transparency
// log.
func summaryFlags(t *testing.T, key string) []string {
	t.Helper()
	return append(keyFlags(t, key), "--type", "https://slsa.dev/verification_summary/v1")
}

// keyFlags have cosign verify with a key alone. Where it finds a bundle cosign 2
// asks for a trusted root even then.
func keyFlags(t *testing.T, key string) []string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--key", key, "--trusted-root", root, "--insecure-ignore-tlog", "--allow-http-registry"}
}

// cosign runs a real client of that version and fails the test when it fails.
func cosign(t *testing.T, module string, args ...string) {
	t.Helper()
	if out, err := tryCosign(t, module, args...); err != nil {
		t.Errorf("%s %s: %v\n%s", module, strings.Join(args, " "), err, out)
	}
}

func tryCosign(t *testing.T, module string, args ...string) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), harness.Tool(t, module), args...)
	c.Env = append(os.Environ(), "SIGSTORE_NO_CACHE=true")
	return c.CombinedOutput()
}

// In whatever form the developer's signature is, cosign of either version
// verifies both it and the summary in golden.
func TestCosignAcceptsTheSummary(t *testing.T) {
	t.Parallel()
	s, own := signedStack(t)
	for form := range harness.Forms() {
		repository := "team-a/" + form
		digest := promoted(t, s, form, repository)
		run(t, "audit", "--config", s.Path("gatekeeper.yaml"), s.Golden+"/"+repository).want(t, 0, "1 ok")
		for name, module := range map[string]string{"cosign 2": harness.CosignModule, "cosign 3": harness.Cosign3Module} {
			t.Run(form+", "+name, func(t *testing.T) {
				attestation := append([]string{"verify-attestation"}, summaryFlags(t, own.Public)...)
				for _, reference := range []string{":v1", "@" + digest} {
					golden := s.Golden + "/" + repository + reference
					cosign(t, module, append(attestation, golden)...)
					cosign(t, module, append(append([]string{"verify"}, keyFlags(t, s.Keys.Public)...), golden)...)
				}
				other := append([]string{"verify-attestation"}, summaryFlags(t, s.Keys.Public)...)
				if out, err := tryCosign(t, module, append(other, s.Golden+"/"+repository+":v1")...); err == nil {
					t.Errorf("another key verifies it: %s", out)
				}
			})
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s, own := signedStack(t)
	config, golden := s.Path("gatekeeper.yaml"), s.Golden+"/team-a/app"
	digest := promoted(t, s, "bundle", "team-a/app")
	run(t, "audit", "--config", config, golden).want(t, 0, "v1", "ok", "1 ok, 0 bypassed the gate")
	run(t, "audit", "--config", config, "-o", "json", golden).want(t, 0, `"status": "ok"`, digest)

	// An auditor needs the public key alone.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "auditor.yaml", strings.Replace(string(text), "key: \""+own.Private+"\"", "publicKeys: [\""+own.Public+"\"]", 1))
	run(t, "audit", "--config", s.Path("auditor.yaml"), golden).want(t, 0, "1 ok")
	run(t, "config", "lint", s.Path("auditor.yaml")).want(t, 0, "warning", "signing.key")
	s.Write(t, "stranger.yaml", strings.Replace(string(text), own.Private, s.Keys.Private, 1))
	run(t, "audit", "--config", s.Path("stranger.yaml"), golden).want(t, 1, "not signed by a key of the configuration")

	harness.Push(t, golden+":by-hand")
	run(t, "audit", "--config", config, golden).want(t, 1, "by-hand", "bypassed", "1 ok, 1 bypassed the gate")

	run(t, "audit", "--config", config, golden+":v1").want(t, 2, "HOST/REPOSITORY")
	run(t, "audit", "--config", config, "elsewhere.example.com/app").want(t, 2, s.Golden)
	run(t, "audit", "--config", config, s.Golden+"/absent").want(t, 3, "not found")
	run(t, "audit", "--config", config).want(t, 2)
	s.Write(t, "unsigned.yaml", string(text[:strings.Index(string(text), "signing:")]))
	run(t, "audit", "--config", s.Path("unsigned.yaml"), golden).want(t, 2, "signing.publicKeys")
}
