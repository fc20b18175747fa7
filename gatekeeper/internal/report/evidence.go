package report

import (
	"fmt"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// maxSigned is how many signatures and attestations are listed.
const maxSigned = 20

// signed lists what was found signed, and by whom.
func signed(b *strings.Builder, ev *policy.Evidence) {
	if ev == nil || len(ev.Signatures)+len(ev.Attestations) == 0 {
		return
	}
	var lines []string
	for _, s := range ev.Signatures {
		lines = append(lines, fmt.Sprintf("signature (%s): %s", s.Form, by(s.Result, s.VerifiedBy, s.Identities, s.Reason)))
	}
	for _, a := range ev.Attestations {
		kind := a.PredicateType
		if kind == "" {
			kind = "of no type that can be read"
		}
		lines = append(lines, fmt.Sprintf("attestation %s (%s): %s", kind, a.Form, by(a.Result, a.VerifiedBy, a.Identities, a.Reason)))
	}
	b.WriteString("\nSignatures and attestations found:\n")
	for i, line := range lines {
		if i == maxSigned {
			fmt.Fprintf(b, "  and %d more; -o json shows all of them\n", len(lines)-i)
			return
		}
		b.WriteString("  " + line + "\n")
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
