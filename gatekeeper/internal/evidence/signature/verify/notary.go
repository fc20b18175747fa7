package verify

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

// notary is an authority of the Notary Project, made ready.
type notary struct {
	id       string
	verifier *notation.Verifier
}

func prepareNotary(n Notary) (notary, error) {
	roots, err := certificates(n.Certificates)
	if err != nil {
		return notary{}, err
	}
	timestampRoots, err := certificates(n.TimestampCertificates)
	if err != nil {
		return notary{}, err
	}
	// A confined process cannot ask whether a certificate was revoked: what
	// is known comes with each item.
	verifier, err := notation.New(notation.Trust{Roots: roots, TimestampRoots: timestampRoots, Identities: n.Identities}, nil)
	return notary{id: n.ID, verifier: verifier}, err
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
}

// notary judges a signature of the Notary Project, or says which revocations
// have to be known to judge it.
func (t *Trusted) notary(item Item) (Answer, error) {
	if len(item.Data) > notation.MaxEnvelope {
		return malformed("it has %d bytes; at most %d are read", len(item.Data), notation.MaxEnvelope).answer(), nil
	}
	var who signers
	known := &inquiry{known: item.Revoked}
	for _, n := range t.notaries {
		asked := len(known.open)
		signer, err := n.verifier.With(known).Verify(context.Background(), item.Data, item.MediaType, item.Subject, item.At)
		if errors.Is(err, errNotKnown) {
			continue
		}
		known.open = known.open[:asked] // decided without, by a revocation that is known
		switch {
		case err == nil:
			who.keys = append(who.keys, n.id)
			who.certificate = "sha256:" + signer.Key
		case errors.Is(err, notation.ErrMalformed):
			return malformed("%v", err).answer(), nil
		case errors.Is(err, notation.ErrInvalid):
			who.invalid = append(who.invalid, err.Error())
		case !errors.Is(err, notation.ErrUnknownSigner):
			return Answer{}, err
		}
	}
	if len(known.open) > 0 {
		return Answer{Lookups: known.open}, nil
	}
	return who.answer(), nil
}
