package sigstore_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

const (
	signSuffix, attestSuffix = "sig", "att"

	bundleMediaType        = "application/vnd.dev.sigstore.bundle.v0.3+json"
	simpleSigningMediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseMediaType          = "application/vnd.dsse.envelope.v1+json"
)

// evidence is one signature or attestation as a registry has it: a bundle, and
// the payload of simple signing, which is not in the bundle.
type evidence struct {
	bundle  *bundle.Bundle
	payload []byte
	err     error // why sigstore-go does not decode the bundle
}

// read finds the only evidence of its kind in the place that the form says.
func read(t *testing.T, form sigstore.Form, suffix, image string) evidence {
	t.Helper()
	var found []evidence
	for _, manifest := range manifests(t, form, suffix, image) {
		layers, err := manifest.Layers()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := manifest.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for i, layer := range layers {
			found = append(found, decode(t, parsed.Layers[i], content(t, layer)))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d signatures or attestations as %s .%s of %s, want 1", len(found), form, suffix, image)
	}
	return found[0]
}

func manifests(t *testing.T, form sigstore.Form, suffix, image string) []v1.Image {
	t.Helper()
	digest, err := name.NewDigest(image)
	if err != nil {
		t.Fatal(err)
	}
	if form == sigstore.Tag {
		return []v1.Image{pull(t, place(digest, suffix))}
	}
	index, err := remote.Referrers(digest, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("referrers of %s: %v", image, err)
	}
	listed, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := make([]v1.Image, len(listed.Manifests))
	for i, descriptor := range listed.Manifests {
		images[i] = pull(t, digest.Context().Digest(descriptor.Digest.String()))
	}
	return images
}

// place is the tag of an image's signatures or attestations.
func place(digest name.Digest, suffix string) name.Tag {
	return digest.Context().Tag(strings.Replace(digest.DigestStr(), ":", "-", 1) + "." + suffix)
}

func pull(t *testing.T, ref name.Reference) v1.Image {
	t.Helper()
	image, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("pull %s: %v", ref, err)
	}
	return image
}

func content(t *testing.T, layer v1.Layer) []byte {
	t.Helper()
	r, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func decode(t *testing.T, layer v1.Descriptor, content []byte) evidence {
	t.Helper()
	switch string(layer.MediaType) {
	case bundleMediaType:
		var b bundle.Bundle
		err := b.UnmarshalJSON(content)
		return evidence{bundle: &b, err: err}
	case simpleSigningMediaType:
		b, err := fromAnnotations(t, layer.Annotations, simpleSigning(t, layer.Annotations, content))
		return evidence{bundle: b, payload: content, err: err}
	case dsseMediaType:
		b, err := fromAnnotations(t, layer.Annotations, envelope(t, content))
		return evidence{bundle: b, err: err}
	}
	t.Fatalf("layer of type %s", layer.MediaType)
	return evidence{}
}

// simpleSigning is the signature of cosign's oldest form.
func simpleSigning(t *testing.T, annotations map[string]string, payload []byte) *bundlev1.Bundle {
	t.Helper()
	digest := sha256.Sum256(payload)
	return &bundlev1.Bundle{Content: &bundlev1.Bundle_MessageSignature{MessageSignature: &commonv1.MessageSignature{
		MessageDigest: &commonv1.HashOutput{Algorithm: commonv1.HashAlgorithm_SHA2_256, Digest: digest[:]},
		Signature:     unbase64(t, annotations["dev.cosignproject.cosign/signature"]),
	}}}
}

// envelope is the DSSE envelope that a layer of attestations is.
func envelope(t *testing.T, content []byte) *bundlev1.Bundle {
	t.Helper()
	var e struct {
		PayloadType string
		Payload     []byte
		Signatures  []struct {
			KeyID string
			Sig   []byte
		}
	}
	if err := json.Unmarshal(content, &e); err != nil || len(e.Signatures) != 1 {
		t.Fatalf("envelope with %d signatures: %v", len(e.Signatures), err)
	}
	return &bundlev1.Bundle{Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: &dssev1.Envelope{
		PayloadType: e.PayloadType, Payload: e.Payload, Signatures: []*dssev1.Signature{{Sig: e.Signatures[0].Sig, Keyid: e.Signatures[0].KeyID}},
	}}}
}

// fromAnnotations completes a bundle with what cosign writes beside a layer.
func fromAnnotations(t *testing.T, annotations map[string]string, b *bundlev1.Bundle) (*bundle.Bundle, error) {
	t.Helper()
	b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	material := &bundlev1.VerificationMaterial{}
	if text, ok := annotations["dev.sigstore.cosign/certificate"]; ok {
		block, _ := pem.Decode([]byte(text))
		material.Content = &bundlev1.VerificationMaterial_X509CertificateChain{X509CertificateChain: &commonv1.X509CertificateChain{
			Certificates: []*commonv1.X509Certificate{{RawBytes: block.Bytes}},
		}}
	} else {
		material.Content = &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{}}
	}
	if text, ok := annotations["dev.sigstore.cosign/bundle"]; ok {
		material.TlogEntries = []*rekorv1.TransparencyLogEntry{logEntry(t, text)}
	}
	if text, ok := annotations["dev.sigstore.cosign/rfc3161timestamp"]; ok {
		var stamp struct{ SignedRFC3161Timestamp []byte }
		if err := json.Unmarshal([]byte(text), &stamp); err != nil {
			t.Fatalf("timestamp: %v", err)
		}
		material.TimestampVerificationData = &bundlev1.TimestampVerificationData{
			Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
		}
	}
	b.VerificationMaterial = material
	return bundle.NewBundle(b)
}

func logEntry(t *testing.T, text string) *rekorv1.TransparencyLogEntry {
	t.Helper()
	var entry struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte
			IntegratedTime int64
			LogIndex       int64
			LogID          string
		}
	}
	if err := json.Unmarshal([]byte(text), &entry); err != nil {
		t.Fatalf("log entry: %v", err)
	}
	var body struct{ Kind, APIVersion string }
	if err := json.Unmarshal(entry.Payload.Body, &body); err != nil {
		t.Fatalf("body of the log entry: %v", err)
	}
	id, err := hex.DecodeString(entry.Payload.LogID)
	if err != nil {
		t.Fatalf("identifier of the log: %v", err)
	}
	return &rekorv1.TransparencyLogEntry{
		LogIndex: entry.Payload.LogIndex, LogId: &commonv1.LogId{KeyId: id},
		KindVersion:       &rekorv1.KindVersion{Kind: body.Kind, Version: body.APIVersion},
		IntegratedTime:    entry.Payload.IntegratedTime,
		InclusionPromise:  &rekorv1.InclusionPromise{SignedEntryTimestamp: entry.SignedEntryTimestamp},
		CanonicalizedBody: entry.Payload.Body,
	}
}

func unbase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
