package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const subjectExample = "x509.subject: C=US, ST=WA, O=acme"

// maxNotaryIdentity bounds a distinguished name, in bytes.
const maxNotaryIdentity = 1024

// subjectAttributes are those that the verification compares (X.520).
func subjectAttributes() []string {
	return []string{"C", "CN", "L", "O", "OU", "POSTALCODE", "SERIALNUMBER", "ST", "STREET"}
}

// checkSubject finds what would make every verification fail later: a
// subject has to name country, state and organisation (Notary Project,
// trust-store-trust-policy.md, "Trusted Identities Constraints"), in the form
// of RFC 4514, each attribute once and by itself.
func checkSubject(id string) error {
	if len(id) > maxNotaryIdentity {
		return fmt.Errorf("%d bytes; the limit is %d", len(id), maxNotaryIdentity)
	}
	rest, ok := strings.CutPrefix(id, "x509.subject:")
	if !ok {
		return errors.New("x509.subject: is not what it begins with")
	}
	seen := map[string]bool{}
	for more := true; more; {
		kind, value, ok := strings.Cut(rest, "=")
		kind = strings.ToUpper(strings.TrimSpace(kind))
		if kind == "S" {
			kind = "ST"
		}
		switch {
		case !ok:
			return errors.New("an attribute without a value; write a backslash before a comma that belongs to a value")
		case !slices.Contains(subjectAttributes(), kind):
			return fmt.Errorf("%q is no attribute that is compared; known: %s", clean(kind), strings.Join(subjectAttributes(), ", "))
		case seen[kind]:
			return fmt.Errorf("%s is there twice", kind)
		}
		seen[kind] = true
		var err error
		if rest, more, err = afterValue(value); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	if !seen["C"] || !seen["ST"] || !seen["O"] {
		return errors.New("one of C, ST and O is missing")
	}
	return nil
}

// afterValue checks an attribute's value, and returns what comes after the
// comma that ends it.
func afterValue(s string) (rest string, more bool, err error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "#") {
		return "", false, errors.New("values in hexadecimal are not supported")
	}
	empty := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ',' && !empty:
			return s[i+1:], true, nil
		case c == ',':
			return "", false, errors.New("the value is empty")
		case strings.IndexByte(`+;"<>`, c) >= 0:
			return "", false, fmt.Errorf("write a backslash before %q; values of several attributes are not supported", c)
		case c == '\\':
			n := escaped(s[i+1:])
			if n == 0 {
				return "", false, errors.New("a backslash that escapes nothing")
			}
			i += n
			empty = false
		case c != ' ':
			empty = false
		}
	}
	if empty {
		return "", false, errors.New("the value is empty")
	}
	return "", false, nil
}

// escaped returns how many bytes a backslash in front escapes: one character,
// or two hexadecimal digits (RFC 4514, section 3); 0 for neither.
func escaped(s string) int {
	if s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return 1
	}
	if len(s) >= 2 {
		if _, err := hex.DecodeString(s[:2]); err == nil {
			return 2
		}
	}
	return 0
}
