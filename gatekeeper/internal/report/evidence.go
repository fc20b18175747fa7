package report

import (
	"fmt"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// maxSigned is how many signatures and attestations are listed.
const maxSigned = 20

// Signature is a line about a signature or an attestation that was found.
type Signature struct {
	What string // "signature", or "attestation" with its type, and the platform of an index that it is about
	Form string // tag, referrer, bundle or notary
	Who  string // by whom it is, or why it is nobody's
}

// Signed lists what was found signed, and by whom.
func Signed(ev *policy.Evidence) []Signature {
	if ev == nil {
		return nil
	}
	var all []Signature
	for _, s := range ev.Signatures {
		all = append(all, Signature{"signature", s.Form, by(s.Result, s.VerifiedBy, s.Identities, s.Reason)})
	}
	all = append(all, attested(ev.Attestations, "")...)
	for _, p := range ev.Image.Platforms {
		all = append(all, attested(p.Attestations, " about "+p.Name)...)
	}
	return all
}

// attested lists attestations; about says of which platform, where it is one of
// several.
func attested(attestations []policy.Attestation, about string) []Signature {
	var all []Signature
	for _, a := range attestations {
		kind := a.PredicateType
		if kind == "" {
			kind = "of no type that can be read"
		}
		all = append(all, Signature{"attestation " + kind + about, a.Form, by(a.Result, a.VerifiedBy, a.Identities, a.Reason)})
	}
	return all
}

func signed(b *strings.Builder, ev *policy.Evidence) {
	all := Signed(ev)
	if len(all) == 0 {
		return
	}
	b.WriteString("\nSignatures and attestations found:\n")
	for i, s := range all {
		if i == maxSigned {
			fmt.Fprintf(b, "  and %d more; -o json shows all of them\n", len(all)-i)
			return
		}
		fmt.Fprintf(b, "  %s (%s): %s\n", s.What, s.Form, s.Who)
	}
}

// by says who stands behind a piece of evidence, or why nobody does.
func by(result policy.Verification, verifiedBy []string, identities []policy.Identity, reason string) string {
	if result != policy.Verified {
		return strings.ReplaceAll(string(result), "_", " ") + ": " + reason
	}
	var who []string
	for _, id := range verifiedBy {
		who = append(who, id[:min(len(id), len("sha256:")+12)])
	}
	for _, id := range identities {
		who = append(who, id.Subject+" (issued by "+id.Issuer+")")
	}
	return "by " + strings.Join(who, " and ")
}
