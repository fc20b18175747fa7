package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// signedPolicy asks for one signature and waits long enough that no test sees
// its deadline.
const signedPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: signed}
spec:
  from: staging
  match: {repositories: ["team-*/**"], tags: ["*"]}
  wait: 30m
  signatures:
    - name: ci
      anyOf: [{keyFile: "{{KEY}}"}]
  promote:
    to: golden
    repository: "{{ .Repository }}"
    tags: ["{{ .Tag }}"]
    immutable: true
`

func verify(t *testing.T, form, key, reference string) {
	t.Helper()
	args := append([]string{"verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry"}, harness.Forms()[form]...)
	if form == "bundle" {
		// cosign asks for a trusted root even where a key needs none.
		root := filepath.Join(t.TempDir(), "trusted_root.json")
		if err := os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--trusted-root", root)
	}
	harness.Cosign(t, append(args, reference)...)
}

// A signature by the key that the policy names makes the push golden, with the
// same digest, and cosign verifies it there.
func TestSignedImagesBecomeGolden(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	for form := range harness.Forms() {
		for _, when := range []string{"after", "before"} {
			t.Run("signed "+when+" the push in the "+form+" form", func(t *testing.T) {
				t.Parallel()
				repository := "team-a/" + form + "-" + when
				reference := s.Staging + "/" + repository + ":v1"
				img, err := random.Image(2048, 2)
				if err != nil {
					t.Fatal(err)
				}
				digest, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				byDigest := s.Staging + "/" + repository + "@" + digest.String()
				if when == "before" {
					ref, err := name.NewDigest(byDigest, name.Insecure)
					if err != nil {
						t.Fatal(err)
					}
					if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
						t.Fatal(err)
					}
					harness.Sign(t, form, s.Keys.Private, byDigest)
					harness.PushImage(t, reference, img)
				} else {
					harness.PushImage(t, reference, img)
					s.Await(t, repository, digest, harness.Verdict("pending"))
					harness.Sign(t, form, s.Keys.Private, byDigest)
				}
				s.Await(t, repository, digest, harness.Promoted)
				golden := s.Golden + "/" + repository
				if got := harness.DigestOf(t, golden+":v1"); got != digest.String() {
					t.Errorf("golden tag points to %q, want %s", got, digest)
				}
				verify(t, form, s.Keys.Public, golden+"@"+digest.String())
			})
		}
	}
}

// Without a signature by the right key nothing reaches golden: no tag, no
// manifest.
func TestNothingElseBecomesGolden(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, strings.Replace(signedPolicy, "wait: 30m", "wait: 2s", 1))
	stranger := harness.GenerateKeys(t, t.TempDir(), "stranger")

	t.Run("unsigned", func(t *testing.T) {
		digest := harness.Push(t, s.Staging+"/team-a/unsigned:v1")
		d := s.Await(t, "team-a/unsigned", digest, harness.Verdict("rejected"))
		wantReason(t, d, "absent")
	})
	for form := range harness.Forms() {
		t.Run("signed by a stranger in the "+form+" form", func(t *testing.T) {
			repository := "team-a/stranger-" + form
			digest := harness.Push(t, s.Staging+"/"+repository+":v1")
			harness.Sign(t, form, stranger.Private, s.Staging+"/"+repository+"@"+digest.String())
			d := s.Await(t, repository, digest, func(d harness.Decision) bool {
				return d.Verdict == "rejected" && slices.Contains(d.Reasons(), "wrong_signer")
			})
			wantReason(t, d, "wrong_signer")
		})
	}
	t.Run("another image's signature", func(t *testing.T) {
		const repository = "team-a/borrowed"
		signed := harness.Push(t, s.Staging+"/elsewhere/other:v1")
		harness.Sign(t, "tag", s.Keys.Private, s.Staging+"/elsewhere/other@"+signed.String())
		digest := harness.Push(t, s.Staging+"/"+repository+":v1")
		copyTag(t, s.Staging+"/elsewhere/other:"+signatureTag(signed.String()), s.Staging+"/"+repository+":"+signatureTag(digest.String()))
		d := s.Await(t, repository, digest, func(d harness.Decision) bool {
			return d.Verdict == "rejected" && slices.Contains(d.Reasons(), "invalid")
		})
		wantReason(t, d, "invalid")
	})
	if repositories := harness.Catalog(t, s.Golden); len(repositories) > 0 {
		t.Errorf("golden has the repositories %v, want none", repositories)
	}
}

func wantReason(t *testing.T, d harness.Decision, reason string) {
	t.Helper()
	if !slices.Contains(d.Reasons(), reason) {
		t.Errorf("decision %d has the reasons %v, want %s among them", d.ID, d.Reasons(), reason)
	}
}

func signatureTag(digest string) string {
	return strings.Replace(digest, ":", "-", 1) + ".sig"
}

// copyTag copies a manifest, or an index with its manifests, with all blobs
// under another name.
func copyTag(t *testing.T, from, to string) {
	t.Helper()
	source, err := name.ParseReference(from, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	target, err := name.ParseReference(to, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Get(source, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if found.MediaType.IsIndex() {
		var index v1.ImageIndex
		if index, err = found.ImageIndex(); err == nil {
			err = remote.WriteIndex(target, index, remote.WithContext(t.Context()))
		}
	} else {
		var img v1.Image
		if img, err = found.Image(); err == nil {
			err = remote.Write(target, img, remote.WithContext(t.Context()))
		}
	}
	if err != nil {
		t.Fatalf("copy %s to %s: %v", from, to, err)
	}
}
