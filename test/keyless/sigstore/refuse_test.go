package sigstore_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// TestRefuse makes sure that the answers of TestCosign could have been others.
func TestRefuse(t *testing.T) {
	t.Parallel()
	stack, foreign := sigstore.Start(t), sigstore.Start(t)
	key := sigstore.NewKeyPair(t)
	host := sigstore.NewRegistry(t)

	by := func(form sigstore.Form, log sigstore.Log) sigstore.Signing {
		return sigstore.Signing{Client: sigstore.Cosign3, Form: form, Log: log, Identity: stack.Email(t, "alice@example.com")}
	}
	signed := map[string]sigstore.Signing{
		"tag": by(sigstore.Tag, sigstore.RekorV1), "bundle": by(sigstore.Bundle, sigstore.RekorV1), "bundle-rekor2": by(sigstore.Bundle, sigstore.RekorV2),
	}
	asked := []struct {
		name string
		// change turns what was done into what is asked.
		change func(*testing.T, sigstore.Signing) sigstore.Signing
		of     *sigstore.Stack
		accept bool
	}{
		{name: "as signed", of: stack, accept: true},
		{name: "another address", of: stack, change: func(t *testing.T, g sigstore.Signing) sigstore.Signing {
			t.Helper()
			g.Identity = stack.Email(t, "mallory@example.com")
			return g
		}},
		{name: "another issuer", of: stack, change: func(t *testing.T, g sigstore.Signing) sigstore.Signing {
			t.Helper()
			g.Identity.Issuer = stack.Workflow(t, workflow).Issuer
			return g
		}},
		{name: "a key", of: stack, change: func(t *testing.T, g sigstore.Signing) sigstore.Signing {
			t.Helper()
			g.Key = key
			return g
		}},
		{name: "another Sigstore", of: foreign},
	}
	for kind, g := range signed {
		image := sigstore.PushImage(t, host, kind)
		stack.Sign(t, g, image)
		attested := sigstore.PushImage(t, host, kind)
		stack.Attest(t, g, predicateType, []byte(`{}`), attested)
		for _, test := range asked {
			t.Run(kind+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				want := g
				if test.change != nil {
					want = test.change(t, g)
				}
				for _, reader := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
					decided(t, test.accept, test.of.Verify(t, reader, want, image))
					decided(t, test.accept, test.of.VerifyAttestation(t, reader, want, predicateType, attested))
				}
				decided(t, test.accept, verifyEvidence(t, test.of, want, read(t, g.Form, signSuffix, image), image))
				decided(t, test.accept, verifyEvidence(t, test.of, want, read(t, g.Form, attestSuffix, attested), attested))
			})
		}
		t.Run(kind+"/another predicate", func(t *testing.T) {
			t.Parallel()
			for _, reader := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
				decided(t, false, stack.VerifyAttestation(t, reader, g, "https://example.com/other/v1", attested))
			}
		})
		t.Run(kind+"/evidence of another image", func(t *testing.T) {
			t.Parallel()
			other := sigstore.PushImage(t, host, kind)
			transplant(t, g.Form, signSuffix, image, other)
			transplant(t, g.Form, attestSuffix, attested, other)
			for _, reader := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
				decided(t, false, stack.Verify(t, reader, g, other))
				decided(t, false, stack.VerifyAttestation(t, reader, g, predicateType, other))
			}
			decided(t, false, verifyEvidence(t, stack, g, read(t, g.Form, attestSuffix, attested), other))
		})
	}
}

// transplant attaches the evidence of one image to another.
func transplant(t *testing.T, form sigstore.Form, suffix, from, to string) {
	t.Helper()
	digest, err := name.NewDigest(to)
	if err != nil {
		t.Fatal(err)
	}
	all := manifests(t, form, suffix, from)
	if len(all) == 0 {
		t.Fatalf("nothing to transplant from %s", from)
	}
	for _, found := range all {
		var ref name.Reference = place(digest, suffix)
		if form != sigstore.Tag {
			found, ref = withSubject(t, found, digest)
		}
		if err := remote.Write(ref, found, remote.WithContext(t.Context())); err != nil {
			t.Fatalf("push %s: %v", ref, err)
		}
	}
}

// withSubject makes a referrer of one image refer to another.
func withSubject(t *testing.T, referrer v1.Image, digest name.Digest) (v1.Image, name.Reference) {
	t.Helper()
	subject, err := remote.Head(digest, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("look for %s: %v", digest, err)
	}
	changed, ok := mutate.Subject(referrer, *subject).(v1.Image)
	if !ok {
		t.Fatal("an image with a subject is no image")
	}
	hash, err := changed.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return changed, digest.Context().Digest(hash.String())
}

func decided(t *testing.T, accept bool, err error) {
	t.Helper()
	switch {
	case accept && err != nil:
		t.Error(err)
	case !accept && err == nil:
		t.Error("accepted")
	}
}
