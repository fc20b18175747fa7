package promote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Signing is what summaries are signed and read back with. Every field but
// Form and Limit is required.
type Signing struct {
	// Signer has to end with its context.
	Signer   summary.Signer
	Trust    *summary.Trust // holds what the signer signs with
	Verifier summary.Verifier
	Form     Form
	Limit    time.Duration // for one signature; 30 seconds when zero
}

// Form is how a summary lies in the registry.
type Form string

// The forms.
const (
	// FormOfSignatures is the form that the image's own signatures have.
	FormOfSignatures Form = ""
	// FormBundle is a Sigstore bundle in a manifest that refers to the image.
	FormBundle Form = "bundle"
	// FormTag is cosign's older form, under the tag sha256-….att.
	FormTag Form = "tag"
)

// Attester implements gatekeeper.Attester. It is safe for concurrent use.
type Attester struct {
	*Promoter
	signing Signing
	signer  *patience
}

// NewAttester returns an attester that writes beside the promoter.
func NewAttester(p *Promoter, s Signing) *Attester {
	return &Attester{Promoter: p, signing: s, signer: &patience{signer: s.Signer, limit: cmp.Or(s.Limit, signTime), now: p.now}}
}

// Attest leaves a signed summary of the decision beside the image in the
// golden repository, reads it back and verifies it. When it is there already,
// nothing is written.
func (a *Attester) Attest(ctx context.Context, d gatekeeper.Decision, r policy.Result) error {
	to := *r.Promotion
	s := policy.Subject{Registry: d.Push.Source, Repository: d.Push.Repository, Digest: d.Push.Digest}
	for _, tag := range to.Tags {
		if _, err := a.free(ctx, s, to, tag); err != nil {
			return err // nothing is said about a tag that it will not get
		}
	}
	statement, err := a.statement(d, r)
	if err != nil {
		return fmt.Errorf("summarise decision %d: %w", d.ID, err)
	}
	golden := registry.Repository{Registry: to.Registry, Name: to.Repository}
	there, err := a.has(ctx, golden, s.Digest, statement)
	if err != nil || there {
		return err
	}
	older, err := a.olderForm(ctx, golden, s.Digest)
	if err != nil {
		return fmt.Errorf("look how %s/%s@%s is signed: %w", to.Registry, to.Repository, s.Digest, err)
	}
	signed, err := a.sign(ctx, statement, s.Digest, older)
	if err != nil {
		return fmt.Errorf("decision %d: %w", d.ID, err)
	}
	carrier, err := a.write(ctx, golden, s.Digest, signed, older, d.DecidedAt)
	if err != nil {
		return fmt.Errorf("attach the summary to %s/%s@%s: %w", to.Registry, to.Repository, s.Digest, err)
	}
	if _, err := summary.ReadBack(ctx, a.registries, golden, s.Digest, carrier, older, a.signing.Trust); err != nil {
		return fmt.Errorf("read back the summary of %s/%s@%s: %w", to.Registry, to.Repository, s.Digest, err)
	}
	return nil
}

// sign returns a bundle, or an envelope for the older form, that verifies: one
// that does not would be written anew at every attempt.
func (a *Attester) sign(ctx context.Context, statement []byte, of string, older bool) ([]byte, error) {
	signed, err := a.signer.Sign(ctx, statement)
	if err != nil {
		return nil, err
	}
	open := a.signing.Trust.Open
	if older {
		if signed, err = summary.Envelope(signed); err != nil {
			return nil, err
		}
		open = a.signing.Trust.OpenEnvelope
	}
	if _, err := open(signed, of); err != nil {
		return nil, fmt.Errorf("the summary was signed, but does not verify, so that nothing is written: %w; %s", err, summary.Remedy(a.signing.Signer))
	}
	return signed, nil
}

func (a *Attester) statement(d gatekeeper.Decision, r policy.Result) ([]byte, error) {
	source, err := a.registries.Host(d.Push.Source)
	if err != nil {
		return nil, err
	}
	golden, err := a.registries.Host(r.Promotion.Registry)
	if err != nil {
		return nil, err
	}
	tags := slices.Clone(r.Promotion.Tags)
	for _, channel := range r.Promotion.Channels {
		if !slices.Contains(tags, channel) {
			tags = append(tags, channel)
		}
	}
	return summary.Statement(summary.Facts{
		Verifier: a.signing.Verifier, Golden: golden + "/" + r.Promotion.Repository, Digest: d.Push.Digest, Tags: tags,
		Policy: r.Policy, Fingerprint: r.Fingerprint, Source: source + "/" + d.Push.Repository, Inputs: r.Inputs, At: d.DecidedAt,
		Order: summary.Order{Push: d.Push.ID, Decision: d.ID},
	})
}

// has looks for a summary that verifies and says this.
func (a *Attester) has(ctx context.Context, golden registry.Repository, digest string, statement []byte) (bool, error) {
	found, err := summary.Find(ctx, a.registries, golden, digest, a.signing.Trust)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(found, func(f summary.Found) bool { return f.Err == nil && summary.Same(f.Payload, statement) }), nil
}

// write attaches what was signed in the form that the image's signatures have.
// Where cosign finds one bundle among the referrers, it looks at no signature
// of the older form any more: a bundle beside them would make them invisible.
// Carrier is what it is found again by.
func (a *Attester) write(
	ctx context.Context, golden registry.Repository, of string, signed []byte, older bool, at time.Time,
) (carrier string, err error) {
	if older {
		return a.appendTo(ctx, golden, of, signed)
	}
	return a.attach(ctx, golden, of, signed, at)
}

// olderForm says whether an image has signatures or attestations of others
// below cosign's tags and none in bundles. Certificates have no place in the
// older form here.
func (a *Attester) olderForm(ctx context.Context, golden registry.Repository, of string) (bool, error) {
	if _, key := a.signing.Signer.(summary.KeySigner); !key || a.signing.Form != FormOfSignatures {
		return key && a.signing.Form == FormTag, nil
	}
	_, err := a.registries.Resolve(ctx, golden.Registry, golden.Name, registry.FallbackTag(of, ".sig"))
	others := err == nil
	if errors.Is(err, gatekeeper.ErrNotFound) {
		others, err = summary.HasOthers(ctx, a.registries, golden, of)
	}
	if err != nil || !others {
		return false, err
	}
	bundles, err := summary.HasBundle(ctx, a.registries, golden, of)
	return !bundles, err
}

// attach writes a bundle as a referrer of a digest: the blobs, a manifest with
// the empty configuration (OCI image-spec v1.1, "Guidance for an Empty
// Descriptor"), and its entry where the registry keeps no list.
func (a *Attester) attach(ctx context.Context, golden registry.Repository, of string, bundle []byte, at time.Time) (carrier string, err error) {
	image, err := a.registries.Manifest(ctx, golden, of)
	if err != nil {
		return "", err
	}
	layer := ocispec.Descriptor{MediaType: summary.BundleType, Digest: digest.FromBytes(bundle), Size: int64(len(bundle))}
	none := ocispec.DescriptorEmptyJSON
	none.Data = nil
	body, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: summary.BundleType,
		Config: none, Layers: []ocispec.Descriptor{layer},
		Subject:     &ocispec.Descriptor{MediaType: image.MediaType, Digest: digest.Digest(image.Digest), Size: image.Size},
		Annotations: summary.Annotations(at),
	})
	if err != nil {
		return "", fmt.Errorf("encode the manifest: %w", err)
	}
	c := &job{Promoter: a.Promoter, to: golden}
	for content, d := range map[string]ocispec.Descriptor{string(bundle): layer, string(ocispec.DescriptorEmptyJSON.Data): none} {
		if err := c.upload(ctx, descriptor(d), []byte(content)); err != nil {
			return "", err
		}
	}
	content := contentOf(ocispec.MediaTypeImageManifest, body)
	listed, err := a.registries.PutManifest(ctx, golden, content.Digest, content)
	if err != nil {
		return "", err
	}
	if err := c.list(content, listed); err != nil {
		return "", err
	}
	return content.Digest, c.publish(ctx)
}
