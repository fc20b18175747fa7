package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
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

// The two forms in which cosign leaves a signature in a registry.
var forms = map[string][]string{ //nolint:gochecknoglobals // a table
	"tag":    nil,
	"bundle": {"--new-bundle-format"},
}

func sign(t *testing.T, form, key, reference string) {
	t.Helper()
	args := append([]string{"sign", "--key", key, "--tlog-upload=false", "--yes", "--allow-http-registry"}, forms[form]...)
	cosign(t, append(args, reference)...)
}

func verify(t *testing.T, form, key, reference string) {
	t.Helper()
	args := append([]string{"verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry"}, forms[form]...)
	if form == "bundle" {
		// cosign asks for a trusted root even where a key needs none.
		root := filepath.Join(t.TempDir(), "trusted_root.json")
		if err := os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--trusted-root", root)
	}
	cosign(t, append(args, reference)...)
}

// A signature by the key that the policy names makes the push golden, with the
// same digest, and cosign verifies it there.
func TestSignedImagesBecomeGolden(t *testing.T) {
	t.Parallel()
	s := newStack(t, signedPolicy)
	for form := range forms {
		for _, when := range []string{"after", "before"} {
			t.Run("signed "+when+" the push in the "+form+" form", func(t *testing.T) {
				t.Parallel()
				repository := "team-a/" + form + "-" + when
				reference := s.staging + "/" + repository + ":v1"
				img, err := random.Image(2048, 2)
				if err != nil {
					t.Fatal(err)
				}
				digest, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				byDigest := s.staging + "/" + repository + "@" + digest.String()
				if when == "before" {
					ref, err := name.NewDigest(byDigest, name.Insecure)
					if err != nil {
						t.Fatal(err)
					}
					if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
						t.Fatal(err)
					}
					sign(t, form, s.keys.private, byDigest)
					pushImage(t, reference, img)
				} else {
					pushImage(t, reference, img)
					s.await(t, repository, digest, verdict("pending"))
					sign(t, form, s.keys.private, byDigest)
				}
				s.await(t, repository, digest, promoted)
				golden := s.golden + "/" + repository
				if got := digestOf(t, golden+":v1"); got != digest.String() {
					t.Errorf("golden tag points to %q, want %s", got, digest)
				}
				verify(t, form, s.keys.public, golden+"@"+digest.String())
			})
		}
	}
}

// Without a signature by the right key nothing reaches golden: no tag, no
// manifest.
func TestNothingElseBecomesGolden(t *testing.T) {
	t.Parallel()
	s := newStack(t, strings.Replace(signedPolicy, "wait: 30m", "wait: 2s", 1))
	stranger := generateKeys(t, t.TempDir(), "stranger")

	t.Run("unsigned", func(t *testing.T) {
		digest := push(t, s.staging+"/team-a/unsigned:v1")
		d := s.await(t, "team-a/unsigned", digest, verdict("rejected"))
		wantReason(t, d, "absent")
	})
	for form := range forms {
		t.Run("signed by a stranger in the "+form+" form", func(t *testing.T) {
			repository := "team-a/stranger-" + form
			digest := push(t, s.staging+"/"+repository+":v1")
			sign(t, form, stranger.private, s.staging+"/"+repository+"@"+digest.String())
			d := s.await(t, repository, digest, func(d decision) bool {
				return d.Verdict == "rejected" && slices.Contains(d.reasons(), "wrong_signer")
			})
			wantReason(t, d, "wrong_signer")
		})
	}
	t.Run("another image's signature", func(t *testing.T) {
		const repository = "team-a/borrowed"
		signed := push(t, s.staging+"/elsewhere/other:v1")
		sign(t, "tag", s.keys.private, s.staging+"/elsewhere/other@"+signed.String())
		digest := push(t, s.staging+"/"+repository+":v1")
		copyTag(t, s.staging+"/elsewhere/other:"+signatureTag(signed.String()), s.staging+"/"+repository+":"+signatureTag(digest.String()))
		d := s.await(t, repository, digest, func(d decision) bool {
			return d.Verdict == "rejected" && slices.Contains(d.reasons(), "invalid")
		})
		wantReason(t, d, "invalid")
	})
	if repositories := catalog(t, s.golden); len(repositories) > 0 {
		t.Errorf("golden has the repositories %v, want none", repositories)
	}
}

func wantReason(t *testing.T, d decision, reason string) {
	t.Helper()
	if !slices.Contains(d.reasons(), reason) {
		t.Errorf("decision %d has the reasons %v, want %s among them", d.ID, d.reasons(), reason)
	}
}

func signatureTag(digest string) string {
	return strings.Replace(digest, ":", "-", 1) + ".sig"
}

// copyTag copies one manifest with its blobs under another name.
func copyTag(t *testing.T, from, to string) {
	t.Helper()
	source, err := name.ParseReference(from, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(source, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	pushImage(t, to, img)
}
