package signature

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The newer form: a manifest that refers to the subject, with one Sigstore
// bundle as its layer (sigstore/protobuf-specs, sigstore_bundle.proto).
const (
	formBundle = "bundle"
	typeBundle = "application/vnd.dev.sigstore.bundle"
	// predicateSignature marks a bundle as an image signature; every other
	// predicate makes it an attestation, which never counts as a signature.
	predicateSignature = "https://sigstore.dev/cosign/sign/v1"
)

// referrers looks at everything that refers to the subject. The list's
// artifact types are not trusted: the fallback index of cosign names another.
func (j *job) referrers(ctx context.Context) error {
	list, err := j.source.Referrers(ctx, j.repo, j.digest)
	if err != nil {
		return err
	}
	if len(list) > j.limits.Entries {
		return &limitError{"referrers", len(list), j.limits.Entries}
	}
	for _, r := range list {
		if err := j.referrer(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) referrer(ctx context.Context, r registry.Referrer) error {
	content, err := j.source.Manifest(ctx, j.repo, r.Digest)
	if absent(err) {
		return nil // the list names what was deleted since
	}
	if errors.Is(err, gatekeeper.ErrInvalidContent) {
		j.addSignature(policy.Signature{Form: formBundle, Manifest: r.Digest, Result: policy.Malformed, Reason: clean(err.Error())})
		return nil
	}
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		j.addSignature(policy.Signature{Form: formBundle, Manifest: r.Digest, Result: policy.Malformed, Reason: clean(err.Error())})
		return nil
	}
	layer, ok := bundleLayer(m)
	if !ok || m.Subject == nil || m.Subject.Digest.String() != j.digest {
		return nil // refers to something else, or is no signature
	}
	data, bad, err := j.blob(ctx, layer, j.limits.Attestation)
	if err != nil {
		return err
	}
	var st statement
	if bad == nil {
		judged, err := contained(func() judgement { return j.judgeBundle(data, &st) })
		if err != nil {
			return err
		}
		bad = &judged
	}
	j.addBundle(r.Digest, *bad, st)
	return nil
}

// bundleLayer returns the layer that is a Sigstore bundle, in version 0.1 to
// 0.3, under either way of writing the version.
func bundleLayer(m ocispec.Manifest) (ocispec.Descriptor, bool) {
	if len(m.Layers) != 1 || !strings.HasPrefix(m.Layers[0].MediaType, typeBundle) {
		return ocispec.Descriptor{}, false
	}
	return m.Layers[0], true
}

// addBundle files a bundle by what its signed statement says it is. What
// cannot be read could have been either; it is filed as a signature.
func (j *job) addBundle(manifest string, judged judgement, st statement) {
	if st.PredicateType != predicateSignature && st.PredicateType != "" {
		j.addAttestation(newAttestation(formBundle, manifest, judged, st))
		return
	}
	j.addSignature(policy.Signature{
		Form: formBundle, Manifest: manifest, Result: judged.result, VerifiedBy: judged.by, Reason: judged.reason,
	})
}

func (j *job) judgeBundle(data []byte, st *statement) judgement {
	if err := strictjson.Check(data); err != nil {
		return malformed("the bundle: %v", err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return malformed("the bundle: %v", err)
	}
	env := b.GetDsseEnvelope()
	if env == nil {
		return malformed("the bundle holds no DSSE envelope")
	}
	if env.GetPayloadType() != typeInToto {
		return malformed("an envelope with a payload of type %q", env.GetPayloadType())
	}
	if bad := j.parseStatement(env.GetPayload(), st); bad != nil {
		return *bad
	}
	var ids []string
	for _, k := range j.keys {
		if j.verifies(k, &b) == nil {
			ids = append(ids, k.id)
		}
	}
	return signedBy(ids)
}

// verifies has sigstore-go decide whether a key signed the bundle about the
// subject.
func (j *job) verifies(k key, b *bundle.Bundle) error {
	digest, err := hex.DecodeString(strings.TrimPrefix(j.digest, "sha256:"))
	if err != nil {
		return fmt.Errorf("digest %s: %w", j.digest, err)
	}
	verifier, err := verify.NewVerifier(k.material, verify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	_, err = verifier.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey()))
	return err
}
