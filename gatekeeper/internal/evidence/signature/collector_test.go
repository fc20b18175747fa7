package signature_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	sgsig "github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// store is a registry in memory. Its errors are those of the real client.
type store struct {
	manifests map[string][]byte // by digest
	tags      map[string]string
	blobs     map[string][]byte
	referrers []registry.Referrer
	fail      error
}

func newStore() *store {
	return &store{manifests: map[string][]byte{}, tags: map[string]string{}, blobs: map[string][]byte{}}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *store) Manifest(_ context.Context, _ registry.Repository, digest string) (registry.Content, error) {
	body, ok := s.manifests[digest]
	if s.fail != nil || !ok {
		return registry.Content{}, s.missing()
	}
	return registry.Content{Descriptor: gatekeeper.Descriptor{Digest: digest, Size: int64(len(body))}, Body: body}, nil
}

func (s *store) missing() error {
	if s.fail != nil {
		return s.fail
	}
	return fmt.Errorf("fake: %w", gatekeeper.ErrNotFound)
}

func (s *store) ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error) {
	return s.Manifest(ctx, r, s.tags[tag])
}

func (s *store) Blob(_ context.Context, _ registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	data, ok := s.blobs[d.Digest]
	if s.fail != nil || !ok {
		return nil, s.missing()
	}
	if d.Size > limit {
		return nil, fmt.Errorf("%w: too large", gatekeeper.ErrInvalidContent)
	}
	return data, nil
}

func (s *store) Referrers(context.Context, registry.Repository, string) ([]registry.Referrer, error) {
	return s.referrers, s.fail
}

type layer struct {
	mediaType   string
	data        []byte
	annotations map[string]string
}

// putTag stores a manifest of layers under a tag.
func (s *store) putTag(tag string, layers ...layer) { s.tags[tag] = s.put("", layers...) }

// putReferrer stores a manifest that refers to the subject.
func (s *store) putReferrer(layers ...layer) {
	digest := s.put(subject, layers...)
	s.referrers = append(s.referrers, registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: digest}, ArtifactType: "application/vnd.oci.empty.v1+json"})
}

func (s *store) put(refersTo string, layers ...layer) string {
	m := map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
	var list []any
	for _, l := range layers {
		s.blobs[digestOf(l.data)] = l.data
		list = append(list, map[string]any{"mediaType": l.mediaType, "digest": digestOf(l.data), "size": len(l.data), "annotations": l.annotations})
	}
	m["layers"] = list
	if refersTo != "" {
		m["subject"] = map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": refersTo, "size": 1}
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	s.manifests[digestOf(body)] = body
	return digestOf(body)
}

var (
	subject = digestOf([]byte("subject"))                    //nolint:gochecknoglobals // a constant that is computed
	other   = digestOf([]byte("other"))                      //nolint:gochecknoglobals // a constant that is computed
	sigTag  = strings.Replace(subject, ":", "-", 1) + ".sig" //nolint:gochecknoglobals // a constant that is computed
	attTag  = strings.Replace(subject, ":", "-", 1) + ".att" //nolint:gochecknoglobals // a constant that is computed
)

// signer is a key pair that signs as cosign does.
type signer struct {
	sgsig.Signer
	authority policy.Authority
}

func newSigner(tb testing.TB, kind string) signer {
	tb.Helper()
	var private crypto.Signer
	var err error
	switch kind {
	case "ECDSA P-256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECDSA P-384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "RSA":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		tb.Fatal(err)
	}
	s, err := sgsig.LoadSigner(private, crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		tb.Fatal(err)
	}
	authority, err := policy.NewAuthority(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		tb.Fatal(err)
	}
	return signer{s, authority}
}

func (s signer) sign(message []byte) []byte {
	sig, err := s.SignMessage(strings.NewReader(string(message)))
	if err != nil {
		panic(err)
	}
	return sig
}

// simple is a layer of the .sig form about an image.
func (s signer) simple(digest string) layer {
	payload := []byte(`{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"` + digest + `"},"type":"cosign container image signature"},"optional":null}`)
	return layer{"application/vnd.dev.cosign.simplesigning.v1+json", payload, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.sign(payload)),
	}}
}

func statement(digest, predicateType, predicate string) []byte {
	return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + strings.TrimPrefix(digest, "sha256:") +
		`"}}],"predicateType":"` + predicateType + `","predicate":` + predicate + `}`)
}

const inToto = "application/vnd.in-toto+json"

// envelope is a layer of the .att form.
func (s signer) envelope(payload []byte) layer {
	data, err := json.Marshal(map[string]any{
		"payloadType": inToto, "payload": base64.StdEncoding.EncodeToString(payload),
		"signatures": []any{map[string]any{"sig": base64.StdEncoding.EncodeToString(s.sign(dsse.PAE(inToto, payload)))}},
	})
	if err != nil {
		panic(err)
	}
	return layer{mediaType: "application/vnd.dsse.envelope.v1+json", data: data}
}

// bundle is a layer of the bundle form.
func (s signer) bundle(payload []byte) layer {
	data, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "any"}},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: inToto, Payload: payload, Signatures: []*protodsse.Signature{{Sig: s.sign(dsse.PAE(inToto, payload))}},
		}},
	})
	if err != nil {
		panic(err)
	}
	return layer{mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", data: data}
}

const (
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
	testPredicate = "https://in-toto.io/attestation/test-result/v0.1"
)

func collect(t *testing.T, s *store, by ...signer) (gatekeeper.Signed, error) {
	t.Helper()
	var authorities []policy.Authority
	for _, b := range by {
		authorities = append(authorities, b.authority)
	}
	return collector(s).CollectSigned(t.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, authorities)
}

func collector(s signature.Source) *signature.Collector {
	return signature.New(signature.Deps{Source: s, Verifier: here{}, TrustRoots: noRoots{}, Now: time.Now})
}

// here verifies in this process.
type here struct{}

func (here) Verify(_ context.Context, trust verify.Trust, item verify.Item) (verify.Answer, error) {
	trusted, err := verify.Prepare(trust)
	if err != nil {
		return verify.Answer{}, err
	}
	return trusted.Verify(item) //nolint:contextcheck // it is a function of bytes
}

type noRoots struct{}

func (noRoots) TrustRoot(_ context.Context, name string) (verify.TrustRoot, error) {
	return verify.TrustRoot{}, fmt.Errorf("no trust root %s", name)
}

func TestSignaturesOfEveryKeyTypeVerifyInEveryForm(t *testing.T) {
	for _, kind := range []string{"ECDSA P-256", "ECDSA P-384", "Ed25519", "RSA"} {
		t.Run(kind, func(t *testing.T) {
			ci := newSigner(t, kind)
			s := newStore()
			s.putTag(sigTag, ci.simple(subject))
			s.putTag(attTag, ci.envelope(statement(subject, testPredicate, `{"result":"PASSED"}`)))
			s.putReferrer(ci.bundle(statement(subject, signPredicate, `{}`)))
			s.putReferrer(ci.bundle(statement(subject, testPredicate, `{"result":"PASSED"}`)))
			got, err := collect(t, s, newSigner(t, kind), ci)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Signatures) != 2 || len(got.Attestations) != 2 {
				t.Fatalf("got %d signatures and %d attestations, want 2 and 2: %+v", len(got.Signatures), len(got.Attestations), got)
			}
			for _, sig := range got.Signatures {
				if diff := cmp.Diff([]string{ci.authority.ID}, sig.VerifiedBy); diff != "" || sig.Result != policy.Verified {
					t.Errorf("%s: %s %s\n%s", sig.Form, sig.Result, sig.Reason, diff)
				}
			}
			for _, a := range got.Attestations {
				if a.Result != policy.Verified || a.PredicateType != testPredicate || string(a.Predicate) != `{"result":"PASSED"}` {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// asked records which tags are read.
type asked struct {
	*store
	tags *[]string
}

func (a asked) ManifestByTag(ctx context.Context, r registry.Repository, tag string) (registry.Content, error) {
	*a.tags = append(*a.tags, tag)
	return a.store.ManifestByTag(ctx, r, tag)
}

// Where only attestations are asked for, signatures are neither read nor told.
func TestAttestationsAlone(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putTag(sigTag, ci.simple(subject))
	s.putTag(attTag, ci.envelope(statement(subject, testPredicate, `{"a":1}`)))
	s.putReferrer(ci.simple(subject))
	s.putReferrer(ci.bundle(statement(subject, signPredicate, `{}`)))
	s.putReferrer(ci.bundle(statement(subject, testPredicate, `{"b":1}`)))
	var tags []string
	got, err := collector(asked{s, &tags}).CollectAttestations(t.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{ci.authority})
	if err != nil || len(got) != 2 || got[0].Result != policy.Verified || got[1].Result != policy.Verified {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{attTag}, tags); diff != "" {
		t.Error(diff)
	}
}

// Everything that is not a good signature has a result that says what it is.
func TestWhatIsNoGoodSignatureIsToldApart(t *testing.T) {
	ci, stranger := newSigner(t, "ECDSA P-256"), newSigner(t, "ECDSA P-256")
	broken := func(l layer, change func(*layer)) layer { change(&l); return l }
	annotate := func(value string) func(*layer) {
		return func(l *layer) { l.annotations = map[string]string{"dev.cosignproject.cosign/signature": value} }
	}
	tests := map[string]struct {
		put  func(*store)
		want policy.Verification
	}{
		"a stranger's":    {func(s *store) { s.putTag(sigTag, stranger.simple(subject)) }, policy.UnknownSigner},
		"another image's": {func(s *store) { s.putTag(sigTag, ci.simple(other)) }, policy.Invalid},
		"payload cut off": {func(s *store) { s.putTag(sigTag, broken(ci.simple(subject), func(l *layer) { l.data = l.data[:20] })) }, policy.Malformed},
		"payload changed": {func(s *store) {
			s.putTag(sigTag, broken(ci.simple(subject), func(l *layer) { l.data = append(l.data, ' ') }))
		}, policy.UnknownSigner},
		"no base64":    {func(s *store) { s.putTag(sigTag, broken(ci.simple(subject), annotate("%%%"))) }, policy.Malformed},
		"no signature": {func(s *store) { s.putTag(sigTag, broken(ci.simple(subject), annotate(""))) }, policy.Malformed},
		"wrong media type": {func(s *store) {
			s.putTag(sigTag, broken(ci.simple(subject), func(l *layer) { l.mediaType = "text/plain" }))
		}, policy.Malformed},
		"digest named twice": {func(s *store) {
			payload := []byte(`{"critical":{"image":{"docker-manifest-digest":"` + other + `","Docker-Manifest-Digest":"` + subject + `"},"type":"cosign container image signature"}}`)
			s.putTag(sigTag, layer{"application/vnd.dev.cosign.simplesigning.v1+json", payload, map[string]string{
				"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(ci.sign(payload)),
			}})
		}, policy.Malformed},
		"layer that is gone": {func(s *store) {
			l := ci.simple(subject)
			s.putTag(sigTag, l)
			delete(s.blobs, digestOf(l.data))
		}, policy.Malformed},
		"a stranger's bundle":    {func(s *store) { s.putReferrer(stranger.bundle(statement(subject, signPredicate, "{}"))) }, policy.UnknownSigner},
		"another image's bundle": {func(s *store) { s.putReferrer(ci.bundle(statement(other, signPredicate, "{}"))) }, policy.Invalid},
		"bundle cut off": {func(s *store) {
			s.putReferrer(broken(ci.bundle(statement(subject, signPredicate, "{}")), func(l *layer) { l.data = l.data[:50] }))
		}, policy.Malformed},
		"bundle with a key twice": {func(s *store) {
			s.putReferrer(broken(ci.bundle(statement(subject, signPredicate, "{}")), func(l *layer) {
				l.data = []byte(strings.Replace(string(l.data), "{", `{"mediaType":"x",`, 1))
			}))
		}, policy.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			tt.put(s)
			got, err := collect(t, s, ci)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Signatures) != 1 || got.Signatures[0].Result != tt.want || got.Signatures[0].Reason == "" {
				t.Errorf("got %+v, want one %s with a reason", got.Signatures, tt.want)
			}
		})
	}
}

func TestAttestationsAreNoSignatures(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putReferrer(ci.bundle(statement(subject, testPredicate, "{}")))
	s.putTag(attTag, ci.envelope(statement(subject, signPredicate, "{}")))
	got, err := collect(t, s, ci)
	if err != nil || len(got.Signatures) != 0 || len(got.Attestations) != 2 {
		t.Errorf("got %+v, %v; want two attestations and no signature", got, err)
	}
}

func TestAPredicateIsKeptOnlyWhenVerified(t *testing.T) {
	ci, stranger := newSigner(t, "ECDSA P-256"), newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putTag(attTag, stranger.envelope(statement(subject, testPredicate, `{"result":"PASSED"}`)), ci.envelope(statement(other, testPredicate, `{"result":"PASSED"}`)))
	got, err := collect(t, s, ci)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got.Attestations {
		if a.Predicate != nil || a.Result == policy.Verified {
			t.Errorf("%+v", a)
		}
	}
}

func TestFailuresAreErrorsAndAbsenceIsNone(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	got, err := collect(t, newStore(), ci)
	if err != nil || len(got.Signatures)+len(got.Attestations) != 0 {
		t.Errorf("nothing there: got %+v, %v", got, err)
	}
	s := newStore()
	s.fail = errors.New("the registry does not answer")
	if _, err := collect(t, s, ci); !errors.Is(err, s.fail) {
		t.Errorf("the registry fails: got %v", err)
	}
	s = newStore()
	var many []layer
	for range 101 {
		many = append(many, ci.simple(subject))
	}
	s.putTag(sigTag, many...)
	if _, err := collect(t, s, ci); err == nil || !strings.Contains(err.Error(), "at most 100 are judged") {
		t.Errorf("too many signatures: got %v", err)
	}
}

func FuzzSimpleSigning(f *testing.F) {
	ci := newSigner(f, "ECDSA P-256")
	good := ci.simple(subject)
	f.Add(good.data, good.annotations["dev.cosignproject.cosign/signature"])
	f.Fuzz(func(t *testing.T, payload []byte, sig string) {
		s := newStore()
		s.putTag(sigTag, layer{good.mediaType, payload, map[string]string{"dev.cosignproject.cosign/signature": sig}})
		if _, err := collect(t, s, ci); err != nil {
			t.Error(err)
		}
	})
}

func FuzzBundle(f *testing.F) {
	ci := newSigner(f, "ECDSA P-256")
	f.Add(ci.bundle(statement(subject, signPredicate, "{}")).data)
	f.Add(ci.envelope(statement(subject, testPredicate, "{}")).data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newStore()
		s.putReferrer(layer{mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", data: data})
		s.putTag(attTag, layer{mediaType: "application/vnd.dsse.envelope.v1+json", data: data})
		if _, err := collect(t, s, ci); err != nil {
			t.Error(err)
		}
	})
}
