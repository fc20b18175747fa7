package sigstore

import (
	"testing"
	"time"
)

// Addresses are the URLs of a Stack's services.
type Addresses struct {
	Fulcio, RekorV1, RekorV2 string
	Timestamps               string // with the path
}

// Addresses tells where the services are, for a signer that is no cosign.
func (s *Stack) Addresses() Addresses {
	return Addresses{Fulcio: s.fulcio.url, RekorV1: s.rekorV1.url, RekorV2: s.rekorV2.url, Timestamps: s.timestamps.url + timestampPath}
}

// ExpiredEmail is Email with a token that was good until a minute ago.
func (s *Stack) ExpiredEmail(tb testing.TB, address string) Identity {
	tb.Helper()
	id := s.Email(tb, address)
	id.Token = s.issuer.mint(tb, emailPath, address, map[string]any{
		"email": address, "email_verified": true, "exp": time.Now().Add(-time.Minute).Unix(),
	})
	return id
}
