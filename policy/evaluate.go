// Package policy decides: Evaluate is a pure function of a policy, the
// evidence and the time. The package knows no network, storage, HTTP or clock.
package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// maxFindings bounds how many findings one check of one policy reports.
const maxFindings = 100

// Evaluate says what a policy makes of the evidence at a moment. The same
// inputs give the same result, to the byte; the order of rules and of
// evidence is irrelevant to the verdict.
func Evaluate(c *Compiled, ev *Evidence, now time.Time) Result {
	e := &evaluation{compiled: c, spec: c.policy.Spec, evidence: ev, now: now, findings: []Finding{}, exceptions: c.exceptionsFor(ev.Subject.Repository)}
	e.checkImage()
	e.checkSignatures()
	e.checkAttestations()
	e.checkSBOM()
	e.readVEX()
	e.checkVulnerabilities()
	e.checkAge()
	e.checkOperatingSystems()
	e.checkRuntimes()
	e.checkPackages()
	e.checkVersions()
	e.checkLabels()
	e.checkComponents()
	e.checkLicenses()
	e.checkConfiguration()
	e.checkRules()
	promotion := e.checkPromotion()
	e.checkBase(promotion)

	e.order()
	r := Result{Policy: c.Name(), Fingerprint: c.fingerprint, Mode: c.Mode(), Findings: e.findings, Inputs: e.inputs(), Bases: e.bases(), Promotion: promotion, Exceptions: e.usedExceptions()}
	r.Verdict = verdict(e.findings)
	if r.Verdict == VerdictPending {
		deadline := e.deadline()
		r.Deadline = &deadline
	}
	return r
}

// verdict is a refusal when any rule refuses, whatever else is unknown; then
// unknown comes before waiting.
func verdict(findings []Finding) Verdict {
	has := map[Outcome]bool{}
	for _, f := range findings {
		has[f.Outcome] = true
	}
	switch {
	case has[OutcomeFail]:
		return VerdictRejected
	case has[OutcomeError]:
		return VerdictError
	case has[OutcomePending]:
		return VerdictPending
	}
	return VerdictPromoted
}

// evaluation is one run of Evaluate.
type evaluation struct {
	compiled *Compiled
	spec     Spec
	evidence *Evidence
	now      time.Time
	findings []Finding
	// exceptions are those for the image's repository, used the keys of those
	// that excused something.
	exceptions []GrantedException
	used       map[string]bool
	sboms      map[string][]SBOM         // that the policy accepts, by the digest of the platform; once asked for
	vex        map[string][]vexStatement // by the vulnerability's names
	builtOn    []BuiltOn
}

// add records a finding, its text made safe to show.
func (e *evaluation) add(f Finding) {
	f.Rule, f.Platform = clean(f.Rule), clean(f.Platform)
	f.Found, f.Expected, f.Remedy = clean(f.Found), clean(f.Expected), clean(f.Remedy)
	e.findings = append(e.findings, f)
}

// order sorts the findings, worst first, and cuts what nobody reads to the
// end. What is cut never changes the verdict: each outcome keeps its share.
func (e *evaluation) order() {
	rank := map[Outcome]int{OutcomeFail: 0, OutcomeError: 1, OutcomePending: 2, OutcomeInfo: 3}
	checks := Checks()
	slices.SortStableFunc(e.findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(rank[a.Outcome], rank[b.Outcome]),
			cmp.Compare(slices.Index(checks, a.Check), slices.Index(checks, b.Check)),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Found, b.Found),
			cmp.Compare(a.Expected, b.Expected), cmp.Compare(a.Remedy, b.Remedy),
		)
	})
	type group struct {
		check   Check
		outcome Outcome
	}
	seen, cut := map[group]int{}, map[group]int{}
	e.findings = slices.DeleteFunc(e.findings, func(f Finding) bool {
		g := group{f.Check, f.Outcome}
		if seen[g]++; seen[g] > maxFindings {
			cut[g]++
			return true
		}
		return false
	})
	for i := range e.findings {
		g := group{e.findings[i].Check, e.findings[i].Outcome}
		last := i == len(e.findings)-1 || e.findings[i+1].Check != g.check || e.findings[i+1].Outcome != g.outcome
		if last && cut[g] > 0 {
			e.findings[i].Found += fmt.Sprintf(" (and %d more like this)", cut[g])
		}
	}
}

// deadline is until when missing evidence is awaited.
func (e *evaluation) deadline() time.Time {
	return e.evidence.Push.ReceivedAt.Add(time.Duration(*e.spec.Wait))
}

// missing is the outcome of absent evidence: waiting, until the deadline.
func (e *evaluation) missing() Outcome {
	if e.now.Before(e.deadline()) {
		return OutcomePending
	}
	return OutcomeFail
}

// problem returns what kept a part of the evidence from being gathered; of
// several, the one whose reason comes first, so that their order is irrelevant.
func (e *evaluation) problem(part Part, platform string) (least Problem, found bool) {
	for _, p := range e.evidence.Problems {
		if p.Part != part || p.Platform != "" && p.Platform != platform {
			continue
		}
		if !found || p.Reason < least.Reason {
			least, found = p, true
		}
	}
	return least, found
}

// unknown records that a check could not be made.
func (e *evaluation) unknown(check Check, rule, platform, found, remedy string) {
	e.add(Finding{
		Check: check, Rule: rule, Platform: platform, Outcome: OutcomeError, Reason: ReasonUnavailable,
		Found: found, Expected: "an answer", Remedy: remedy,
	})
}

const operatorRemedy = "nothing to do for the developer: it is tried again, and the operators see the same message"

// subject is the image by digest, as developers name it.
func (e *evaluation) subject() string {
	return e.evidence.Subject.Repository + "@" + e.evidence.Subject.Digest
}

// platform is a platform by digest, as developers name it.
func (e *evaluation) platform(p Platform) string {
	return e.evidence.Subject.Repository + "@" + p.Digest
}

// within names a platform where it is one of an index; empty where it is the
// subject itself.
func (e *evaluation) within(p Platform) string {
	if p.Digest == e.evidence.Subject.Digest {
		return ""
	}
	return p.Name
}

// unread says why not all attestations about a platform are known; empty when
// they are.
func (e *evaluation) unread(p Platform) string {
	problem, troubled := e.problem(PartSignatures, p.Name)
	_, asked := e.evidence.attestationsAbout(p)
	switch {
	case troubled && problem.Reason == "":
		return "the attestations could not be read"
	case troubled:
		return problem.Reason
	case !asked:
		return "nobody looked for attestations about this platform"
	}
	return ""
}

func (e *evaluation) checkImage() {
	for _, p := range e.evidence.Problems {
		if p.Part == PartImage {
			e.unknown(CheckImage, "", p.Platform, p.Reason, operatorRemedy)
		}
	}
	if len(e.evidence.Image.Platforms) > 0 || len(e.findings) > 0 {
		return
	}
	e.add(Finding{
		Check: CheckImage, Outcome: OutcomeFail, Reason: ReasonInvalid,
		Found: "the index has no platform", Expected: "an image, or an index of at least one", Remedy: "build the image again and push it",
	})
}
