package signature

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The forms in which evidence is found.
const (
	formTag      = "tag"      // a tag derived from the subject's digest (cosign, specs/SIGNATURE_SPEC.md)
	formReferrer = "referrer" // the same layers in a manifest that refers to the subject (OCI 1.1)
	formBundle   = "bundle"   // a Sigstore bundle in such a manifest
	formNotary   = "notary"   // a signature of the Notary Project in such a manifest
)

// typeDockerManifest is what some clients make of everything.
const typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// The tags of cosign's older form.
const (
	suffixSignature   = ".sig"
	suffixAttestation = ".att"
)

// tag looks at what is under a tag of cosign's older form: one layer for each
// signature or attestation.
func (j *job) tag(ctx context.Context, suffix string) error {
	tag := registry.FallbackTag(j.subject.Digest, suffix)
	content, err := j.Source.ManifestByTag(ctx, j.repo, tag)
	switch {
	case absent(err):
		return nil
	case unreadable(err):
		j.file(formTag, "", "", broken(suffix, err))
		return nil
	case err != nil:
		return err
	}
	layers, err := layersOf(content)
	if err != nil {
		j.file(formTag, content.Digest, "", broken(suffix, err))
		return nil
	}
	layers = j.first(layers, "entries under the tag "+tag)
	for _, layer := range layers {
		if want := map[string]string{suffixSignature: verify.TypeSimpleSigning, suffixAttestation: verify.TypeDSSE}[suffix]; layer.MediaType != want {
			j.file(formTag, content.Digest, layer.Digest.String(), broken(suffix, fmt.Errorf("a layer of type %q where %s belongs", layer.MediaType, want)))
			continue
		}
		if err := j.layer(ctx, formTag, content.Digest, layer); err != nil {
			return err
		}
	}
	return nil
}

// broken is the answer about what cannot be read.
func broken(suffix string, err error) verify.Answer {
	return verify.Answer{Attestation: suffix == suffixAttestation, Result: policy.Malformed, Reason: verify.Clean(err.Error())}
}

// first cuts layers to the limit, and records that there are more.
func (j *job) first(layers []ocispec.Descriptor, what string) []ocispec.Descriptor {
	if len(layers) > j.Limits.Entries {
		j.exceeds("%d %s; at most %d are judged", len(layers), what, j.Limits.Entries)
		return layers[:j.Limits.Entries]
	}
	return layers
}

// referrers looks at everything that refers to the subject. The list's
// artifact types are not trusted: the fallback index of cosign names another.
func (j *job) referrers(ctx context.Context) error {
	list, err := j.Source.Referrers(ctx, j.repo, j.subject.Digest)
	if err != nil {
		return err
	}
	if len(list) > j.Limits.Entries {
		j.exceeds("%d referrers; at most %d are judged", len(list), j.Limits.Entries)
		list = list[:j.Limits.Entries]
	}
	seen := map[string]bool{}
	for _, r := range list {
		// An index, or what is not of OCI 1.1, holds no evidence.
		if seen[r.Digest] || r.MediaType != "" && r.MediaType != ocispec.MediaTypeImageManifest && r.MediaType != typeDockerManifest {
			continue
		}
		seen[r.Digest] = true
		if err := j.referrer(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) referrer(ctx context.Context, r registry.Referrer) error {
	content, err := j.Source.Manifest(ctx, j.repo, r.Digest)
	switch {
	case absent(err):
		return nil // the list names what was deleted since
	case unreadable(err):
		j.file(formReferrer, r.Digest, "", broken("", err))
		return nil
	case err != nil:
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		j.file(formReferrer, r.Digest, "", broken("", err))
		return nil
	}
	if m.Subject == nil || m.Subject.Digest.String() != j.subject.Digest {
		return nil // the list of a fallback tag is anybody's word
	}
	notary := m.ArtifactType == verify.TypeNotary || m.Config.MediaType == verify.TypeNotary
	if notary && len(j.trust.Notaries) == 0 {
		return nil // nobody asks for it
	}
	known := slices.DeleteFunc(m.Layers, func(d ocispec.Descriptor) bool {
		return !verify.Knows(d.MediaType) || notary != (formOf(d.MediaType) == formNotary)
	})
	for _, layer := range j.first(known, "layers of the referrer "+r.Digest) {
		if err := j.layer(ctx, formOf(layer.MediaType), r.Digest, layer); err != nil {
			return err
		}
	}
	return nil
}

func formOf(mediaType string) string {
	switch mediaType {
	case verify.TypeSimpleSigning, verify.TypeDSSE:
		return formReferrer
	case verify.TypeNotaryJWS, verify.TypeNotaryCOSE:
		return formNotary
	}
	return formBundle
}

func layersOf(content registry.Content) ([]ocispec.Descriptor, error) {
	var m ocispec.Manifest
	err := json.Unmarshal(content.Body, &m)
	return m.Layers, err
}

// layer reads one piece of evidence and has it judged.
func (j *job) layer(ctx context.Context, form, manifest string, d ocispec.Descriptor) error {
	limit := j.Limits.Attestation
	if d.MediaType == verify.TypeSimpleSigning {
		limit = j.Limits.Payload
	}
	suffix := ""
	if d.MediaType == verify.TypeDSSE {
		suffix = suffixAttestation
	}
	switch {
	case len(d.URLs) > 0:
		j.file(form, manifest, d.Digest.String(), broken(suffix, fmt.Errorf("its content is to be fetched from elsewhere")))
		return nil
	case d.Size > limit || d.Size < 0:
		j.file(form, manifest, d.Digest.String(), broken(suffix, fmt.Errorf("it has %d bytes; at most %d are read", d.Size, limit)))
		return nil
	}
	if err := j.memory.Acquire(ctx, d.Size); err != nil {
		return err
	}
	defer j.memory.Release(d.Size)
	data, err := j.Source.Blob(ctx, j.repo, gatekeeper.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}, limit)
	switch {
	case absent(err), unreadable(err):
		j.file(form, manifest, d.Digest.String(), broken(suffix, fmt.Errorf("its content cannot be read: %w", err)))
		return nil
	case err != nil:
		return err
	}
	answer, err := j.judge(ctx, verify.Item{
		Subject: j.subject, MediaType: d.MediaType, Annotations: annotations(d), Data: data, MaxSize: limit, At: j.Now(),
	})
	if err != nil {
		return fmt.Errorf("verify %s: %w", d.Digest, err)
	}
	j.file(form, manifest, d.Digest.String(), answer)
	return nil
}

// annotations keeps those that matter to a verification.
func annotations(d ocispec.Descriptor) map[string]string {
	kept := map[string]string{}
	for _, name := range verify.Annotations() {
		if value, ok := d.Annotations[name]; ok {
			kept[name] = value
		}
	}
	return kept
}
