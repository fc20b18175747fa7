package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// readList reads a revocation list (RFC 5280, section 5) and looks for the
// certificate in it. Entries for whatever reason count, certificateHold too.
// Delta lists are not read: the full list holds until it expires.
func readList(body []byte, names []string, certificate, issuer *x509.Certificate, now time.Time) (verdict, error) {
	l, err := splitList(body)
	if err != nil {
		return verdict{}, fmt.Errorf("its list is of no use: %w", err)
	}
	if err := l.by(certificate, issuer); err != nil {
		return verdict{}, err
	}
	if err := current(l.head.ThisUpdate, l.head.NextUpdate, now); err != nil {
		return verdict{}, fmt.Errorf("its list: %w", err)
	}
	if err := l.covers(names, certificate); err != nil {
		return verdict{}, fmt.Errorf("its list: %w", err)
	}
	revoked, err := l.has(certificate.SerialNumber)
	return verdict{revoked: revoked, until: l.head.NextUpdate}, err
}

// split is a list in two parts. crypto/x509 would make ten times its bytes of
// the entries, before it is known who wrote them.
type split struct {
	signed  []byte // what the signature is about
	entries cryptobyte.String
	head    *x509.RevocationList // without entries
}

var errNotDER = errors.New("it is no revocation list in DER")

func splitList(body []byte) (split, error) {
	in := cryptobyte.String(body)
	var outer, signed, tbs, rest cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Element(&signed, cbasn1.SEQUENCE) {
		return split{}, errNotDER
	}
	rest = outer // algorithm and signature
	s := split{signed: signed}
	if !signed.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return split{}, errNotDER
	}
	whole := tbs
	var skipped cryptobyte.String
	if !tbs.ReadASN1(&skipped, cbasn1.INTEGER) || !tbs.ReadASN1(&skipped, cbasn1.SEQUENCE) || !tbs.ReadASN1(&skipped, cbasn1.SEQUENCE) || !skipTime(&tbs) {
		return split{}, errNotDER
	}
	if tbs.PeekASN1Tag(cbasn1.UTCTime) || tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
		skipTime(&tbs)
	}
	before := whole[:len(whole)-len(tbs)]
	if tbs.PeekASN1Tag(cbasn1.SEQUENCE) && !tbs.ReadASN1(&s.entries, cbasn1.SEQUENCE) {
		return split{}, errNotDER
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			b.AddBytes(tbs) // extensions
		})
		b.AddBytes(rest)
	})
	head, err := b.Bytes()
	if err != nil {
		return split{}, err
	}
	s.head, err = x509.ParseRevocationList(head)
	return s, err
}

func skipTime(in *cryptobyte.String) bool {
	var skipped cryptobyte.String
	var tag cbasn1.Tag
	return in.ReadAnyASN1(&skipped, &tag) && (tag == cbasn1.UTCTime || tag == cbasn1.GeneralizedTime)
}

// by checks that the certificate's issuer signed the list, and may.
func (s split) by(certificate, issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(s.head.RawIssuer, certificate.RawIssuer):
		return errors.New("its list is another authority's")
	case !issuer.IsCA || issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return errors.New("the certificate's issuer may not sign revocation lists")
	}
	if err := issuer.CheckSignature(s.head.SignatureAlgorithm, s.signed, s.head.Signature); err != nil {
		return fmt.Errorf("its list is not signed by the certificate's issuer: %w", err)
	}
	return nil
}

// covers checks that the list speaks about the certificate if it does not name
// it: that it is not one of several parts, and nothing in it is unknown. A
// delta list is refused here, by its critical extension.
func (s split) covers(names []string, certificate *x509.Certificate) error {
	for _, e := range s.head.Extensions {
		switch {
		case e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 28}):
			if err := checkScope(e.Value, names, certificate.IsCA); err != nil {
				return err
			}
		case e.Critical:
			return fmt.Errorf("the critical extension %s is not known", e.Id)
		}
	}
	return nil
}

// checkScope reads an IssuingDistributionPoint (RFC 5280, sections 5.2.5 and
// 6.3.3 (b) (2)).
func checkScope(value []byte, names []string, authority bool) error {
	in := cryptobyte.String(value)
	var sequence cryptobyte.String
	if !in.ReadASN1(&sequence, cbasn1.SEQUENCE) || !in.Empty() {
		return errNotDER
	}
	for !sequence.Empty() {
		var part cryptobyte.String
		var tag cbasn1.Tag
		if !sequence.ReadAnyASN1(&part, &tag) {
			return errNotDER
		}
		yes := len(part) == 1 && part[0] != 0
		switch {
		case tag == contextTag(0).Constructed():
			p, ok := readName(part)
			if !ok || !slices.ContainsFunc(p.names, func(n string) bool { return slices.Contains(names, n) }) {
				return errors.New("it is for another distribution point than the certificate's")
			}
		case tag == contextTag(1) && yes && authority, tag == contextTag(2) && yes && !authority, tag == contextTag(5) && yes:
			return errors.New("it is for another kind of certificate")
		case tag == contextTag(3), tag == contextTag(4) && yes:
			return errors.New("it is for some reasons alone, or by another authority")
		}
	}
	return nil
}

// has looks for a serial number.
func (s split) has(serial *big.Int) (bool, error) {
	var n big.Int
	for entries := s.entries; !entries.Empty(); {
		var one cryptobyte.String
		if !entries.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1Integer(&n) {
			return false, errNotDER
		}
		if n.Cmp(serial) == 0 {
			return true, nil
		}
	}
	return false, nil
}
