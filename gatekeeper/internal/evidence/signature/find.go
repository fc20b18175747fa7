package signature

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	for _, layer := range first(j, layers, "entries under the tag "+tag) {
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

// first cuts what was found to the limit, and records that there is more.
func first[T any](j *job, list []T, what string) []T {
	j.bound(len(list), what)
	return list[:min(len(list), j.Limits.Entries)]
}

// bound records when there is more of something than is judged.
func (j *job) bound(n int, what string) {
	if n > j.Limits.Entries {
		j.hides("%d %s; at most %d are judged (evidence.maxEntries)", n, what, j.Limits.Entries)
	}
}

// referrers looks at everything that refers to the subject. The list's
// artifact types are not trusted: the fallback index of cosign names another.
func (j *job) referrers(ctx context.Context) error {
	list, err := j.Source.Referrers(ctx, j.repo, j.subject.Digest)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	layers := 0 // of all of them together
	for _, r := range first(j, list, "referrers") {
		// An index, or what is not of OCI 1.1, holds no evidence.
		if seen[r.Digest] || r.MediaType != "" && r.MediaType != ocispec.MediaTypeImageManifest && r.MediaType != typeDockerManifest {
			continue
		}
		seen[r.Digest] = true
		if err := j.referrer(ctx, r, &layers); err != nil {
			return err
		}
	}
	j.bound(layers, "layers of referrers")
	return nil
}

// referrer looks at one of them. It counts the layers of all, and judges those
// within the limit.
func (j *job) referrer(ctx context.Context, r registry.Referrer, layers *int) error {
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
		return !verify.Knows(d.MediaType) || notary != (formOf(d.MediaType) == formNotary) ||
			j.attestationsOnly && d.MediaType == verify.TypeSimpleSigning
	})
	for _, layer := range known {
		if *layers++; *layers > j.Limits.Entries {
			continue
		}
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

// layer has one piece of evidence judged.
func (j *job) layer(ctx context.Context, form, manifest string, d ocispec.Descriptor) error {
	limit, key := j.Limits.Attestation, " (evidence.maxSize)"
	if d.MediaType == verify.TypeSimpleSigning {
		limit, key = j.Limits.Payload, ""
	}
	digest := d.Digest.String()
	switch {
	case len(d.URLs) > 0:
		j.file(form, manifest, digest, broken(suffixOf(d), errors.New("its content is to be fetched from elsewhere")))
		return nil
	case d.Size > limit || d.Size < 0:
		j.file(form, manifest, digest, broken(suffixOf(d), fmt.Errorf("it has %d bytes; at most %d are read%s", d.Size, limit, key)))
		return nil
	}
	answer, err := j.judge(ctx, d, limit)
	if undecided, ok := errors.AsType[*undecidedError](err); ok && ctx.Err() == nil {
		// Others are judged all the same.
		j.hides("verify %s: %w", digest, undecided)
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", digest, err)
	}
	j.file(form, manifest, digest, answer)
	return nil
}

func suffixOf(d ocispec.Descriptor) string {
	if d.MediaType == verify.TypeDSSE {
		return suffixAttestation
	}
	return ""
}

// verified reads a layer and has it verified. Memory is held for as long as
// its content is.
func (j *job) verified(ctx context.Context, d ocispec.Descriptor, limit int64, revoked map[string]bool) (verify.Answer, error) {
	data, release, err := j.read(ctx, d, d.Size)
	if err == nil && compressed(data) && d.Size < limit {
		// It may become as large as the limit allows. It is read again, so
		// that nothing is held that does not count while it waits.
		release()
		data, release, err = j.read(ctx, d, limit)
	}
	switch {
	case absent(err), unreadable(err):
		return broken(suffixOf(d), fmt.Errorf("its content cannot be read: %w", err)), nil
	case err != nil:
		return verify.Answer{}, err
	}
	defer release()
	return j.Verifier.Verify(ctx, j.trust, verify.Item{
		Subject: j.subject, MediaType: d.MediaType, Annotations: annotations(d), Data: data, MaxSize: limit, At: j.Now(), Revoked: revoked,
	})
}

// read reads a layer while so many bytes of memory are held for it. With an
// error, nothing is held.
func (j *job) read(ctx context.Context, d ocispec.Descriptor, hold int64) (data []byte, release func(), err error) {
	memory := j.large
	if hold < smallItem {
		memory = j.small
	}
	if err := memory.Acquire(ctx, hold); err != nil {
		return nil, nil, err
	}
	data, err = j.Source.Blob(ctx, j.repo, gatekeeper.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}, d.Size)
	if err != nil {
		memory.Release(hold)
		return nil, nil, err
	}
	return data, func() { memory.Release(hold) }, nil
}

// compressed says whether data begins as gzip does (RFC 1952, 2.3.1).
func compressed(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

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
