package notation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// Revocation knows which certificates their issuers withdrew.
type Revocation interface {
	// Revoked says whether the second certificate of a chain has revoked the
	// first. The chain is what leads from it to a certificate of the Trust,
	// with that one's issuer when it is asked about itself. An error means
	// that it is not known.
	Revoked(ctx context.Context, chain []*x509.Certificate) (bool, error)
}

// checkRevocation asks about every certificate of chains that end in their
// roots. One that is revoked decides, whatever is not known about others.
func (v *Verifier) checkRevocation(ctx context.Context, chains ...[]*x509.Certificate) error {
	var unknown error
	for _, chain := range chains {
		for i := range len(chain) - 1 {
			if !revocable(chain[i]) {
				continue
			}
			revoked, err := v.revoked(ctx, chain[i:])
			switch {
			case err != nil && unknown == nil:
				unknown = fail(ErrUndecided, fmt.Errorf("whether the certificate of %q is revoked: %w", chain[i].Subject, err))
			case err == nil && revoked:
				return fail(ErrInvalid, fmt.Errorf("the certificate of %q is revoked", chain[i].Subject))
			}
		}
	}
	return unknown
}

func (v *Verifier) revoked(ctx context.Context, chain []*x509.Certificate) (bool, error) {
	if v.revocation == nil {
		return false, errors.New("its OCSP responder or revocation list cannot be asked from here")
	}
	return v.revocation.Revoked(ctx, chain)
}

// below cuts a chain after the trusted certificate's issuer. Who is above
// says whoever put the chain together: anybody can make a certificate for the
// name and key of an authority, with places of his own to ask in it.
func below(root *x509.Certificate, chain []*x509.Certificate) []*x509.Certificate {
	i := slices.IndexFunc(chain, root.Equal)
	return chain[:min(i+2, len(chain))]
}

// revocable reports whether a certificate names a place to ask, of whatever
// kind: Go lists only the URLs among them, and a directory's entry must not
// look like none. Certificates that name none cannot be revoked; short-lived
// ones are made so (Notary Project, trust-store-trust-policy.md, "Certificate
// revocation evaluation").
func revocable(c *x509.Certificate) bool {
	if len(c.OCSPServer) > 0 || len(c.CRLDistributionPoints) > 0 {
		return true
	}
	var (
		crl    = asn1.ObjectIdentifier{2, 5, 29, 31}                             // RFC 5280, section 4.2.1.13
		delta  = asn1.ObjectIdentifier{2, 5, 29, 46}                             // section 4.2.1.15
		access = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}                // section 4.2.2.1
		ocsp   = []byte{0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 1} // id-ad-ocsp in DER
	)
	for _, e := range c.Extensions {
		if e.Id.Equal(crl) || e.Id.Equal(delta) || (e.Id.Equal(access) && bytes.Contains(e.Value, ocsp)) {
			return true
		}
	}
	return false
}
