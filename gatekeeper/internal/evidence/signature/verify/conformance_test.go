package verify_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The identity that signed most bundles of the Sigstore project's client
// conformance suite.
const (
	suiteIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	suiteIssuer   = "https://token.actions.githubusercontent.com"
)

// suite is where the conformance suite's data is, beside the project. It may
// be missing, but not in CI.
func suite(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../../../../shared/sigstore-conformance")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") != "" {
			t.Fatalf("the conformance suite is not in %s", dir)
		}
		t.Skip("the conformance suite is not beside the project")
	}
	return dir
}

// TestSigstoreConformance runs every case of the suite twice: with the
// artifact's bytes, and with its digest.
func TestSigstoreConformance(t *testing.T) {
	t.Parallel()
	dir := suite(t)
	cases, err := filepath.Glob(filepath.Join(dir, "bundle-verify", "*", "bundle.sigstore.json"))
	if err != nil || len(cases) != 70 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, bundle := range cases {
		folder := filepath.Dir(bundle)
		content := read(t, "", filepath.Join(folder, "artifact"), filepath.Join(dir, "bundle-verify", "a.txt"))
		sum := sha256.Sum256([]byte(content))
		for how, artifact := range map[string]verify.Artifact{"bytes": verify.Content([]byte(content)), "digest": verify.Digest(sum[:])} {
			t.Run(filepath.Base(folder)+"/"+how, func(t *testing.T) {
				t.Parallel()
				got := verifies(t, dir, folder, artifact)
				if want := !strings.HasSuffix(folder, "_fail"); (got == "") != want {
					t.Errorf("verified: %v, want %v (%s)", got == "", want, got)
				}
			})
		}
	}
}

// verifies says why a case's bundle does not verify; empty when it does.
func verifies(t *testing.T, dir, folder string, artifact verify.Artifact) string {
	t.Helper()
	trust := verify.Trust{TrustRoots: []verify.TrustRoot{{
		Name: "suite", Keyless: true, Require: verify.Require{CertificateTimestamps: 1, LogEntries: 1, Timestamps: 1},
		Content: []byte(read(t, "", filepath.Join(folder, "trusted_root.json"), filepath.Join(dir, "trusted-root-public-good.json"))),
	}}}
	key := read(t, "none", filepath.Join(folder, "key.pub"))
	if key != "none" {
		trust.Keys = []verify.Key{{ID: "key", PublicKey: []byte(key), TrustRoot: "suite"}}
		trust.TrustRoots[0].Keyless = false
	}
	trusted, err := verify.Prepare(trust)
	if err != nil {
		return err.Error()
	}
	got, err := trusted.Bundle([]byte(read(t, "", filepath.Join(folder, "bundle.sigstore.json"))), artifact)
	switch {
	case err != nil:
		return err.Error()
	case got.Result != policy.Verified:
		return string(got.Result) + ": " + got.Reason
	case key != "none":
		return ""
	}
	want := policy.Identity{
		Issuer:  strings.TrimSpace(read(t, suiteIssuer, filepath.Join(folder, "issuer"))),
		Subject: strings.TrimSpace(read(t, suiteIdentity, filepath.Join(folder, "identity"))),
	}
	if id := got.Identities[0]; id.Issuer != want.Issuer || id.Subject != want.Subject {
		return "signed by " + id.Subject
	}
	return ""
}

// read returns the first of the files that is there.
func read(t *testing.T, fallback string, files ...string) string {
	t.Helper()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			return string(data)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return fallback
}
