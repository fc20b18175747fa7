package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func (e *evaluation) checkSignatures() {
	for _, rule := range e.spec.Signatures {
		names := rule.SignedBy
		if len(names) == 0 {
			names = []string{rule.Name}
		}
		e.checkSignature(rule.Name, e.compiled.groups(names...))
	}
}

func (e *evaluation) checkSignature(name string, groups []group) {
	var count tally
	q := newQuorum(groups)
	for _, s := range e.evidence.Signatures {
		if !q.add(s.Result, s.VerifiedBy, s.Identities) {
			count.add(e.standing(s.Result, s.VerifiedBy, s.Identities), s.Reason, s.Identities)
		}
	}
	if q.reached() {
		return
	}
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckSignatures, name, "", p.Reason, operatorRemedy)
		return
	}
	f := Finding{
		Check: CheckSignatures, Rule: name, Expected: "a signature by " + q.String(),
		Remedy: fmt.Sprintf("sign the digest as %q: %s", name, q.command("cosign sign", "REGISTRY/"+e.subject())),
	}
	f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "signature")
	e.add(f)
}

func (e *evaluation) checkAttestations() {
	for i, rule := range e.spec.Attestations {
		e.checkAttestation(rule, e.compiled.attestations[i])
	}
}

func (e *evaluation) checkAttestation(rule Attested, expr *expression) {
	var count tally
	refused := ""
	q := newQuorum(e.compiled.groups(rule.SignedBy...))
	for _, a := range e.evidence.Attestations {
		if a.PredicateType != rule.PredicateType && (a.Result != Malformed || a.PredicateType != "") {
			continue
		}
		if !q.is(a.Result, a.VerifiedBy, a.Identities) {
			count.add(e.standing(a.Result, a.VerifiedBy, a.Identities), a.Reason, a.Identities)
			continue
		}
		if why := e.holdsFor(expr, a.Predicate); why != "" {
			refused = max(refused, why)
			continue
		}
		q.add(a.Result, a.VerifiedBy, a.Identities)
	}
	if q.reached() {
		return
	}
	f := Finding{
		Check: CheckAttestations, Rule: rule.Name, Expected: "an attestation of type " + rule.PredicateType + " by " + q.String(),
		Remedy: "attest it: " + q.command("cosign attest", "--type "+rule.PredicateType+" --predicate FILE REGISTRY/"+e.subject()),
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
		f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "attestation of type "+rule.PredicateType)
	}
	e.add(f)
}

// holdsFor says why an expression does not hold for a predicate; empty when
// it does.
func (e *evaluation) holdsFor(expr *expression, predicate json.RawMessage) string {
	if expr == nil {
		return ""
	}
	var value any
	if err := json.Unmarshal(predicate, &value); err != nil {
		return "the predicate is not JSON: " + err.Error()
	}
	variables := map[string]any{"predicate": value, "now": e.now.UTC()}
	for name, v := range map[string]any{"subject": e.evidence.Subject, "push": e.evidence.Push} {
		shown, err := celValue(v)
		if err != nil {
			return "the evidence cannot be shown to an expression: " + err.Error()
		}
		variables[name] = shown
	}
	yes, err := expr.holds(variables)
	switch {
	case err != nil:
		return "the expression has no answer for this predicate: " + err.Error()
	case !yes:
		return "the expression does not hold for the predicate"
	}
	return ""
}

// standing is what a verified piece of evidence is to this policy: one by
// nobody that it knows is a stranger's.
func (e *evaluation) standing(result Verification, verifiedBy []string, identities []Identity) Verification {
	if result == Verified && len(identities) > 0 && !e.compiled.knows(result, verifiedBy, identities) {
		return UnknownSigner
	}
	return result
}

// tally counts what was found instead of what was wanted.
type tally struct {
	stranger, invalid, malformed int
	reason                       string   // the least of the reasons, so that order does not matter
	strangers                    []string // who signed instead, where a certificate says so
}

func (t *tally) add(result Verification, reason string, identities []Identity) {
	switch result {
	case UnknownSigner:
		t.stranger++
		for _, id := range identities {
			t.strangers = append(t.strangers, id.Subject+" (issued by "+id.Issuer+")")
		}
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

// maxStrangers bounds how many signers a finding names.
const maxStrangers = 3

// who names who signed instead.
func (t *tally) who() string {
	slices.Sort(t.strangers)
	names := slices.Compact(t.strangers)
	if len(names) == 0 {
		return "somebody else"
	}
	if more := len(names) - maxStrangers; more > 0 {
		return fmt.Sprintf("somebody else: %s and %d more", strings.Join(names[:maxStrangers], ", "), more)
	}
	return "somebody else: " + strings.Join(names, ", ")
}

// classify tells the ways in which evidence can be missing apart. Only
// absence waits, and some of several signers are an absence.
func (e *evaluation) classify(t tally, some, what string) (Outcome, Reason, string) {
	because := ""
	if t.reason != "" {
		because = ": " + t.reason
	}
	switch {
	case some != "":
		if e.missing() == OutcomePending {
			return OutcomePending, ReasonAbsent, some + " yet"
		}
		return OutcomeFail, ReasonAbsent, some + " within " + e.spec.Wait.String()
	case t.stranger > 0:
		return OutcomeFail, ReasonWrongSigner, fmt.Sprintf("%s, but by %s", plural(t.stranger, what), t.who())
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
