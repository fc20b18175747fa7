package sigstore

import (
	"testing"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

// StartUnlogged runs a Fulcio and a timestamp authority until the test ends,
// and no log: this is what GitHub has for private repositories. Its trusted
// root names no log, its certificates have no SCT. Only Email, Workflow and
// Bundle can be called.
func StartUnlogged(tb testing.TB) *Stack {
	tb.Helper()
	s := &Stack{issuer: startIssuer(tb), timestamps: startTimestampAuthority(tb)}
	s.fulcio = startFulcio(tb, s.issuer, nil)
	s.writeTrustedRoot(tb)
	return s
}

// Bundle signs an in-toto statement as CI systems do that have no cosign, with
// a library, and returns the bundle: with a timestamp or with nothing that
// dates it, and in no log.
func (s *Stack) Bundle(tb testing.TB, by Identity, statement []byte, timestamp bool) []byte {
	tb.Helper()
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		tb.Fatalf("generate a key: %v", err)
	}
	options := sign.BundleOptions{
		Context:                    tb.Context(),
		CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.fulcio.url}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: by.Token},
	}
	if timestamp {
		options.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.timestamps.url + timestampPath})}
	}
	made, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"}, key, options)
	if err != nil {
		tb.Fatalf("sign a statement: %v", err)
	}
	text, err := protojson.Marshal(made)
	if err != nil {
		tb.Fatalf("encode a bundle: %v", err)
	}
	return text
}
