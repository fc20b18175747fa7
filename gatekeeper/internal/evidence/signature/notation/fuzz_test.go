package notation_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

// FuzzVerify: no input may crash, take what is not signed for signed, or be
// answered outside the four kinds. The revocation always answers, so that
// ErrUndecided can only be a crash that was caught.
//
// Keys differ from process to process, so most inputs are edits of this
// process's own envelopes: bytes that replace others from a position on.
func FuzzVerify(f *testing.F) {
	ca, clocks := newAuthority(f, "root"), newAuthority(f, "clocks")
	leaf := ca.signer()
	stamper := newStamper(clocks, ca.now.Add(-time.Hour))
	chain := []*x509.Certificate{ca.root.cert}
	var sealed [2][]byte
	for i, mediaType := range []string{notation.MediaTypeJWS, notation.MediaTypeCOSE} {
		sealed[i] = sign(f, signing{mediaType: mediaType, leaf: leaf, chain: chain, request: stamper.stamped})
	}
	f.Add([]byte{}, uint16(0), uint16(0), false, false)
	f.Add([]byte{}, uint16(0), uint16(0), false, true)
	f.Add(sealed[0], uint16(0), uint16(0), true, false)
	f.Add(sealed[1], uint16(0), uint16(0), true, true)
	f.Add([]byte("AAAA"), uint16(100), uint16(4), false, false)
	f.Add([]byte{0xff}, uint16(900), uint16(1), false, true)
	trust := notation.Trust{Roots: chain, TimestampRoots: []*x509.Certificate{clocks.root.cert}, Identities: []string{"*"}}
	strict := verifierOf(f, trust, list{})
	trust.TimestampRoots = nil
	plain := verifierOf(f, trust, list{})
	other := subject()
	other.Size++
	f.Fuzz(func(t *testing.T, data []byte, from, length uint16, whole, asCOSE bool) {
		base, mediaType := sealed[0], notation.MediaTypeJWS
		if asCOSE {
			base, mediaType = sealed[1], notation.MediaTypeCOSE
		}
		envelope := data
		if !whole {
			start := int(from) % len(base)
			envelope = bytes.Join([][]byte{base[:start], data, base[min(start+int(length), len(base)):]}, nil)
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
