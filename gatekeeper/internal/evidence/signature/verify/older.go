package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
)

// The annotations of cosign's older forms (cosign, specs/SIGNATURE_SPEC.md).
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationLogEntry    = "dev.sigstore.cosign/bundle"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// Annotations lists the annotations of layers that are looked at.
func Annotations() []string {
	return []string{annotationSignature, annotationCertificate, annotationLogEntry, annotationTimestamp}
}

// cosignPayloadType is the type that a simple signing payload has to name.
const cosignPayloadType = "cosign container image signature"

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

// simpleSigning judges a signature of cosign's older form.
func (t *Trusted) simpleSigning(item Item) (Answer, error) {
	sig, bad := decodeSignature(item.Annotations[annotationSignature])
	if bad != nil {
		return bad.answer(), nil
	}
	var claim simpleSigning
	if err := strictjson.Unmarshal(item.Data, &claim); err != nil {
		return malformed("the payload: %v", err).answer(), nil
	}
	if claim.Critical.Type != cosignPayloadType {
		return malformed("the payload is of type %q", claim.Critical.Type).answer(), nil
	}
	if claim.Critical.Image.Digest != item.Subject.Digest {
		return invalid("it is the signature of another image, %s", claim.Critical.Image.Digest).answer(), nil
	}
	who, err := t.whoSignedOlder(older{item: item, message: item.Data, signature: sig})
	return who.answer(), err
}

func decodeSignature(text string) ([]byte, *refusal) {
	sig, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, malformed("the annotation with the signature: %v", err)
	}
	if len(sig) == 0 {
		return nil, malformed("the annotation with the signature is empty")
	}
	return sig, nil
}

// older is a signature or attestation of cosign's older forms: with the
// certificate, the log entry and the timestamp in annotations.
type older struct {
	item      Item
	env       *parsedEnvelope // nil for a signature
	message   []byte          // what is signed
	signature []byte
}

// whoSignedOlder asks keys directly, and everything else through a bundle.
func (t *Trusted) whoSignedOlder(o older) (signers, error) {
	var who signers
	for _, k := range t.keys {
		if k.root == nil && k.verifier.VerifySignature(bytes.NewReader(o.signature), bytes.NewReader(o.message)) == nil {
			who.keys = append(who.keys, k.id)
		}
	}
	if len(t.roots) == 0 {
		return who, nil
	}
	b, err := o.bundle()
	if errors.Is(err, errNothingMore) {
		return who, nil
	}
	if err != nil {
		who.invalid = append(who.invalid, err.Error())
		return who, nil
	}
	artifact, err := o.artifact()
	if err != nil {
		return who, err
	}
	more := t.whoSigned(b, artifact)
	for _, id := range more.keys {
		if k := t.key(id); k.root != nil {
			who.keys = append(who.keys, id)
		}
	}
	who.identities, who.invalid = more.identities, more.invalid
	return who, nil
}

func (t *Trusted) key(id string) key {
	for _, k := range t.keys {
		if k.id == id {
			return k
		}
	}
	return key{}
}

// artifact is what the bundle of the signature has to speak about: the payload
// itself; for a statement, the image.
func (o older) artifact() (Artifact, error) {
	if o.env == nil {
		return Content(o.message), nil
	}
	return digestOf(o.item.Subject.Digest)
}

// errNothingMore says that there are only a signature and a message.
var errNothingMore = errors.New("neither a certificate nor a log entry")

// bundle writes the older form as a bundle of version 0.1, which asks for the
// log's promise and no more.
func (o older) bundle() (*bundle.Bundle, error) {
	a := o.item.Annotations
	if a[annotationCertificate] == "" && a[annotationLogEntry] == "" {
		return nil, errNothingMore
	}
	material := &protobundle.VerificationMaterial{}
	if err := addCertificate(material, a[annotationCertificate]); err != nil {
		return nil, fmt.Errorf("the annotation with the certificate: %w", err)
	}
	if err := addLogEntry(material, a[annotationLogEntry]); err != nil {
		return nil, fmt.Errorf("the annotation with the log entry: %w", err)
	}
	if err := addTimestamp(material, a[annotationTimestamp]); err != nil {
		return nil, fmt.Errorf("the annotation with the timestamp: %w", err)
	}
	pb := &protobundle.Bundle{MediaType: TypeBundle + "+json;version=0.1", VerificationMaterial: material}
	if o.env != nil {
		pb.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: typeInToto, Payload: o.env.payload, Signatures: []*protodsse.Signature{{Sig: o.signature}},
		}}
	} else {
		sum := sha256.Sum256(o.message)
		pb.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     o.signature,
		}}
	}
	return bundle.NewBundle(pb)
}

// addCertificate adds the leaf; intermediates are the trust root's business.
func addCertificate(material *protobundle.VerificationMaterial, text string) error {
	if text == "" {
		material.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{}}
		return nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("no PEM certificate")
	}
	material.Content = &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{
		Certificates: []*protocommon.X509Certificate{{RawBytes: block.Bytes}},
	}}
	return nil
}

// rekorBundle is how cosign keeps a log entry with the log's promise (cosign,
// specs/SIGNATURE_SPEC.md).
type rekorBundle struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func addLogEntry(material *protobundle.VerificationMaterial, text string) error {
	if text == "" {
		return nil
	}
	var r rekorBundle
	if err := strictjson.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	var kind struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(r.Payload.Body, &kind); err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	if kind.Kind == "intoto" && kind.APIVersion == "0.0.1" {
		return errors.New("a log entry of the kind intoto 0.0.1 does not hold the signature and is not read; attest again with a current client")
	}
	logID, err := hex.DecodeString(r.Payload.LogID)
	if err != nil {
		return fmt.Errorf("the log's ID: %w", err)
	}
	material.TlogEntries = []*protorekor.TransparencyLogEntry{{
		LogIndex: r.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: logID},
		KindVersion:    &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		IntegratedTime: r.Payload.IntegratedTime, CanonicalizedBody: r.Payload.Body,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: r.SignedEntryTimestamp},
	}}
	return nil
}

func addTimestamp(material *protobundle.VerificationMaterial, text string) error {
	if text == "" {
		return nil
	}
	var t struct {
		SignedRFC3161Timestamp []byte
	}
	if err := strictjson.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	material.TimestampVerificationData = &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: t.SignedRFC3161Timestamp}},
	}
	return nil
}
