package policy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Notary says which signatures of the Notary Project count. The level of
// verification is always strict (Notary Project, trust-store-trust-policy.md).
type Notary struct {
	Certificates          []byte   // PEM: the authorities' certificates
	TimestampCertificates []byte   // PEM: those of timestamp authorities; may be empty
	Identities            []string // "x509.subject: C=US, ST=WA, O=acme"
}

// newNotary reads a Notary Project entry.
func newNotary(ref NotaryReference) (_ Authority, key string, err error) {
	if err := checkCertificates(ref.Certificates, false); err != nil {
		return Authority{}, "certificateFile", err
	}
	if ref.TimestampCertificates != "" {
		if err := checkCertificates(ref.TimestampCertificates, true); err != nil {
			return Authority{}, "timestampCertificateFile", err
		}
	}
	if len(ref.Identities) == 0 || len(ref.Identities) > maxAnyOf {
		return Authority{}, "identities", fmt.Errorf(`%d entries; write at least one like %q, and at most %d`, len(ref.Identities), subjectExample, maxAnyOf)
	}
	for _, id := range ref.Identities {
		if err := checkSubject(id); err != nil {
			return Authority{}, "identities", fmt.Errorf("%q: %w; write for example %q", clean(id), err, subjectExample)
		}
	}
	return Authority{ID: idOf("notary", ref), Notary: &Notary{
		Certificates: []byte(ref.Certificates), TimestampCertificates: []byte(ref.TimestampCertificates), Identities: ref.Identities,
	}}, "", nil
}

// maxCertificates bounds the certificates of one kind.
const maxCertificates = 100

// checkCertificates finds what would make every verification fail later.
// Those of timestamp authorities have to be roots.
func checkCertificates(text string, timestamps bool) error {
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && n == 0:
			return errors.New("no PEM certificate; name a file with the certificates of the authorities")
		case block == nil:
			return nil
		case n == maxCertificates:
			return fmt.Errorf("more than %d certificates; name only those of the authorities you trust", maxCertificates)
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("a PEM block of type %s among the certificates", clean(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return fmt.Errorf("certificate %d: %w", n+1, err)
		case timestamps && (!c.IsCA || !selfSigned(c)):
			return fmt.Errorf("certificate %d is no root authority; name the root of the timestamp authority", n+1)
		case !c.IsCA && !selfSigned(c):
			return fmt.Errorf("certificate %d is neither an authority nor self-signed; name the one that issued it", n+1)
		}
	}
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
