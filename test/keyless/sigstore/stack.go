package sigstore

import "testing"

// Stack is a running Sigstore. It ends with the test that started it. Its
// methods may be called from several goroutines.
type Stack struct {
	// TrustedRoot is the path of a trusted_root.json with Fulcio's CA, the CT
	// log, both Rekors and the timestamp authority.
	TrustedRoot string
	// SigningConfig is the path of a signing configuration with Fulcio, Rekor
	// v2 and the timestamp authority.
	SigningConfig string

	keyFiles   []string // what cosign's environment names of it, where it takes no trusted root
	issuer     *issuer
	ct         *ctLog
	fulcio     *fulcio
	rekorV1    *transparencyLog
	rekorV2    *transparencyLog
	timestamps *timestampAuthority
}

// Start runs a Sigstore of its own until the test ends; only the timestamp
// authority is shared by the Stacks of a process. The first call on a machine
// builds two servers, which takes minutes.
func Start(tb testing.TB) *Stack {
	tb.Helper()
	s := &Stack{issuer: startIssuer(tb), ct: startCTLog(tb), timestamps: startTimestampAuthority(tb)}
	s.fulcio = startFulcio(tb, s.issuer, s.ct)
	s.rekorV1 = startRekorV1(tb)
	s.rekorV2 = startRekorV2(tb)
	s.writeTrust(tb)
	return s
}
