package revocation

import (
	"crypto/x509"
	"time"
)

// Read reads a list or a response without what keeps crashes off.
func Read(kind string, body []byte, certificate, issuer *x509.Certificate, now time.Time) (bool, error) {
	read := readResponse
	if kind == "list" {
		read = func(body []byte, certificate, issuer *x509.Certificate, now time.Time) (verdict, error) {
			return readList(body, nil, certificate, issuer, now)
		}
	}
	v, err := read(body, certificate, issuer, now)
	return v.revoked, err
}
