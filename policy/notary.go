package policy

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
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
	if err := checkCertificates(ref.Certificates); err != nil {
		return Authority{}, "certificateFile", err
	}
	if ref.TimestampCertificates != "" {
		if err := checkCertificates(ref.TimestampCertificates); err != nil {
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

const subjectExample = "x509.subject: C=US, ST=WA, O=acme"

// checkSubject finds what would make every verification fail later: a
// subject has to name country, state and organisation (Notary Project,
// trust-store-trust-policy.md, "Trusted Identities Constraints").
func checkSubject(id string) error {
	name, ok := strings.CutPrefix(id, "x509.subject:")
	if !ok {
		return errors.New("x509.subject: is not what it begins with")
	}
	if len(id) > maxNotaryIdentity {
		return fmt.Errorf("%d bytes; the limit is %d", len(id), maxNotaryIdentity)
	}
	seen := map[string]bool{}
	for attribute := range strings.SplitSeq(strings.ReplaceAll(name, `\,`, " "), ",") {
		kind, value, _ := strings.Cut(attribute, "=")
		kind = strings.ToUpper(strings.TrimSpace(kind))
		if kind == "S" {
			kind = "ST"
		}
		if seen[kind] || strings.TrimSpace(value) == "" {
			return fmt.Errorf("%s is empty or there twice", cmp.Or(kind, "an attribute"))
		}
		seen[kind] = true
	}
	if !seen["C"] || !seen["ST"] || !seen["O"] {
		return errors.New("one of C, ST and O is missing")
	}
	return nil
}

// maxNotaryIdentity bounds a distinguished name, in bytes.
const maxNotaryIdentity = 1024

func checkCertificates(text string) error {
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return errors.New("no PEM certificate; name a file with the certificates of the authorities")
			}
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("a PEM block of type %s among the certificates", clean(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n+1, err)
		}
	}
}
