package sigstore

import (
	"crypto"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
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
	ctID := s.ct.id()
	entry := func(id []byte, url string, key crypto.PublicKey) (string, *root.TransparencyLog) {
		return hex.EncodeToString(id), &root.TransparencyLog{
			BaseURL: url, ID: id, ValidityPeriodStart: since, HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
		}
	}
	ct, rekor := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	id, log := entry(ctID[:], s.ct.url, s.ct.key.Public())
	ct[id] = log
	for _, l := range []*transparencyLog{s.rekorV1, s.rekorV2} {
		id, log := entry(l.id, l.url, l.key)
		rekor[id] = log
	}
	return root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: s.fulcio.root, ValidityPeriodStart: since, URI: s.fulcio.url}},
		ct, []root.TimestampingAuthority{authority}, rekor)
}

// signingConfig names the services to sign with, logging to one generation of
// Rekor.
func (s *Stack) signingConfig(since time.Time, rekor *transparencyLog, version uint32) (*root.SigningConfig, error) {
	service := func(url string, version uint32) []root.Service {
		return []root.Service{{URL: url, MajorAPIVersion: version, ValidityPeriodStart: since, Operator: operator}}
	}
	one := root.ServiceConfiguration{Selector: v1.ServiceSelector_ANY}
	return root.NewSigningConfig(root.SigningConfigMediaType02,
		service(s.fulcio.url, 1), service(s.issuer.url+emailPath, 1),
		service(rekor.url, version), one, service(s.timestamps.url+timestampPath, 1), one)
}

// writeTrust writes the trusted root and the signing configurations.
func (s *Stack) writeTrust(tb testing.TB) {
	tb.Helper()
	// Clocks of the parts are one, but their times are in whole seconds.
	since := time.Now().Add(-time.Minute)
	trusted, err := s.trustedRoot(since)
	s.TrustedRoot = writeJSONFile(tb, "trusted_root.json", trusted, err)
	v1, err := s.signingConfig(since, s.rekorV1, 1)
	s.SigningConfigV1 = writeJSONFile(tb, "signing_config_v1.json", v1, err)
	v2, err := s.signingConfig(since, s.rekorV2, 2)
	s.SigningConfigV2 = writeJSONFile(tb, "signing_config_v2.json", v2, err)
}

// writeJSONFile writes what a constructor returned, if it did, and returns the
// file's path.
func writeJSONFile(tb testing.TB, name string, v json.Marshaler, err error) string {
	tb.Helper()
	var text []byte
	if err == nil {
		text, err = v.MarshalJSON()
	}
	path := filepath.Join(tb.TempDir(), name)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		tb.Fatal(fmt.Errorf("write %s: %w", name, err))
	}
	return path
}
