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
		e.checkSignature(rule.Name, names)
	}
}

func (e *evaluation) checkSignature(rule string, names []string) {
	q := newQuorum(e.compiled.groups(names...))
	count := tally{wanted: q}
	for _, s := range e.evidence.Signatures {
		if !q.add(s.proof()) {
			count.add(e.standing(s.proof()), s.Reason, s.Identities)
		}
	}
	if q.reached() {
		return
	}
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckSignatures, rule, "", p.Reason, operatorRemedy)
		return
	}
	f := Finding{
		Check: CheckSignatures, Rule: rule, Expected: "a signature by " + q.String(),
		Remedy: q.remedy("sign the digest", names) + q.command("cosign sign", "REGISTRY/"+e.subject()),
	}
	f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "signature")
	e.add(f)
}

// quoted lists the names of authorities, in order.
func quoted(names []string) string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, fmt.Sprintf("%q", name))
	}
	slices.Sort(all)
	return strings.Join(all, " or ")
}

func (e *evaluation) checkAttestations() {
	for i, rule := range e.spec.Attestations {
		e.checkAttestation(rule, e.compiled.attestations[i])
	}
}

func (e *evaluation) checkAttestation(rule Attested, expr *expression) {
	refused := ""
	q := newQuorum(e.compiled.groups(rule.SignedBy...))
	count := tally{wanted: q}
	for _, a := range e.evidence.Attestations {
		if a.PredicateType != rule.PredicateType && (a.Result != Malformed || a.PredicateType != "") {
			continue
		}
		if !q.is(a.proof()) {
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
			continue
		}
		if why := e.holdsFor(expr, a.Predicate); why != "" {
			refused = max(refused, why)
			continue
		}
		q.add(a.proof())
	}
	if q.reached() {
		return
	}
	f := Finding{
		Check: CheckAttestations, Rule: rule.Name, Expected: "an attestation" + ofType + rule.PredicateType + " by " + q.String(),
		Remedy: q.remedy("attest it", rule.SignedBy) + q.command("cosign attest", "--type "+word(rule.PredicateType)+" --predicate FILE REGISTRY/"+e.subject()),
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
		f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "attestation"+ofType+rule.PredicateType)
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
func (e *evaluation) standing(p proof) Verification {
	if p.result == Verified && len(p.identities) > 0 && !e.compiled.knows(p) {
		return UnknownSigner
	}
	return p.result
}

// tally counts what was found instead of what was wanted.
type tally struct {
	stranger, invalid, malformed int
	// The least of the reasons of each kind, so that order does not matter.
	whyInvalid, whyMalformed string
	strangers                []string // who signed instead, where a certificate says so
	wanted                   *quorum  // by whom it has to be; may be nil
}

func (t *tally) add(result Verification, reason string, identities []Identity) {
	switch result {
	case UnknownSigner:
		t.stranger++
		for _, id := range identities {
			t.strangers = append(t.strangers, id.String()+t.wanted.butFor(id))
		}
	case Invalid:
		t.invalid++
		t.whyInvalid = least(t.whyInvalid, reason)
	case Malformed:
		t.malformed++
		t.whyMalformed = least(t.whyMalformed, reason)
	case Verified: // by another authority of the policies: neither for nor against
	}
}

// least is the first of two texts, of which either may be empty.
func least(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
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
	waits := e.missing() == OutcomePending
	switch {
	case some != "" && waits:
		return OutcomePending, ReasonAbsent, "only " + some + " so far"
	case some != "":
		return OutcomeFail, ReasonAbsent, "only " + some + e.inTime()
	case t.stranger > 0:
		return OutcomeFail, ReasonWrongSigner, fmt.Sprintf("%s, but by %s", plural(t.stranger, what), t.who())
	case t.invalid > 0:
		return OutcomeFail, ReasonInvalid, because(plural(t.invalid, "invalid "+what), t.whyInvalid)
	case t.malformed > 0: // what cannot be read is of no type
		noun, _, _ := strings.Cut(what, ofType)
		return OutcomeFail, ReasonMalformed, because(plural(t.malformed, "malformed "+noun), t.whyMalformed)
	case waits:
		return OutcomePending, ReasonAbsent, "no " + what + " yet"
	}
	if in := e.inTime(); in != "" {
		what += " arrived" + in
	}
	return OutcomeFail, ReasonAbsent, "no " + what
}

// inTime says within which time evidence has to arrive; empty when it has to be
// there.
func (e *evaluation) inTime() string {
	if *e.spec.Wait == 0 {
		return ""
	}
	return " within " + e.spec.Wait.String()
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// ofType separates what something is from its type.
const ofType = " of type "

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	if noun, rest, typed := strings.Cut(what, ofType); typed {
		return fmt.Sprintf("%d %ss%s%s", n, noun, ofType, rest)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
