package notation

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MaxIdentity is the longest trusted identity, in bytes. An X.520 attribute
// has at most 128 characters (RFC 5280, appendix A), and there are nine.
const MaxIdentity = 1024

const (
	anyone        = "*"
	prefixSubject = "x509.subject:"
)

// identity is what a subject must have: values by attribute type. An empty
// one, which only "*" makes, asks for nothing.
type identity map[string]string

func parseIdentities(texts []string) ([]identity, error) {
	if len(texts) == 0 {
		return nil, errors.New(`there is no trusted identity; "*" stands for all`)
	}
	out := make([]identity, 0, len(texts))
	for i, text := range texts {
		id, err := parseIdentity(text)
		if err != nil {
			return nil, fmt.Errorf("trusted identity %d: %w", i+1, err)
		}
		if len(id) == 0 && len(texts) > 1 {
			return nil, errors.New(`the trusted identity "*" must be the only one`)
		}
		out = append(out, id)
	}
	return out, nil
}

func parseIdentity(text string) (identity, error) {
	if len(text) > MaxIdentity {
		return nil, fmt.Errorf("%d bytes; the limit is %d", len(text), MaxIdentity)
	}
	if text == anyone {
		return identity{}, nil
	}
	name, ok := strings.CutPrefix(text, prefixSubject)
	if !ok {
		return nil, fmt.Errorf("%q does not begin with %q", text, prefixSubject)
	}
	id, err := parseName(name)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	for _, mandatory := range []string{"C", "ST", "O"} {
		if id[mandatory] == "" {
			return nil, fmt.Errorf("%q: C, ST and O must be there", text)
		}
	}
	return id, nil
}

// parseName reads a distinguished name in the form of RFC 4514, section 3, as
// far as the Notary Project has it: single-valued, every attribute once, no
// "#" values. Those would be decoded as BER, with memory as the value demands
// (CVE-2023-25656).
func parseName(name string) (identity, error) {
	id := identity{}
	for {
		kind, rest, ok := strings.Cut(name, "=")
		if !ok {
			return nil, errors.New("an attribute without a value")
		}
		kind = strings.ToUpper(strings.TrimSpace(kind))
		if kind == "S" {
			kind = "ST"
		}
		if _, known := attributeOf(kind); !known {
			return nil, fmt.Errorf("the attribute %q is not supported", kind)
		}
		value, rest, more, err := parseValue(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		if id[kind] != "" {
			return nil, fmt.Errorf("%s is there twice", kind)
		}
		id[kind] = value
		if !more {
			return id, nil
		}
		name = rest
	}
}

// parseValue reads up to the next comma. Spaces around the value do not
// belong to it unless they are escaped.
func parseValue(s string) (value, rest string, more bool, err error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "#") {
		return "", "", false, errors.New("encoded values are not supported")
	}
	var out []byte
	kept := 0 // length up to the last byte that is no unescaped space
	for len(s) > 0 {
		switch c := s[0]; {
		case c == ',':
			rest, more = s[1:], true
			s = ""
			continue
		case strings.IndexByte(`+;"<>`, c) >= 0:
			return "", "", false, fmt.Errorf("%q must be escaped; values of several attributes are not supported", c)
		case c == '\\':
			b, n, err := unescape(s)
			if err != nil {
				return "", "", false, err
			}
			out, s = append(out, b), s[n:]
			kept = len(out)
		default:
			out, s = append(out, c), s[1:]
			if c != ' ' {
				kept = len(out)
			}
		}
	}
	if kept == 0 {
		return "", "", false, errors.New("the value is empty")
	}
	return string(out[:kept]), rest, more, nil
}

// unescape reads a backslash with the character, or the two hexadecimal
// digits, after it.
func unescape(s string) (b byte, length int, err error) {
	if len(s) >= 2 && strings.IndexByte(` "#+,;<=>\`, s[1]) >= 0 {
		return s[1], 2, nil
	}
	if len(s) >= 3 {
		if decoded, err := hex.DecodeString(s[1:3]); err == nil {
			return decoded[0], 3, nil
		}
	}
	return 0, 0, errors.New("a backslash that escapes nothing")
}

// attributeOf returns the last arc of an attribute type's identifier below
// 2.5.4 (X.520), by its short name.
func attributeOf(short string) (arc int, known bool) {
	switch short {
	case "CN":
		return 3, true
	case "SERIALNUMBER":
		return 5, true
	case "C":
		return 6, true
	case "L":
		return 7, true
	case "ST":
		return 8, true
	case "STREET":
		return 9, true
	case "O":
		return 10, true
	case "OU":
		return 11, true
	case "POSTALCODE":
		return 17, true
	}
	return 0, false
}

// checkIdentity returns an error unless the certificate's subject has all
// attributes of one trusted identity.
func (v *Verifier) checkIdentity(leaf *x509.Certificate) error {
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(leaf.RawSubject, &subject); err != nil || len(rest) > 0 {
		return errors.New("the signing certificate's subject cannot be read")
	}
	for _, id := range v.identities {
		if id.within(subject) {
			return nil
		}
	}
	return fmt.Errorf("the signing certificate's subject %q is none of the trusted identities", leaf.Subject)
}

func (id identity) within(subject pkix.RDNSequence) bool {
	for kind, want := range id {
		if have, ok := valueOf(subject, kind); !ok || have != want {
			return false
		}
	}
	return true
}

// valueOf returns an attribute's value when the subject has it exactly once
// and by itself: of two, nobody could say which one was meant.
func valueOf(subject pkix.RDNSequence, kind string) (string, bool) {
	arc, _ := attributeOf(kind)
	var value string
	found := 0
	for _, set := range subject {
		for _, attribute := range set {
			if !attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, arc}) {
				continue
			}
			text, ok := attribute.Value.(string)
			if !ok || len(set) > 1 {
				return "", false
			}
			value = text
			found++
		}
	}
	return value, found == 1
}
