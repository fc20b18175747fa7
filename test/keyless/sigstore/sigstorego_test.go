package sigstore_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// verifyEvidence asks sigstore-go, which decides in the product, too: one SCT
// in a certificate, one entry in a log, one trusted time.
func verifyEvidence(t *testing.T, stack *sigstore.Stack, g sigstore.Signing, e evidence, image string) error {
	t.Helper()
	if e.err != nil {
		return e.err
	}
	trusted := root.TrustedMaterialCollection{trustedRoot(t, stack)}
	var options []verify.VerifierOption
	if g.Log != sigstore.NoLog {
		options = append(options, verify.WithTransparencyLog(1))
	}
	if g.Log == sigstore.NoLog && !g.Timestamp {
		options = append(options, verify.WithNoObserverTimestamps())
	} else {
		options = append(options, verify.WithObserverTimestamps(1))
	}
	var who verify.PolicyOption
	if g.Key != nil {
		trusted = append(trusted, publicKey(t, g.Key))
		who = verify.WithKey()
	} else {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
		identity, err := verify.NewShortCertificateIdentity(g.Identity.Issuer, "", g.Identity.Name, "")
		if err != nil {
			t.Fatal(err)
		}
		who = verify.WithCertificateIdentity(identity)
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Verify(e.bundle, verify.NewPolicy(artifact(t, e, image), who))
	return err
}

// artifact is the payload of simple signing or else the image.
func artifact(t *testing.T, e evidence, image string) verify.ArtifactPolicyOption {
	t.Helper()
	_, text, _ := strings.Cut(image, "@sha256:")
	if e.payload != nil {
		if !bytes.Contains(e.payload, []byte(text)) {
			t.Errorf("the signed payload does not name %s: %s", image, e.payload)
		}
		return verify.WithArtifact(bytes.NewReader(e.payload))
	}
	digest, err := hex.DecodeString(text)
	if err != nil {
		t.Fatalf("digest of %s: %v", image, err)
	}
	return verify.WithArtifactDigest("sha256", digest)
}

func trustedRoot(t *testing.T, stack *sigstore.Stack) *root.TrustedRoot {
	t.Helper()
	trusted, err := root.NewTrustedRootFromPath(stack.TrustedRoot)
	if err != nil {
		t.Fatalf("read the trusted root: %v", err)
	}
	return trusted
}

func publicKey(t *testing.T, pair *sigstore.KeyPair) root.TrustedMaterial {
	t.Helper()
	text, err := os.ReadFile(pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	})
}
