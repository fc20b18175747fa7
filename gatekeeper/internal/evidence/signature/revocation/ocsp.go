package revocation

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// maxSkew is how far an authority's clock may be ahead.
const maxSkew = 5 * time.Minute

// readResponse reads an OCSP response about the certificate.
func readResponse(body []byte, certificate, issuer *x509.Certificate, now time.Time) (verdict, error) {
	r, err := ocsp.ParseResponseForCert(body, certificate, issuer)
	if err != nil {
		return verdict{}, fmt.Errorf("its response is of no use: %w", err)
	}
	if err := entitled(r.Certificate, issuer, now); err != nil {
		return verdict{}, err
	}
	if err := current(r.ThisUpdate, r.NextUpdate, now); err != nil {
		return verdict{}, fmt.Errorf("its response: %w", err)
	}
	switch r.Status {
	case ocsp.Good:
		return verdict{until: r.NextUpdate}, nil
	case ocsp.Revoked:
		return verdict{revoked: true, until: r.NextUpdate}, nil
	default:
		return verdict{}, errors.New("it does not know the certificate")
	}
}

// entitled checks who signed a response: the issuer itself, or somebody whom
// it made a responder (RFC 6960, section 4.2.2.2). That the issuer signed the
// certificate is not enough: so it did for the one that is asked about.
func entitled(signer, issuer *x509.Certificate, now time.Time) error {
	switch {
	case signer == nil || signer.Equal(issuer):
		return nil
	case !bytes.Equal(signer.RawIssuer, issuer.RawSubject):
		return errors.New("its response is signed by a certificate of another authority")
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("its response is signed by a certificate that is not for OCSP")
	case now.Before(signer.NotBefore) || now.After(signer.NotAfter):
		return errors.New("its response is signed by a certificate that is not valid now")
	}
	return nil
}

// current checks that a statement holds now. One without an end could be
// repeated for ever by whoever is on the way.
func current(from, until, now time.Time) error {
	switch {
	case from.After(now.Add(maxSkew)):
		return fmt.Errorf("it holds only from %s", from.UTC().Format(time.RFC3339))
	case until.IsZero():
		return errors.New("it does not say until when it holds")
	case !now.Before(until):
		return fmt.Errorf("it expired at %s", until.UTC().Format(time.RFC3339))
	}
	return nil
}
