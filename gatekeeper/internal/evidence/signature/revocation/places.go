package revocation

import (
	"crypto/x509"
	"encoding/asn1"
	"net/url"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The kinds of places.
const (
	responder = "OCSP responder"
	list      = "revocation list"
)

// maxPlaces bounds the places of each kind that are asked about one
// certificate. Authorities name one or two.
const maxPlaces = 3

// place is where a certificate says to ask.
type place struct {
	kind  string
	url   *url.URL
	names []string // of the list's distribution point, in DER
}

// places are what a certificate names and is asked, in this order.
func places(c *x509.Certificate) []place {
	var responders, lists []place
	for _, text := range c.OCSPServer {
		if u := askable(text); u != nil && len(responders) < maxPlaces {
			responders = append(responders, place{kind: responder, url: u})
		}
	}
	for _, point := range points(c) {
		for _, text := range point.urls {
			if u := askable(text); u != nil && len(lists) < maxPlaces {
				lists = append(lists, place{kind: list, url: u, names: point.names})
			}
		}
	}
	return append(responders, lists...)
}

// askable returns a URL by http or https without credentials, or nil.
func askable(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil
	}
	u.Fragment = ""
	return u
}

// point is a distribution point: several names of one list.
type point struct {
	names []string // GeneralName in DER
	urls  []string
}

// points reads the distribution points (RFC 5280, section 4.2.1.13) whose
// lists are by the certificate's issuer and for all reasons: any one of these
// is enough. Of an extension that cannot be read, there are none.
func points(c *x509.Certificate) []point {
	var all []point
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 31}) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var sequence cryptobyte.String
		if !in.ReadASN1(&sequence, cbasn1.SEQUENCE) || !in.Empty() {
			return nil
		}
		for !sequence.Empty() {
			var one cryptobyte.String
			if !sequence.ReadASN1(&one, cbasn1.SEQUENCE) {
				return nil
			}
			if p, ok := readPoint(one); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

func readPoint(in cryptobyte.String) (point, bool) {
	var name cryptobyte.String
	if !in.ReadASN1(&name, contextTag(0).Constructed()) || !in.Empty() { // after it: reasons, or another issuer
		return point{}, false
	}
	return readName(name)
}

// readName reads a DistributionPointName that is a full name. Relative ones
// are deprecated, and of no use without a directory.
func readName(in cryptobyte.String) (p point, ok bool) {
	var full cryptobyte.String
	if !in.ReadASN1(&full, contextTag(0).Constructed()) || !in.Empty() {
		return point{}, false
	}
	for !full.Empty() {
		var element cryptobyte.String
		var tag cbasn1.Tag
		if !full.ReadAnyASN1Element(&element, &tag) {
			return point{}, false
		}
		p.names = append(p.names, string(element))
		var uri cryptobyte.String
		if tag == contextTag(6) && element.ReadASN1(&uri, tag) {
			p.urls = append(p.urls, string(uri))
		}
	}
	return p, true
}

func contextTag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }
