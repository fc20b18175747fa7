package notation

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
)

// Trust is what a Notary Project trust policy says about an image, at the
// level "strict" (trust-store-trust-policy.md).
type Trust struct {
	// Roots is the trust store of type ca: a signature's certificate chain
	// must lead to one of them. 1 to 100; certificate authorities, or
	// self-signed signing certificates.
	Roots []*x509.Certificate
	// TimestampRoots is the trust store of type tsa. When there is one, every
	// signature must carry a time stamp of such an authority (verifyTimestamp
	// "always"), and its certificates must have been valid at that time.
	// Without, they must be valid now. At most 100; root authorities.
	TimestampRoots []*x509.Certificate
	// Identities are the trustedIdentities: "x509.subject: C=US, ST=WA,
	// O=acme" stands for every signing certificate whose subject has these
	// attributes; "*", alone, for every one that leads to a root. 1 to 100,
	// each at most MaxIdentity bytes.
	Identities []string
}

// maxTrusted bounds how many certificates or identities one Trust names.
const maxTrusted = 100

func (t Trust) validate() error {
	if len(t.Roots) == 0 {
		return errors.New("there is no root certificate")
	}
	if n := max(len(t.Roots), len(t.TimestampRoots), len(t.Identities)); n > maxTrusted {
		return fmt.Errorf("%d entries of one kind; the limit is %d", n, maxTrusted)
	}
	for i, c := range t.Roots {
		if c == nil || (!c.IsCA && !selfSigned(c)) {
			return fmt.Errorf("root %d is neither an authority nor self-signed", i+1)
		}
	}
	for i, c := range t.TimestampRoots {
		if c == nil || !c.IsCA || !selfSigned(c) {
			return fmt.Errorf("time stamp root %d is no root authority", i+1)
		}
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
