package confined_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// one is a registry with one signature of a subject, whose payload makes the
// worker misbehave.
type one struct{ payload string }

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (o one) Manifest(context.Context, registry.Repository, string) (registry.Content, error) {
	return registry.Content{}, fmt.Errorf("fake: %w", gatekeeper.ErrNotFound)
}

func (o one) ManifestByTag(_ context.Context, _ registry.Repository, tag string) (registry.Content, error) {
	if !strings.HasSuffix(tag, ".sig") {
		return registry.Content{}, fmt.Errorf("fake: %w", gatekeeper.ErrNotFound)
	}
	body := fmt.Appendf(nil, `{"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`, verify.TypeSimpleSigning, digestOf(o.payload), len(o.payload))
	return registry.Content{Descriptor: gatekeeper.Descriptor{Digest: digestOf(string(body)), Size: int64(len(body))}, Body: body}, nil
}

func (o one) Blob(context.Context, registry.Repository, gatekeeper.Descriptor, int64) ([]byte, error) {
	return []byte(o.payload), nil
}

func (o one) Referrers(context.Context, registry.Repository, string) ([]registry.Referrer, error) {
	return nil, nil
}

func (o one) TrustRoot(_ context.Context, name string) (verify.TrustRoot, error) {
	return verify.TrustRoot{}, fmt.Errorf("no trust root %s", name)
}

// The verifier crashes, or ends with status 0 and without a word, and its
// silence passes for a yes.
func TestAttack_CVE_2026_44310(t *testing.T) {
	t.Parallel()
	parsed, err := policyfile.Parse("test.yaml", []byte(`apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: test}
spec:
  from: staging
  match: {repositories: ["**"]}
  signatures: [{name: ci, anyOf: [{keyless: {issuer: "https://token.example", identity: "https://ci.example/acme/*"}}]}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	subject := policy.Subject{Registry: "staging", Repository: "a", Digest: digestOf("subject")}
	for _, trouble := range []string{"panic", "exit", "hang", "allocate"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			p := newPool(t, 3*time.Second)
			source := one{trouble}
			c := signature.New(signature.Deps{Source: source, Verifier: p, TrustRoots: source, Now: time.Now})
			got, err := c.CollectSigned(t.Context(), subject, nil)
			if err == nil {
				t.Fatalf("no error: %+v", got)
			}
			if slices.ContainsFunc(got.Signatures, func(s policy.Signature) bool { return s.Result == policy.Verified }) {
				t.Errorf("%+v", got)
			}
			r := policy.Evaluate(parsed[0].Compiled, &policy.Evidence{
				Subject: subject, Push: policy.Push{Tag: "v1", ReceivedAt: time.Now().Add(-240 * time.Hour)},
				Image:      policy.Image{Platforms: []policy.Platform{{Name: "linux/amd64", OS: "linux", Architecture: "amd64"}}},
				Signatures: got.Signatures, Attestations: got.Attestations,
				Problems: []policy.Problem{{Part: policy.PartSignatures, Reason: err.Error()}},
			}, time.Now())
			if r.Verdict != policy.VerdictError {
				t.Errorf("%s: %+v", r.Verdict, r.Findings)
			}
		})
	}
}
