package notation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	nx509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/tspclient-go"
)

// maxToken is the largest time stamp token, in bytes.
const maxToken = 64 << 10

// provenTime checks that the certificates were valid when it counts: at the
// time that an authority vouches for, or now when no authority is trusted. It
// returns that time and the authority's certificate chain.
func (v *Verifier) provenTime(
	ctx context.Context, info *signature.SignerInfo, root *x509.Certificate, now time.Time,
) (time.Time, []*x509.Certificate, error) {
	if len(v.trust.TimestampRoots) == 0 {
		return time.Time{}, nil, checkPath(info.CertificateChain, root, &tspclient.Timestamp{Value: now})
	}
	stamp, chain, err := v.timestamp(ctx, info)
	if err != nil {
		return time.Time{}, nil, fail(ErrInvalid, fmt.Errorf("the time stamp: %w", err))
	}
	if err := checkPath(info.CertificateChain, root, stamp); err != nil {
		return time.Time{}, nil, err
	}
	return stamp.Value, chain, nil
}

// checkPath checks every certificate's validity over the whole span in which
// the time lies, and has crypto/x509 decide about what notation-core-go
// leaves out: name constraints and critical extensions that nobody knows.
func checkPath(chain []*x509.Certificate, root *x509.Certificate, at *tspclient.Timestamp) error {
	for _, c := range chain {
		if !at.BoundedAfter(c.NotBefore) || !at.BoundedBefore(c.NotAfter) {
			return fail(ErrInvalid, fmt.Errorf("the certificate of %q is valid from %s to %s, not at %s", c.Subject,
				c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), at.Value.UTC().Format(time.RFC3339)))
		}
	}
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: at.Value, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Roots.AddCert(root)
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return fail(ErrInvalid, fmt.Errorf("the certificate chain: %w", err))
	}
	return nil
}

// timestamp verifies the time stamp countersignature (RFC 3161) over the
// signature and returns it with the certificate chain of its authority.
func (v *Verifier) timestamp(ctx context.Context, info *signature.SignerInfo) (*tspclient.Timestamp, []*x509.Certificate, error) {
	token, err := openToken(info.UnsignedAttributes.TimestampSignature)
	if err != nil {
		return nil, nil, err
	}
	content, err := token.Info()
	if err != nil {
		return nil, nil, err
	}
	stamp, err := content.Validate(info.Signature)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	for _, c := range v.trust.TimestampRoots {
		roots.AddCert(c)
	}
	chain, err := token.Verify(ctx, x509.VerifyOptions{CurrentTime: stamp.Value, Roots: roots})
	if err != nil {
		return nil, nil, err
	}
	return stamp, chain, nx509.ValidateTimestampingCertChain(chain)
}

// openToken reads a token and bounds what verifying it will cost.
func openToken(data []byte) (*tspclient.SignedToken, error) {
	switch {
	case len(data) == 0:
		return nil, errors.New("there is none, and the trust demands one")
	case len(data) > maxToken:
		return nil, fmt.Errorf("%d bytes; the limit is %d", len(data), maxToken)
	}
	token, err := tspclient.ParseSignedToken(data)
	if err != nil {
		return nil, err
	}
	if n := len(token.SignerInfos); n != 1 { // RFC 3161, section 2.4.2
		return nil, fmt.Errorf("%d signers; there must be one", n)
	}
	if n := len(token.Certificates); n > maxChain {
		return nil, fmt.Errorf("%d certificates; the limit is %d", n, maxChain)
	}
	for _, c := range token.Certificates {
		if err := affordable(c); err != nil {
			return nil, err
		}
	}
	return token, nil
}
