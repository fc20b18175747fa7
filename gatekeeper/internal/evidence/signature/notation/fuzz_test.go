package notation_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

// FuzzVerify: no input may crash, take what is not signed for signed, or be
// answered outside the four kinds. The revocation always answers, so that
// ErrUndecided can only be a crash that was caught.
func FuzzVerify(f *testing.F) {
	ca, clocks := newAuthority(f, "root"), newAuthority(f, "clocks")
	leaf := ca.signer()
	stamper := newStamper(clocks, ca.now.Add(-time.Hour))
	chain := []*x509.Certificate{ca.root.cert}
	for _, mediaType := range forms() {
		f.Add(sign(f, signing{mediaType: mediaType, leaf: leaf, chain: chain}), mediaType == notation.MediaTypeCOSE)
		f.Add(sign(f, signing{mediaType: mediaType, leaf: leaf, chain: chain, request: stamper.stamped}), mediaType == notation.MediaTypeCOSE)
	}
	trust := notation.Trust{Roots: chain, TimestampRoots: []*x509.Certificate{clocks.root.cert}, Identities: []string{"*"}}
	strict := verifierOf(f, trust, list{})
	trust.TimestampRoots = nil
	plain := verifierOf(f, trust, list{})
	other := subject()
	other.Size++
	f.Fuzz(func(t *testing.T, envelope []byte, asCOSE bool) {
		mediaType := notation.MediaTypeJWS
		if asCOSE {
			mediaType = notation.MediaTypeCOSE
		}
		for _, v := range []*notation.Verifier{strict, plain} {
			if _, err := v.Verify(t.Context(), envelope, mediaType, other, ca.now); err == nil {
				t.Fatal("verified for another subject")
			}
			_, err := v.Verify(t.Context(), envelope, mediaType, subject(), ca.now)
			switch {
			case err == nil, errors.Is(err, notation.ErrMalformed), errors.Is(err, notation.ErrInvalid), errors.Is(err, notation.ErrUnknownSigner):
			default:
				t.Fatal(err)
			}
		}
	})
}
