package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of one bundle.
const (
	maxLogEntries = 16
	maxTimestamps = 16
)

// bundle judges a Sigstore bundle of version 0.1 to 0.3 that holds a statement
// (sigstore/protobuf-specs, sigstore_bundle.proto).
func (t *Trusted) bundle(item Item) (Answer, error) {
	pb, bad := decodeBundle(item.Data)
	if bad != nil {
		return bad.answer(), nil
	}
	env := pb.GetDsseEnvelope()
	if env == nil {
		return malformed("the bundle holds no DSSE envelope").answer(), nil
	}
	if env.GetPayloadType() != typeInToto {
		return malformed("an envelope with a payload of type %q", env.GetPayloadType()).answer(), nil
	}
	st, bad := parseStatement(env.GetPayload(), item.Subject.Digest)
	if bad != nil {
		return st.complete(bad.answer()), nil
	}
	who := t.whoseKey(env)
	artifact, err := digestOf(item.Subject.Digest)
	if err != nil {
		return Answer{}, err
	}
	b, bad := checkBundle(pb)
	if bad != nil && len(who.keys) == 0 {
		return st.complete(bad.answer()), nil
	}
	if bad == nil {
		more := t.whoSigned(b, artifact)
		who.keys, who.identities, who.invalid = append(who.keys, more.keys...), more.identities, more.invalid
	}
	return st.complete(who.answer()), nil
}

// whoseKey asks the keys that need no log: they signed the envelope, whatever
// else is in the bundle, such as a log entry of a kind that is not known here.
func (t *Trusted) whoseKey(env *protodsse.Envelope) signers {
	var who signers
	message := dsse.PAE(env.GetPayloadType(), env.GetPayload())
	for _, k := range t.keys {
		if k.root == nil && k.verifier.VerifySignature(bytes.NewReader(env.GetSignatures()[0].GetSig()), bytes.NewReader(message)) == nil {
			who.keys = append(who.keys, k.id)
		}
	}
	return who
}

// decodeBundle reads a bundle's message, within its limits.
func decodeBundle(data []byte) (*protobundle.Bundle, *refusal) {
	if err := strictjson.Check(data); err != nil {
		return nil, malformed("the bundle: %v", err)
	}
	// The limits come before the library reads what they are about: it parses
	// every log entry.
	pb := &protobundle.Bundle{}
	if err := protojson.Unmarshal(data, pb); err != nil {
		return nil, malformed("the bundle: %v", err)
	}
	material := pb.GetVerificationMaterial()
	if n := len(material.GetTlogEntries()); n > maxLogEntries {
		return nil, malformed("the bundle has %d log entries; at most %d are read", n, maxLogEntries)
	}
	if n := len(material.GetTimestampVerificationData().GetRfc3161Timestamps()); n > maxTimestamps {
		return nil, malformed("the bundle has %d timestamps; at most %d are read", n, maxTimestamps)
	}
	if env := pb.GetDsseEnvelope(); env != nil && len(env.GetSignatures()) != 1 {
		return nil, malformed("an envelope with %d signatures; it has to have one", len(env.GetSignatures()))
	}
	return pb, nil
}

// checkBundle makes sure that the message is a bundle of a version, and with
// log entries, that can be verified.
func checkBundle(pb *protobundle.Bundle) (*bundle.Bundle, *refusal) {
	b, err := bundle.NewBundle(pb)
	if err != nil {
		return nil, malformed("the bundle: %v", err)
	}
	return b, nil
}

// Artifact is what a bundle has to speak about.
type Artifact struct {
	option func() verify.ArtifactPolicyOption
}

// Digest is an artifact of which the SHA-256 is known.
func Digest(sum []byte) Artifact {
	return Artifact{func() verify.ArtifactPolicyOption { return verify.WithArtifactDigest("sha256", sum) }}
}

// Content is an artifact whose bytes are at hand.
func Content(data []byte) Artifact {
	return Artifact{func() verify.ArtifactPolicyOption { return verify.WithArtifact(bytes.NewReader(data)) }}
}

func digestOf(digest string) (Artifact, error) {
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return Artifact{}, fmt.Errorf("digest %s: %w", Clean(digest), err)
	}
	return Digest(sum), nil
}

// Bundle judges a bundle about any artifact, not only an image: a signature
// over its bytes, or a statement about its digest.
func (t *Trusted) Bundle(data []byte, artifact Artifact) (Answer, error) {
	pb, bad := decodeBundle(data)
	if bad != nil {
		return bad.answer(), nil
	}
	b, bad := checkBundle(pb)
	if bad != nil {
		return bad.answer(), nil
	}
	return t.whoSigned(b, artifact).answer(), nil
}

// whoSigned has sigstore-go decide which keys and which certificates of the
// trust roots signed a bundle about an artifact.
func (t *Trusted) whoSigned(b *bundle.Bundle, artifact Artifact) signers {
	content, err := b.VerificationContent()
	if err != nil {
		return signers{} // without readable material it is nobody's
	}
	if leaf := content.Certificate(); leaf != nil {
		return t.whoseCertificate(b, leaf, artifact)
	}
	var who signers
	for _, k := range t.keys {
		if k.verifies(b, artifact) == nil {
			who.keys = append(who.keys, k.id)
		}
	}
	return who
}

// verifies has sigstore-go decide whether a key signed a bundle.
func (k key) verifies(b *bundle.Bundle, artifact Artifact) error {
	material, options := k.material, []verify.VerifierOption{verify.WithNoObserverTimestamps()}
	if k.root != nil {
		material = root.TrustedMaterialCollection{k.material, k.root.material}
		options = []verify.VerifierOption{
			verify.WithTransparencyLog(max(k.root.require.LogEntries, 1)), verify.WithObserverTimestamps(max(k.root.require.Timestamps, 1)),
		}
	}
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return err
	}
	result, err := verifier.Verify(b, verify.NewPolicy(artifact.option(), verify.WithKey()))
	if err != nil || k.root == nil {
		return err
	}
	return k.root.checkTimes(b, nil, result.VerifiedTimestamps)
}

// whoseCertificate finds out whose a certificate's signature is. It is a
// stranger's when no trust root issued the certificate.
func (t *Trusted) whoseCertificate(b *bundle.Bundle, leaf *x509.Certificate, artifact Artifact) signers {
	var who signers
	for _, r := range t.roots {
		if !r.keyless || !r.issued(leaf) {
			continue
		}
		id, err := r.identify(b, leaf, artifact)
		if err != nil {
			who.invalid = append(who.invalid, fmt.Sprintf("its certificate is of the trust root %s, but: %v", r.name, err))
			continue
		}
		who.identities = append(who.identities, id)
	}
	return who
}

// identify verifies a bundle against a trust root and returns who signed it.
func (r trustRoot) identify(b *bundle.Bundle, leaf *x509.Certificate, artifact Artifact) (policy.Identity, error) {
	if n := len(leaf.URIs) + len(leaf.EmailAddresses) + len(leaf.DNSNames) + len(leaf.IPAddresses); n > 1 {
		return policy.Identity{}, fmt.Errorf("the certificate names %d subjects; it has to name one", n)
	}
	verifier, err := verify.NewVerifier(r.material, r.options()...)
	if err != nil {
		return policy.Identity{}, err
	}
	// Who it has to be is the policy's question, asked of what is returned.
	result, err := verifier.Verify(b, verify.NewPolicy(artifact.option(), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return policy.Identity{}, err
	}
	if result.Signature == nil || result.Signature.Certificate == nil {
		return policy.Identity{}, errors.New("it was not signed with its certificate")
	}
	if err := r.checkTimes(b, leaf, result.VerifiedTimestamps); err != nil {
		return policy.Identity{}, err
	}
	return identity(r.name, *result.Signature.Certificate)
}

// identity states who a certificate was issued to.
func identity(trustRoot string, cert certificate.Summary) (policy.Identity, error) {
	text, err := json.Marshal(cert.Extensions)
	if err != nil {
		return policy.Identity{}, err
	}
	claims := map[string]string{}
	if err := json.Unmarshal(text, &claims); err != nil {
		return policy.Identity{}, err
	}
	issuer := claims["issuer"]
	delete(claims, "issuer")
	if issuer == "" {
		return policy.Identity{}, errors.New("the certificate does not say who vouched for the identity")
	}
	id := policy.Identity{TrustRoot: trustRoot, Issuer: issuer, Subject: cert.SubjectAlternativeName}
	for _, text := range append(slices.Collect(maps.Values(claims)), id.Issuer, id.Subject) {
		// Findings show them to people.
		if text != plain.Line(text, len(text)) {
			return policy.Identity{}, errors.New("the certificate names somebody with control characters")
		}
	}
	if len(claims) > 0 {
		id.Claims = claims
	}
	return id, nil
}
