package sigstore

import (
	"errors"
	"fmt"
)

// Client is a cosign, by the module it is built from.
type Client string

// The clients: the last of the second generation, which writes tags unless
// told otherwise, and one of the third, which writes bundles.
const (
	Cosign2 Client = "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
	Cosign3 Client = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"

	// Library is no program: sigstore-go 1.3, which only verifies.
	Library Client = "github.com/sigstore/sigstore-go@v1.3.0"
)

// String is the client's name and generation.
func (c Client) String() string {
	switch c {
	case Cosign2:
		return "cosign2"
	case Cosign3:
		return "cosign3"
	case Library:
		return "sigstore-go"
	}
	return string(c)
}

// Form is how evidence lies beside its image in a registry.
type Form int

// The forms that cosign has written over the years.
const (
	Tag      Form = iota // the tags sha256-<hex>.sig and .att
	Referrer             // cosign's experiment with OCI 1.1: simple signing in a referrer
	Bundle               // a Sigstore bundle in a referrer
)

// String is the form's name.
func (f Form) String() string { return [...]string{"tag", "referrer", "bundle"}[f] }

// Log is where evidence is logged.
type Log int

// The transparency logs of a Stack.
const (
	RekorV1 Log = iota
	RekorV2
	NoLog // with a key, or a timestamp, or both
)

// String is the log's name.
func (l Log) String() string { return [...]string{"rekor1", "rekor2", "nolog"}[l] }

// Signing says who signs, with what, and how it is written.
type Signing struct {
	Client Client
	Form   Form
	Log    Log
	// Timestamp asks the timestamp authority, too. A signing to RekorV2 always
	// does: that log gives no time.
	Timestamp bool
	// InToto logs an attestation in Rekor v1 as a whole (intoto 0.0.2), as
	// cosign 1 did, and not as hashes (dsse 0.0.1).
	InToto bool
	// Key signs, or Identity does when there is no key.
	Key      *KeyPair
	Identity Identity
}

// String is a name for a test case.
func (g Signing) String() string {
	who, more := "keyless", ""
	if g.Key != nil {
		who = "key"
	}
	if g.Timestamp {
		more = "-timestamp"
	}
	if g.InToto {
		more += "-intoto"
	}
	return fmt.Sprintf("%s-%s-%s-%s%s", g.Client, g.Form, who, g.Log, more)
}

// Why a client cannot write evidence in some way.
var (
	ErrReferrerAttestation = errors.New("cosign attest has no --registry-referrers-mode")
	ErrBundleOnly          = errors.New("cosign takes a signing configuration, which Rekor v2 needs, for bundles only")
	ErrInToto              = errors.New("cosign 3 ignores --rekor-entry-type, and an entry of this type is for attestations in Rekor v1")
	ErrNoTime              = errors.New("a certificate of ten minutes needs a log or a timestamp that says when it was used")
)

// CanSign is nil when the client can write this kind of signature, and says
// why not otherwise.
func (g Signing) CanSign() error {
	switch {
	case g.Log == RekorV2 && g.Form != Bundle:
		return ErrBundleOnly
	case g.Log == NoLog && g.Key == nil && !g.Timestamp:
		return ErrNoTime
	case g.InToto && (g.Client == Cosign3 || g.Log != RekorV1):
		return ErrInToto
	}
	return nil
}

// CanAttest is nil when the client can write this kind of attestation, and
// says why not otherwise.
func (g Signing) CanAttest() error {
	if g.Form == Referrer {
		return ErrReferrerAttestation
	}
	return g.CanSign()
}
