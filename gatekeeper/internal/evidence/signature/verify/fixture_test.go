package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	prototrust "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Who signs in these tests, and who vouches for it.
const (
	workflow = "https://ci.example/acme/app/.github/workflows/release.yml@refs/tags/v1"
	stranger = "https://ci.example/mallory/app/.github/workflows/release.yml@refs/tags/v1"
	issuer   = "https://token.ci.example"
)

// instance is a Sigstore instance in memory. Each of its parts can be given
// any validity, and be made to lie.
type instance struct {
	tb            testing.TB
	now           time.Time // when everything is signed
	root, issuing *certificate
	logs, ctlogs  []*logKey
	tsas          []*tsa
}

// newInstance returns one with a log, a certificate transparency log and a
// timestamp authority.
func newInstance(tb testing.TB) *instance {
	tb.Helper()
	in := &instance{tb: tb, now: time.Now().Add(-time.Hour).Truncate(time.Second)}
	in.root = in.certify(authority("root"), nil)
	in.issuing = in.certify(authority("issuing"), in.root)
	in.logs, in.ctlogs = []*logKey{in.newLog("log.example")}, []*logKey{in.newLog("ct.example")}
	in.tsas = []*tsa{in.newTSA("clock")}
	return in
}

// certificate is one with its key.
type certificate struct {
	*x509.Certificate

	key *ecdsa.PrivateKey
}

func (in *instance) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		in.tb.Fatal(err)
	}
	return key
}

// authority is the template of a certificate authority.
func authority(name string, changes ...func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"acme"}}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

// certify signs a template; with itself when there is no parent. It is valid
// for a day around now unless it says otherwise.
func (in *instance) certify(template *x509.Certificate, parent *certificate) *certificate {
	c := &certificate{key: in.newKey()}
	c.Certificate = in.sign(template, parent, c.key)
	return c
}

func (in *instance) sign(template *x509.Certificate, parent *certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	in.tb.Helper()
	if template.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			in.tb.Fatal(err)
		}
		template.SerialNumber = serial
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = in.now.Add(-12 * time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = in.now.Add(12 * time.Hour)
	}
	if parent == nil {
		parent = &certificate{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		in.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		in.tb.Fatal(err)
	}
	return cert
}

// logKey is the key of a log.
type logKey struct {
	key         *ecdsa.PrivateKey
	id          [32]byte
	host        string
	from, until time.Time
}

func (in *instance) newLog(host string) *logKey {
	key := in.newKey()
	return &logKey{key: key, id: sha256.Sum256(in.pkix(key)), host: host, from: in.now.Add(-24 * time.Hour), until: in.now.Add(24 * time.Hour)}
}

func (in *instance) pkix(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		in.tb.Fatal(err)
	}
	return der
}

// tsa is a timestamp authority.
type tsa struct {
	leaf, root  *certificate
	uri         string
	from, until time.Time
}

func (in *instance) newTSA(name string) *tsa {
	root := in.certify(authority(name+" root"), nil)
	return &tsa{
		leaf: in.certify(clock(name), root), root: root, uri: "https://" + name + ".example",
		from: in.now.Add(-24 * time.Hour), until: in.now.Add(24 * time.Hour),
	}
}

// clock is the template of a timestamp authority's leaf (RFC 3161, 2.3).
func clock(name string) *x509.Certificate {
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
}

// stamp is a timestamp over a signature.
func (in *instance) stamp(t *tsa, sig []byte, at time.Time) []byte {
	in.tb.Helper()
	sum := sha256.Sum256(sig)
	stamp := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: at, Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
	der, err := stamp.CreateResponseWithOpts(t.leaf.Certificate, t.leaf.key, crypto.SHA256)
	if err != nil {
		in.tb.Fatal(err)
	}
	return der
}

// trustedRoot is the instance's trusted_root.json.
func (in *instance) trustedRoot() []byte {
	window := func(from, until time.Time) *protocommon.TimeRange {
		return &protocommon.TimeRange{Start: timestamppb.New(from), End: timestamppb.New(until)}
	}
	logs := func(keys []*logKey) []*prototrust.TransparencyLogInstance {
		var all []*prototrust.TransparencyLogInstance
		for _, l := range keys {
			all = append(all, &prototrust.TransparencyLogInstance{
				BaseUrl: "https://" + l.host, HashAlgorithm: protocommon.HashAlgorithm_SHA2_256, LogId: &protocommon.LogId{KeyId: l.id[:]},
				PublicKey: &protocommon.PublicKey{
					RawBytes: in.pkix(l.key), KeyDetails: protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, ValidFor: window(l.from, l.until),
				},
			})
		}
		return all
	}
	chain := func(uri string, from, until time.Time, certs ...*certificate) *prototrust.CertificateAuthority {
		ca := &prototrust.CertificateAuthority{Uri: uri, ValidFor: window(from, until), CertChain: &protocommon.X509CertificateChain{}}
		for _, c := range certs {
			ca.CertChain.Certificates = append(ca.CertChain.Certificates, &protocommon.X509Certificate{RawBytes: c.Raw})
		}
		return ca
	}
	pb := &prototrust.TrustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1", Tlogs: logs(in.logs), Ctlogs: logs(in.ctlogs),
		CertificateAuthorities: []*prototrust.CertificateAuthority{
			chain("https://ca.example", in.now.Add(-240*time.Hour), in.now.Add(240*time.Hour), in.issuing, in.root),
		},
	}
	for _, t := range in.tsas {
		pb.TimestampAuthorities = append(pb.TimestampAuthorities, chain(t.uri, t.from, t.until, t.leaf, t.root))
	}
	data, err := protojson.Marshal(pb)
	if err != nil {
		in.tb.Fatal(err)
	}
	return data
}

// What trust roots ask for: the default; two of everything; no log.
func byDefault() verify.Require {
	return verify.Require{CertificateTimestamps: 1, LogEntries: 1, Timestamps: 1}
}

func byClocks() verify.Require { return verify.Require{CertificateTimestamps: 1, Timestamps: 1} }

// leaf is a short-lived certificate for a workflow, with the timestamps of
// the certificate transparency logs in it (RFC 6962, 3.3).
func (in *instance) leaf(subject string, changes ...func(*x509.Certificate)) *certificate {
	return in.leafIn(in.ctlogs, subject, changes...)
}

func (in *instance) leafIn(ctlogs []*logKey, subject string, changes ...func(*x509.Certificate)) *certificate {
	in.tb.Helper()
	uri, err := url.Parse(subject)
	if err != nil {
		in.tb.Fatal(err)
	}
	vouched, err := asn1.Marshal(issuer)
	if err != nil {
		in.tb.Fatal(err)
	}
	template := &x509.Certificate{
		NotBefore: in.now.Add(-5 * time.Minute), NotAfter: in.now.Add(5 * time.Minute), URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: vouched}},
	}
	for _, change := range changes {
		change(template)
	}
	c := &certificate{key: in.newKey()}
	c.Certificate = in.sign(template, in.issuing, c.key)
	if len(ctlogs) > 0 {
		template.ExtraExtensions = append(template.ExtraExtensions, in.logged(c.Certificate, ctlogs))
		c.Certificate = in.sign(template, in.issuing, c.key)
	}
	return c
}

// logged is the extension with signed certificate timestamps.
func (in *instance) logged(pre *x509.Certificate, ctlogs []*logKey) pkix.Extension {
	var list []byte
	issuerKey := sha256.Sum256(in.issuing.RawSubjectPublicKeyInfo)
	for _, l := range ctlogs {
		at := binary.BigEndian.AppendUint64(nil, uint64(in.now.UnixMilli()))
		message := append([]byte{0, 0}, at...)
		message = append(message, 0, 1)
		message = append(message, issuerKey[:]...)
		message = append(message, binary.BigEndian.AppendUint32(nil, uint32(len(pre.RawTBSCertificate)))[1:]...)
		message = append(append(message, pre.RawTBSCertificate...), 0, 0)
		sig := in.signWith(l.key, message)
		sct := append([]byte{0}, l.id[:]...)
		sct = append(append(sct, at...), 0, 0, 4, 3)
		sct = append(binary.BigEndian.AppendUint16(sct, uint16(len(sig))), sig...)
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(sct))), sct...)
	}
	value, err := asn1.Marshal(append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
	if err != nil {
		in.tb.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}
}

func (in *instance) signWith(key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		in.tb.Fatal(err)
	}
	return sig
}

// The forms that evidence is written in.
type form string

const (
	sig    form = ".sig"
	att    form = ".att"
	bundle form = "bundle"
)

func forms() []form { return []form{sig, att, bundle} }

// subjectDigest is the image that evidence is about.
func subjectDigest() string { return "sha256:" + strings.Repeat("ab", 32) }

// evidence is what an item is made of. Tests exchange parts of it.
type evidence struct {
	form        form
	cert        []byte // DER; nil for a key
	payload     []byte
	payloadType string
	signature   []byte
	entries     []*protorekor.TransparencyLogEntry
	timestamps  [][]byte
}

// payloadOf is what is signed about an image in a form.
func payloadOf(f form, digest string) []byte {
	if f == sig {
		return []byte(`{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"` + digest + `"},"type":"cosign container image signature"},"optional":null}`)
	}
	predicateType := verify.PredicateSignature
	if f == att {
		predicateType = "https://in-toto.io/attestation/test-result/v0.1"
	}
	return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"` + strings.TrimPrefix(digest, "sha256:") +
		`"}}],"predicateType":"` + predicateType + `","predicate":{"result":"PASSED"}}`)
}

// message is what the signature is over.
func (e evidence) message() []byte {
	if e.form == sig {
		return e.payload
	}
	return dsse.PAE(e.payloadType, e.payload)
}

// signed makes a payload's evidence, with a log entry in every log and a
// timestamp by every authority.
func (in *instance) signed(f form, by *certificate, payload []byte) evidence {
	in.tb.Helper()
	e := evidence{form: f, payload: payload, payloadType: "application/vnd.in-toto+json"}
	if by.Certificate != nil {
		e.cert = by.Raw
	}
	e.signature = in.signWith(by.key, e.message())
	for i, l := range in.logs {
		e.entries = append(e.entries, in.entry(l, e, by, in.now, int64(1000+i)))
	}
	for _, t := range in.tsas {
		e.timestamps = append(e.timestamps, in.stamp(t, e.signature, in.now))
	}
	return e
}

// of is the evidence of somebody about the image.
func (in *instance) of(f form, by *certificate) evidence {
	return in.signed(f, by, payloadOf(f, subjectDigest()))
}

// entry is a log entry about a signature, with the log's promise and the
// proof that it is the log's only entry.
func (in *instance) entry(l *logKey, e evidence, by *certificate, at time.Time, index int64) *protorekor.TransparencyLogEntry {
	in.tb.Helper()
	verifier := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: in.pkix(by.key)})
	if e.cert != nil {
		verifier = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert})
	}
	sum := sha256.Sum256(e.payload)
	hash := map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
	kind, spec := "hashedrekord", map[string]any{
		"data": map[string]any{"hash": hash}, "signature": map[string]any{"content": e.signature, "publicKey": map[string]any{"content": verifier}},
	}
	if e.form != sig {
		kind, spec = "dsse", map[string]any{
			"envelopeHash": hash, "payloadHash": hash,
			"signatures": []any{map[string]any{"signature": base64.StdEncoding.EncodeToString(e.signature), "verifier": verifier}},
		}
	}
	return in.logEntry(l, kind, "0.0.1", in.json(map[string]any{"apiVersion": "0.0.1", "kind": kind, "spec": spec}), at, index)
}

func (in *instance) logEntry(l *logKey, kind, version string, body []byte, at time.Time, index int64) *protorekor.TransparencyLogEntry {
	leafHash := sha256.Sum256(append([]byte{0}, body...))
	return &protorekor.TransparencyLogEntry{
		LogIndex: index, LogId: &protocommon.LogId{KeyId: l.id[:]}, KindVersion: &protorekor.KindVersion{Kind: kind, Version: version},
		IntegratedTime: at.Unix(), CanonicalizedBody: body,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: in.promise(l, body, at, index)},
		InclusionProof: &protorekor.InclusionProof{
			TreeSize: 1, RootHash: leafHash[:], Checkpoint: &protorekor.Checkpoint{Envelope: in.checkpoint(l, leafHash[:])},
		},
	}
}

// promise is the log's signature over an entry.
func (in *instance) promise(l *logKey, body []byte, at time.Time, index int64) []byte {
	return in.signWith(l.key, in.json(map[string]any{
		"body": body, "integratedTime": at.Unix(), "logID": hex.EncodeToString(l.id[:]), "logIndex": index,
	}))
}

// checkpoint is the log's signature over a tree of one entry.
func (in *instance) checkpoint(l *logKey, root []byte) string {
	text := fmt.Sprintf("%s - 42\n1\n%s\n", l.host, base64.StdEncoding.EncodeToString(root))
	signature := append(bytes.Clone(l.id[:4]), in.signWith(l.key, []byte(text))...)
	return fmt.Sprintf("%s\n— %s %s\n", text, l.host, base64.StdEncoding.EncodeToString(signature))
}

func (in *instance) json(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		in.tb.Fatal(err)
	}
	return data
}

// item writes the evidence in its form.
func (e evidence) item(tb testing.TB) verify.Item {
	tb.Helper()
	item := verify.Item{Subject: gatekeeper.Descriptor{Digest: subjectDigest()}}
	switch e.form {
	case sig:
		item.MediaType, item.Data, item.Annotations = verify.TypeSimpleSigning, e.payload, e.annotations(tb)
		item.Annotations["dev.cosignproject.cosign/signature"] = base64.StdEncoding.EncodeToString(e.signature)
	case att:
		item.MediaType, item.Annotations = verify.TypeDSSE, e.annotations(tb)
		item.Data = mustJSON(tb, map[string]any{"payloadType": e.payloadType, "payload": e.payload, "signatures": []any{map[string]any{"sig": e.signature}}})
	case bundle:
		item.MediaType, item.Data = "application/vnd.dev.sigstore.bundle.v0.3+json", e.bundle(tb)
	}
	return item
}

// annotations are those of the older forms: for one log entry and one
// timestamp.
func (e evidence) annotations(tb testing.TB) map[string]string {
	tb.Helper()
	a := map[string]string{}
	if e.cert != nil {
		a["dev.sigstore.cosign/certificate"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert}))
	}
	if len(e.entries) > 0 {
		entry := e.entries[0]
		a["dev.sigstore.cosign/bundle"] = string(mustJSON(tb, map[string]any{
			"SignedEntryTimestamp": entry.GetInclusionPromise().GetSignedEntryTimestamp(),
			"Payload": map[string]any{
				"body": entry.GetCanonicalizedBody(), "integratedTime": entry.GetIntegratedTime(), "logIndex": entry.GetLogIndex(),
				"logID": hex.EncodeToString(entry.GetLogId().GetKeyId()),
			},
		}))
	}
	if len(e.timestamps) > 0 {
		a["dev.sigstore.cosign/rfc3161timestamp"] = string(mustJSON(tb, map[string]any{"SignedRFC3161Timestamp": e.timestamps[0]}))
	}
	return a
}

func (e evidence) bundle(tb testing.TB) []byte {
	tb.Helper()
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "any"}}, TlogEntries: e.entries,
	}
	if e.cert != nil {
		material.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: e.cert}}
	}
	if len(e.timestamps) > 0 {
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{}
		for _, t := range e.timestamps {
			material.TimestampVerificationData.Rfc3161Timestamps = append(material.TimestampVerificationData.Rfc3161Timestamps,
				&protocommon.RFC3161SignedTimestamp{SignedTimestamp: t})
		}
	}
	data, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: e.payloadType, Payload: e.payload, Signatures: []*protodsse.Signature{{Sig: e.signature}},
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// trusting makes a verifier that trusts the instance and some keys.
func (in *instance) trusting(require verify.Require, keys ...verify.Key) *verify.Trusted {
	in.tb.Helper()
	trusted, err := verify.Prepare(verify.Trust{
		Keys: keys, TrustRoots: []verify.TrustRoot{{Name: "acme", Keyless: true, Require: require, Content: in.trustedRoot()}},
	})
	if err != nil {
		in.tb.Fatal(err)
	}
	return trusted
}

// keyInLog is a public key whose signatures have to be in the instance's log.
func (in *instance) keyInLog(key *ecdsa.PrivateKey) verify.Key {
	return verify.Key{ID: "ci", PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: in.pkix(key)}), TrustRoot: "acme"}
}

// judge verifies an item, which has to be judged.
func judge(tb testing.TB, trusted *verify.Trusted, item verify.Item) verify.Answer {
	tb.Helper()
	answer, err := trusted.Verify(item)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// wantVerified asks that an item verifies, so that what is done to it next is
// what makes it fail.
func wantVerified(tb testing.TB, trusted *verify.Trusted, e evidence) {
	tb.Helper()
	if a := judge(tb, trusted, e.item(tb)); a.Result != policy.Verified {
		tb.Fatalf("%s: before the attack: %s: %s", e.form, a.Result, a.Reason)
	}
}

// wantRefused asks that an item verifies as nobody's, and says why.
func wantRefused(tb testing.TB, trusted *verify.Trusted, item verify.Item, want policy.Verification, because string) {
	tb.Helper()
	a := judge(tb, trusted, item)
	if a.Result != want || !strings.Contains(a.Reason, because) || len(a.VerifiedBy)+len(a.Identities)+len(a.Predicate) > 0 {
		tb.Errorf("%s: got %+v, want %s because %q", item.MediaType, a, want, because)
	}
}
