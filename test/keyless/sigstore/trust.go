package sigstore

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	trustrootv1 "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// operator is whom the services of a signing configuration belong to.
const operator = "test"

// trustedRoot collects what a verifier has to trust; everything is valid since
// the given time.
func (s *Stack) trustedRoot(since time.Time) (*root.TrustedRoot, error) {
	last := len(s.timestamps.chain) - 1
	authority := &root.SigstoreTimestampingAuthority{
		Root: s.timestamps.chain[last], Intermediates: s.timestamps.chain[1:last], Leaf: s.timestamps.chain[0],
		ValidityPeriodStart: since, URI: s.timestamps.url,
	}
	entry := func(id []byte, url string, key crypto.PublicKey) (string, *root.TransparencyLog) {
		return hex.EncodeToString(id), &root.TransparencyLog{
			BaseURL: url, ID: id, ValidityPeriodStart: since, HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
		}
	}
	ct, rekor := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	if s.ct != nil {
		sum := s.ct.id()
		id, log := entry(sum[:], s.ct.url, s.ct.key.Public())
		ct[id] = log
	}
	for _, l := range s.logs() {
		id, log := entry(l.id, l.url, l.key)
		rekor[id] = log
	}
	return root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: s.fulcio.root, ValidityPeriodStart: since, URI: s.fulcio.url}},
		ct, []root.TimestampingAuthority{authority}, rekor)
}

// logs are the transparency logs of the Stack.
func (s *Stack) logs() []*transparencyLog {
	if s.rekorV1 == nil {
		return nil
	}
	return []*transparencyLog{s.rekorV1, s.rekorV2}
}

// signingConfig names the services to sign with. Clients that log to Rekor v1
// are given addresses instead.
func (s *Stack) signingConfig(since time.Time) (*root.SigningConfig, error) {
	service := func(url string, version uint32) []root.Service {
		return []root.Service{{URL: url, MajorAPIVersion: version, ValidityPeriodStart: since, Operator: operator}}
	}
	one := root.ServiceConfiguration{Selector: trustrootv1.ServiceSelector_ANY}
	return root.NewSigningConfig(root.SigningConfigMediaType02,
		service(s.fulcio.url, 1), service(s.issuer.url+emailPath, 1),
		service(s.rekorV2.url, 2), one, service(s.timestamps.url+timestampPath, 1), one)
}

// writeTrust writes the trusted root, the signing configuration, and the keys
// of the former one by one.
func (s *Stack) writeTrust(tb testing.TB) {
	tb.Helper()
	since := s.writeTrustedRoot(tb)
	services, err := s.signingConfig(since)
	s.SigningConfig = writeJSONFile(tb, "signing_config.json", services, err)
	s.keyFiles = []string{
		"SIGSTORE_ROOT_FILE=" + writeCertificates(tb, "fulcio.pem", s.fulcio.root),
		"SIGSTORE_TSA_CERTIFICATE_FILE=" + writeCertificates(tb, "timestamps.pem", s.timestamps.chain...),
		"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=" + writePublicKey(tb, "ct.pem", s.ct.key.Public()),
		"SIGSTORE_REKOR_PUBLIC_KEY=" + writePublicKey(tb, "rekor.pem", s.rekorV1.key),
	}
}

// writeTrustedRoot writes the trusted root, and returns since when it is valid.
func (s *Stack) writeTrustedRoot(tb testing.TB) time.Time {
	tb.Helper()
	// Clocks of the parts are one, but their times are in whole seconds.
	since := time.Now().Add(-time.Minute)
	trusted, err := s.trustedRoot(since)
	s.TrustedRoot = writeJSONFile(tb, "trusted_root.json", trusted, err)
	return since
}

// writeJSONFile writes what a constructor returned, if it did, and returns the
// file's path.
func writeJSONFile(tb testing.TB, name string, v json.Marshaler, err error) string {
	tb.Helper()
	if err != nil {
		tb.Fatalf("make %s: %v", name, err)
	}
	text, err := v.MarshalJSON()
	if err != nil {
		tb.Fatalf("encode %s: %v", name, err)
	}
	return writeFile(tb, name, text)
}

func writeCertificates(tb testing.TB, name string, chain ...*x509.Certificate) string {
	tb.Helper()
	text, err := cryptoutils.MarshalCertificatesToPEM(chain)
	if err != nil {
		tb.Fatalf("encode %s: %v", name, err)
	}
	return writeFile(tb, name, text)
}

func writePublicKey(tb testing.TB, name string, key crypto.PublicKey) string {
	tb.Helper()
	text, err := cryptoutils.MarshalPublicKeyToPEM(key)
	if err != nil {
		tb.Fatalf("encode %s: %v", name, err)
	}
	return writeFile(tb, name, text)
}

// writeFile writes a file that lasts as long as the test, and returns its path.
func writeFile(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
