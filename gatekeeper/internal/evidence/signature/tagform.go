package signature

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The older form of cosign: a tag derived from the subject's digest, with one
// layer for each signature or attestation (cosign, specs/SIGNATURE_SPEC.md and
// specs/ATTESTATION_SPEC.md).
const (
	formTag             = "tag"
	typeSimpleSigning   = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeDSSE            = "application/vnd.dsse.envelope.v1+json"
	annotationSignature = "dev.cosignproject.cosign/signature"
	cosignPayloadType   = "cosign container image signature"
)

// layers reads the manifest under a tag; none when there is no such tag.
func (j *job) layers(ctx context.Context, suffix string) (registry.Content, []ocispec.Descriptor, error) {
	content, err := j.source.ManifestByTag(ctx, j.repo, registry.FallbackTag(j.digest, suffix))
	if absent(err) {
		return content, nil, nil
	}
	if err != nil {
		return content, nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return content, nil, fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, content.Digest, err)
	}
	if len(m.Layers) > j.limits.Entries {
		return content, nil, &limitError{"entries under the tag " + registry.FallbackTag(j.digest, suffix), len(m.Layers), j.limits.Entries}
	}
	return content, m.Layers, nil
}

// blob reads a layer; a wrong or missing one is a judgement about it.
func (j *job) blob(ctx context.Context, d ocispec.Descriptor, limit int64) ([]byte, *judgement, error) {
	data, err := j.source.Blob(ctx, j.repo, gatekeeper.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}, limit)
	switch {
	case err == nil:
		return data, nil, nil
	case d.Size > limit: // which one it would be is not known, so nothing is
		return nil, nil, err
	case absent(err), errors.Is(err, gatekeeper.ErrInvalidContent):
		m := malformed("its content cannot be read: %v", err)
		return nil, &m, nil
	}
	return nil, nil, err
}

func (j *job) signatureTag(ctx context.Context) error {
	content, layers, err := j.layers(ctx, ".sig")
	if unreadable(err) {
		j.addSignature(policy.Signature{Form: formTag, Result: policy.Malformed, Reason: clean(err.Error())})
		return nil
	}
	if err != nil {
		return err
	}
	for _, layer := range layers {
		payload, bad, err := j.blob(ctx, layer, j.limits.Payload)
		if err != nil {
			return err
		}
		if bad == nil {
			judged, err := contained(func() judgement {
				return j.judgeSimpleSigning(layer.MediaType, payload, layer.Annotations[annotationSignature])
			})
			if err != nil {
				return err
			}
			bad = &judged
		}
		j.addSignature(policy.Signature{
			Form: formTag, Manifest: content.Digest, Result: bad.result, VerifiedBy: bad.by, Reason: bad.reason,
		})
	}
	return nil
}

// simpleSigning is the payload of a container signature
// (containers/image, docs/containers-signature.5.md).
type simpleSigning struct {
	Critical struct {
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
}

func (j *job) judgeSimpleSigning(mediaType string, payload []byte, signature string) judgement {
	if mediaType != typeSimpleSigning {
		return malformed("a layer of type %q among the signatures", mediaType)
	}
	sig, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(sig) == 0 {
		return malformed("the annotation with the signature is no base64")
	}
	var claim simpleSigning
	if err := strictjson.Unmarshal(payload, &claim); err != nil {
		return malformed("the payload: %v", err)
	}
	if claim.Critical.Type != cosignPayloadType {
		return malformed("the payload is of type %q", claim.Critical.Type)
	}
	if claim.Critical.Image.Digest != j.digest {
		return invalid("it is the signature of another image, %s", claim.Critical.Image.Digest)
	}
	return signedBy(j.whoSigned(sig, payload))
}

func (j *job) attestationTag(ctx context.Context) error {
	content, layers, err := j.layers(ctx, ".att")
	if unreadable(err) {
		j.addAttestation(policy.Attestation{Form: formTag, Result: policy.Malformed, Reason: clean(err.Error())})
		return nil
	}
	if err != nil {
		return err
	}
	for _, layer := range layers {
		data, bad, err := j.blob(ctx, layer, j.limits.Attestation)
		if err != nil {
			return err
		}
		var st statement
		if bad == nil {
			judged, err := contained(func() judgement { return j.judgeEnvelope(layer.MediaType, data, &st) })
			if err != nil {
				return err
			}
			bad = &judged
		}
		j.addAttestation(newAttestation(formTag, content.Digest, *bad, st))
	}
	return nil
}
