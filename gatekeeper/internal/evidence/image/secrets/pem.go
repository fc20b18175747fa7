package secrets

import (
	"regexp"
	"strings"
)

var (
	// begin is the first line of a private key (RFC 7468), of OpenSSH's and of
	// OpenPGP's (RFC 9580, section 6.2).
	begin = regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`)
	// material is a line of the key itself; without one the text only speaks
	// of keys.
	material = regexp.MustCompile(`[A-Za-z0-9+/=]{40}`)
)

// privateKeys finds private keys, up to their last lines, which may be missing.
// The lines may be apart by anything, such as \n in JSON.
func privateKeys(text string) []span {
	var spans []span
	heads := begin.FindAllStringIndex(text, -1)
	for i, head := range heads {
		to := len(text)
		if i+1 < len(heads) {
			to = heads[i+1][0]
		}
		if end := strings.Index(text[head[1]:to], "-----END"); end >= 0 {
			to = head[1] + end
		}
		if material.MatchString(text[head[1]:to]) {
			spans = append(spans, span{head[1], to, "private-key"})
		}
	}
	return spans
}
