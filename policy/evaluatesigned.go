package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func (e *evaluation) checkSignatures() {
	for _, rule := range e.spec.Signatures {
		e.checkSignature(rule.Name, e.compiled.signers[rule.Name])
	}
}

func (e *evaluation) checkSignature(name string, keys []string) {
	var count tally
	for _, s := range e.evidence.Signatures {
		if s.Result == Verified && overlap(s.VerifiedBy, keys) {
			return
		}
		count.add(s.Result, s.Reason)
	}
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckSignatures, name, "", p.Reason, operatorRemedy)
		return
	}
	f := Finding{
		Check: CheckSignatures, Rule: name, Expected: "a signature by " + keysOf(keys),
		Remedy: fmt.Sprintf("sign the digest with the key of %q: cosign sign --key KEY REGISTRY/%s", name, e.subject()),
	}
	f.Outcome, f.Reason, f.Found = e.classify(count, "signature")
	e.add(f)
}

func (e *evaluation) checkAttestations() {
	for i, rule := range e.spec.Attestations {
		e.checkAttestation(rule, e.compiled.attestations[i])
	}
}

func (e *evaluation) checkAttestation(rule Attested, expr *expression) {
	var keys []string
	for _, signer := range rule.SignedBy {
		keys = append(keys, e.compiled.signers[signer]...)
	}
	var count tally
	refused := ""
	for _, a := range e.evidence.Attestations {
		if a.PredicateType != rule.PredicateType && (a.Result != Malformed || a.PredicateType != "") {
			continue
		}
		if a.Result != Verified || !overlap(a.VerifiedBy, keys) {
			count.add(a.Result, a.Reason)
			continue
		}
		why := holdsFor(expr, a.Predicate)
		if why == "" {
			return
		}
		refused = max(refused, why)
	}
	f := Finding{
		Check: CheckAttestations, Rule: rule.Name, Expected: "an attestation of type " + rule.PredicateType + " by " + keysOf(keys),
		Remedy: fmt.Sprintf("attest it: cosign attest --key KEY --type %s --predicate FILE REGISTRY/%s", rule.PredicateType, e.subject()),
	}
	switch p, ok := e.problem(PartSignatures, ""); {
	case ok:
		e.unknown(CheckAttestations, rule.Name, "", p.Reason, operatorRemedy)
		return
	case refused != "":
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonDenied, refused
		f.Expected += " about which holds: " + rule.Expression
		f.Remedy = "mend what the attestation says is wrong, build and attest again"
	default:
		f.Outcome, f.Reason, f.Found = e.classify(count, "attestation of type "+rule.PredicateType)
	}
	e.add(f)
}

// holdsFor says why an expression does not hold for a predicate; empty when
// it does.
func holdsFor(expr *expression, predicate json.RawMessage) string {
	if expr == nil {
		return ""
	}
	var value any
	if err := json.Unmarshal(predicate, &value); err != nil {
		return "the predicate is not JSON: " + err.Error()
	}
	yes, err := expr.holds(map[string]any{"predicate": value})
	switch {
	case err != nil:
		return "the expression has no answer for this predicate: " + err.Error()
	case !yes:
		return "the expression does not hold for the predicate"
	}
	return ""
}

// tally counts what was found instead of what was wanted.
type tally struct {
	stranger, invalid, malformed int
	reason                       string // the least of the reasons, so that order does not matter
}

func (t *tally) add(result Verification, reason string) {
	switch result {
	case UnknownSigner:
		t.stranger++
	case Invalid:
		t.invalid++
	case Malformed:
		t.malformed++
	case Verified: // by another authority of the policies: neither for nor against
		return
	}
	if t.reason == "" || (reason != "" && reason < t.reason) {
		t.reason = reason
	}
}

// classify tells the ways in which evidence can be missing apart. Only
// absence waits.
func (e *evaluation) classify(t tally, what string) (Outcome, Reason, string) {
	because := ""
	if t.reason != "" {
		because = ": " + t.reason
	}
	switch {
	case t.stranger > 0:
		return OutcomeFail, ReasonWrongSigner, fmt.Sprintf("%s, but by somebody else", plural(t.stranger, what))
	case t.invalid > 0:
		return OutcomeFail, ReasonInvalid, plural(t.invalid, "invalid "+what) + because
	case t.malformed > 0:
		return OutcomeFail, ReasonMalformed, plural(t.malformed, "malformed "+what) + because
	}
	if e.missing() == OutcomePending {
		return OutcomePending, ReasonAbsent, "no " + what + " yet"
	}
	return OutcomeFail, ReasonAbsent, "no " + what + " arrived within " + e.spec.Wait.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	noun, rest, _ := strings.Cut(what, " of type ")
	if rest != "" {
		return fmt.Sprintf("%d %ss of type %s", n, noun, rest)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// keysOf names keys by the beginning of their IDs.
func keysOf(ids []string) string {
	short := make([]string, 0, len(ids))
	for _, id := range ids {
		short = append(short, id[:min(len(id), len("sha256:")+12)])
	}
	if len(short) == 1 {
		return "the key " + short[0]
	}
	return "one of the keys " + strings.Join(short, ", ")
}
