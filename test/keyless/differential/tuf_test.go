package differential_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	sigstoresignature "github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// A trust root is followed in a TUF repository. What was fetched goes on to
// count when the repository does not answer.
func TestATrustRootComesFromATUFRepository(t *testing.T) {
	t.Parallel()
	stack := sigstore.Start(t)
	identity := stack.Workflow(t, workflow)
	repository := t.TempDir()
	if err := publish(repository, stack.TrustedRoot); err != nil {
		t.Fatalf("make a TUF repository: %v", err)
	}
	mirror := httptest.NewServer(http.FileServer(http.Dir(repository)))
	t.Cleanup(mirror.Close)
	host := sigstore.NewRegistry(t)
	g := startGate(t, settings{
		registries: map[string]string{"staging": host},
		trustRoots: []string{fmt.Sprintf("{name: acme, tuf: {url: %q, rootFile: %q}}", mirror.URL, filepath.Join(repository, "1.root.json"))},
		policies: []string{
			signaturePolicy("right", "staging", keyless("acme", identity.Issuer, workflow)),
			signaturePolicy("other", "staging", keyless("acme", identity.Issuer, otherWorkflow)),
		},
	})
	verifies := func(repository string) {
		t.Helper()
		image := sigstore.PushImage(t, host, repository)
		stack.Sign(t, sigstore.Signing{Client: sigstore.Cosign3, Form: sigstore.Bundle, Log: sigstore.RekorV2, Identity: identity}, image)
		if j := g.check(t, image); !j.accepts(t, "right") || j.accepts(t, "other") {
			t.Error(j.text)
		}
	}
	verifies("while-it-answers")
	mirror.Close()
	verifies("when-it-is-gone")
}

// publish makes a TUF repository with one target, trusted_root.json, in a
// folder (TUF specification 1.0, with consistent snapshots).
func publish(folder, trustedRoot string) error {
	expires := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	target, err := metadata.TargetFile().FromFile(trustedRoot, "sha256")
	if err != nil {
		return fmt.Errorf("describe the target: %w", err)
	}
	root, targets := metadata.Root(expires), metadata.Targets(expires)
	targets.Signed.Targets["trusted_root.json"] = target
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("generate a key: %w", err)
	}
	public, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		if err := root.Signed.AddKey(public, role); err != nil {
			return fmt.Errorf("give the key the role %s: %w", role, err)
		}
	}
	signer, err := sigstoresignature.LoadSigner(key, crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("load the key: %w", err)
	}
	return errors.Join(
		write(folder, "1.root.json", root, signer), write(folder, "1.targets.json", targets, signer),
		write(folder, "1.snapshot.json", metadata.Snapshot(expires), signer), write(folder, "timestamp.json", metadata.Timestamp(expires), signer),
		copyTarget(folder, trustedRoot, target.Hashes["sha256"].String()),
	)
}

// role is the metadata of one role.
type role interface {
	Sign(signer sigstoresignature.Signer) (*metadata.Signature, error)
	json.Marshaler
}

func write(folder, name string, r role, by sigstoresignature.Signer) error {
	if _, err := r.Sign(by); err != nil {
		return fmt.Errorf("sign %s: %w", name, err)
	}
	text, err := r.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}

func copyTarget(folder, from, hash string) error {
	content, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(folder, "targets"), 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "targets", hash+".trusted_root.json"), content, 0o600)
}
