package differential_test

import (
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// observation is what everybody answers to one question about one piece of
// evidence.
type observation struct {
	evidence

	asked    kind
	question string

	cosign2, cosign3, ours bool
}

// same says whether all agree.
func (o observation) same() bool { return o.cosign2 == o.ours && o.cosign3 == o.ours }

// difference is a known one between the three, and our choice.
type difference struct {
	why                    string
	cosign2, cosign3, ours bool
	of                     func(observation) bool
}

// documented says why an observation may be as it is; nothing when it may not.
func (o observation) documented() string {
	for _, d := range differences() {
		if d.cosign2 == o.cosign2 && d.cosign3 == o.cosign3 && d.ours == o.ours && d.of(o) {
			return d.why
		}
	}
	return ""
}

// differences are documented in docs/clients.md, too.
func differences() []difference {
	const yes, no = true, false
	is := func(o observation, question ...string) bool { return slices.Contains(question, o.question) }
	own := func(o observation) bool { return o.asked == o.kind }
	dsse002 := func(o observation) bool {
		return own(o) && o.signing.Client == sigstore.Cosign2 && o.signing.Form == sigstore.Bundle && o.signing.Log == sigstore.RekorV2
	}
	stamped := func(o observation, by sigstore.Client) bool {
		return own(o) && o.signing.Client == by && o.signing.Form == sigstore.Tag && o.kind == attestation && o.signing.Timestamp && is(o, "keyless-unlogged")
	}
	return []difference{
		{
			"a bundle that cosign 2 logged to Rekor v2 has an entry (dsse 0.0.2) that only cosign 2 knows; what depends on it is refused", yes, no, no,
			func(o observation) bool { return dsse002(o) && is(o, "keyless", "keyless-unlogged", "key-logged") },
		},
		{
			"a key's signature of such a bundle counts all the same where no log is asked for", yes, no, yes,
			func(o observation) bool { return dsse002(o) && is(o, "key") },
		},
		{
			"an attestation of the tag .att with an entry intoto 0.0.1 is refused where the entry counts", yes, yes, no,
			func(o observation) bool { return own(o) && o.signing.InToto && is(o, "keyless", "key-logged") },
		},
		{
			"in the tag .att, cosign 2 timestamps the envelope; a timestamp has to be of the signature", yes, yes, no,
			func(o observation) bool { return stamped(o, sigstore.Cosign2) },
		},
		{
			"in the tag .att, cosign 3 timestamps the signature, which both cosigns do not expect there", no, no, yes,
			func(o observation) bool { return stamped(o, sigstore.Cosign3) },
		},
		{
			"cosign takes the present for the time of a signature that nothing dates, as long as its certificate lasts", yes, yes, no,
			func(o observation) bool {
				return own(o) && o.signing.Form != sigstore.Bundle && !timestamped(o.signing) && o.signing.Key == nil && is(o, "keyless-unlogged")
			},
		},
		{
			"cosign takes a bundle with any attestation for a signature; a signature has to say that it is one", yes, yes, no,
			func(o observation) bool {
				return o.asked == signature && o.kind == attestation && o.signing.Form == sigstore.Bundle
			},
		},
	}
}
