package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// Lookup is a certificate of which has to be known whether its issuer revoked
// it. Verify asks only for what a sound signature of a trusted identity about
// the subject depends on.
type Lookup struct {
	// Chain is the certificate, its issuer, and what leads from there to a
	// certificate of the Trust; at most 11 certificates in DER.
	Chain [][]byte `json:"chain"`
}

// The limits of what has to be looked up for one item. A chain has at most
// ten certificates, and the issuer of a trusted one.
const (
	MaxLookups     = 10
	maxChain       = 11
	maxCertificate = 16 << 10 // bytes
)

// Fingerprint is the key of Item.Revoked: a certificate's SHA-256, in hex.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return hex.EncodeToString(sum[:])
}

// errNotKnown makes notation leave the question open.
var errNotKnown = errors.New("not known yet")

// inquiry is a notation.Revocation for one item: it answers what is known and
// writes down the rest.
type inquiry struct {
	known map[string]bool // by Fingerprint
	open  []Lookup
}

// Revoked implements notation.Revocation.
func (q *inquiry) Revoked(_ context.Context, chain []*x509.Certificate) (bool, error) {
	if revoked, ok := q.known[Fingerprint(chain[0].Raw)]; ok {
		return revoked, nil
	}
	same := func(l Lookup) bool { return bytes.Equal(l.Chain[0], chain[0].Raw) }
	if slices.ContainsFunc(q.open, same) {
		return false, errNotKnown
	}
	if len(q.open)+len(q.known) >= MaxLookups {
		return false, fmt.Errorf("more than %d certificates have to be looked up", MaxLookups)
	}
	var l Lookup
	for _, c := range chain {
		l.Chain = append(l.Chain, c.Raw)
	}
	q.open = append(q.open, l)
	return false, errNotKnown
}

// Vouched returns the certificate of a lookup and its issuer, when one of the
// trust's own certificates vouches for both, or is the certificate itself. It
// is the answering side's own check: whoever took over a worker must not
// choose what is asked, and where.
func (t Trust) Vouched(l Lookup) (certificate, issuer *x509.Certificate, err error) {
	if n := len(l.Chain); n < 2 || n > maxChain {
		return nil, nil, fmt.Errorf("a chain of %d certificates; it must have 2 to %d", n, maxChain)
	}
	trusted, err := t.notaryRoots()
	if err != nil {
		return nil, nil, err
	}
	chain := make([]*x509.Certificate, len(l.Chain))
	for i, der := range l.Chain {
		if len(der) > maxCertificate {
			return nil, nil, fmt.Errorf("a certificate of %d bytes; the limit is %d", len(der), maxCertificate)
		}
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	root := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return slices.ContainsFunc(trusted, c.Equal) })
	if root < 0 {
		return nil, nil, errors.New("a certificate that none of the policies' own vouches for")
	}
	// From the top: a key is used only after another has vouched for it.
	for i := max(root, 1) - 1; i >= 0; i-- {
		if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
			return nil, nil, fmt.Errorf("the certificate of %q is not by its issuer: %w", Clean(chain[i].Subject.String()), err)
		}
	}
	return chain[0], chain[1], nil
}

// notaryRoots are the certificates that the notaries name.
func (t Trust) notaryRoots() ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, n := range t.Notaries {
		for _, text := range [][]byte{n.Certificates, n.TimestampCertificates} {
			some, err := certificates(text)
			if err != nil {
				return nil, fmt.Errorf("notary %s: %w", n.ID, err)
			}
			all = append(all, some...)
		}
	}
	return all, nil
}
