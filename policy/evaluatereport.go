package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

// ruleReport is what findings call the demand of vulnerabilities.report.
const ruleReport = "report"

// maxSkew is how far the clock of somebody who signed may be ahead.
const maxSkew = 5 * time.Minute

// reports are the signed reports about the image.
type reports struct {
	stated []stated // every vulnerability that a recent one names
	// complete says that as many signers as it takes have reported.
	complete bool

	unreadable, refused, old string // the least of the reasons why some do not count
}

// readReports reads the signed reports, and records when those that the policy
// asks for are not there.
func (e *evaluation) readReports() (r reports) {
	asked := e.spec.Vulnerabilities.Report
	if !asked.attested() {
		return reports{complete: true}
	}
	if len(e.evidence.Image.Platforms) == 0 {
		return r // which is a finding of its own
	}
	q := newQuorum(e.compiled.groups(asked.SignedBy...))
	if !e.singleImage() {
		f := e.missingReport(q)
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonAbsent, "an index; reports about its platforms are not read"
		f.Remedy = "push a single image, or ask the security team to have the scanner look (vulnerabilities.report.from)"
		e.add(f)
		return r
	}
	count := tally{wanted: q}
	for _, a := range e.evidence.Attestations {
		switch {
		case !slices.Contains(vulnreport.PredicateTypes(), a.PredicateType) && (a.Result != Malformed || a.PredicateType != ""):
		case !q.is(a.proof()):
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
		case e.readReport(&r, a):
			q.add(a.proof())
		}
	}
	if p, ok := e.problem(PartSignatures, ""); ok { // one that names more may be among what was not read
		e.unknown(CheckVulnerabilities, ruleReport, "", p.Reason, operatorRemedy)
		return r
	}
	r.complete = q.reached()
	e.judgeReports(r, q, count)
	return r
}

// readReport adds what an attested report states, and says whether it counts
// as one.
func (e *evaluation) readReport(r *reports, a Attestation) bool {
	report, err := vulnreport.Parse(a.PredicateType, a.Predicate)
	if err != nil {
		r.unreadable = least(r.unreadable, err.Error())
		return false
	}
	asked := e.spec.Vulnerabilities.Report
	limit := asked.ScanMaxAge
	if limit == 0 {
		limit = asked.MaxAge
	}
	if age := e.now.Sub(report.Finished); age > time.Duration(limit) {
		r.old = least(r.old, fmt.Sprintf("the scan of %s ended %s, longer ago than the %s that the policy allows",
			report.Scanner, report.Finished.Format(time.DateTime), limit))
		return false
	}
	counts := e.counts(r, report)
	for _, v := range report.Vulnerabilities {
		r.stated = append(r.stated, fromReport(v, report.Scanner, counts))
	}
	return counts
}

// counts says whether a report with a recent scan counts as one.
func (e *evaluation) counts(r *reports, report vulnreport.Report) bool {
	asked := e.spec.Vulnerabilities.Report
	switch db := report.Database; {
	case report.Finished.After(e.now.Add(maxSkew)), db.After(e.now.Add(maxSkew)):
		r.refused = least(r.refused, "the report of "+report.Scanner+" says that it was made in the future")
	case db.IsZero() && !asked.AllowUndatedDatabase:
		r.refused = least(r.refused, "the report of "+report.Scanner+" does not say how old its vulnerability database was")
	case !db.IsZero() && e.now.Sub(db) > time.Duration(asked.MaxAge):
		r.old = least(r.old, fmt.Sprintf("the vulnerability database of %s was from %s, older than the %s that the policy allows",
			report.Scanner, db.Format(time.DateTime), asked.MaxAge))
	default:
		return true
	}
	return false
}

// judgeReports records what is missing, or what is left out beside what is
// there.
func (e *evaluation) judgeReports(r reports, q *quorum, count tally) {
	f := e.missingReport(q)
	switch {
	case r.complete && r.unreadable != "":
		f.Outcome, f.Reason, f.Found = OutcomeInfo, ReasonMalformed, "beside a report that counts, one that cannot be read: "+r.unreadable
	case r.complete:
		return
	case q.some() == "" && r.old != "":
		f.Outcome, f.Reason, f.Found = e.missing(), ReasonTooOld, r.old
	case q.some() == "" && r.unreadable != "":
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonMalformed, "a report that cannot be read: "+r.unreadable
	case q.some() == "" && r.refused != "":
		f.Outcome, f.Reason, f.Found = OutcomeFail, ReasonInvalid, r.refused
	default:
		f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "report")
	}
	e.add(f)
}

func (e *evaluation) missingReport(q *quorum) Finding {
	signedBy := e.spec.Vulnerabilities.Report.SignedBy
	// With the short name of the type, cosign drops the database's age.
	return Finding{
		Check: CheckVulnerabilities, Rule: ruleReport, Expected: "a recent vulnerability report by " + q.String(),
		Remedy: q.remedy("scan the image and attest the report", signedBy) +
			q.command("cosign attest", "--type "+vulnreport.PredicateCosign+" --predicate FILE REGISTRY/"+e.subject()),
	}
}

// compareSources records where the scanner and the signed reports name
// different vulnerabilities, of those that a rule is about. All of them count.
func (e *evaluation) compareSources(p Platform, all, reported []stated) {
	named := [2]map[string]bool{{}, {}} // by the scanner, and by reports
	side := func(s stated) int {
		if s.by == "" {
			return 0
		}
		return 1
	}
	// Those of reports as they were stated: some are left out beside better ones.
	for _, s := range slices.Concat(all, reported) {
		for _, name := range s.names() {
			named[side(s)][name] = true
		}
	}
	var only [2][]string
	for _, s := range all {
		other := named[1-side(s)]
		if s.Suppressed == "" && e.concerns(s) && !slices.ContainsFunc(s.names(), func(name string) bool { return other[name] }) {
			only[side(s)] = append(only[side(s)], s.ID)
		}
	}
	var found []string
	for i, who := range []string{"the scanner alone names ", "the signed reports alone name "} {
		if ids := examples(only[i]); ids != "" {
			found = append(found, who+ids)
		}
	}
	if len(found) == 0 {
		return
	}
	e.add(Finding{
		Check: CheckVulnerabilities, Rule: ruleReport, Platform: p.Name, Outcome: OutcomeInfo, Reason: ReasonDisagreement,
		Found: strings.Join(found, "; "), Expected: "the same vulnerabilities from every source",
		Remedy: "nothing to do: what either names counts; databases of another day or another maker are the usual reason",
	})
}

// concerns says whether a rule is about a vulnerability.
func (e *evaluation) concerns(s stated) bool {
	deny, _ := e.denial(s)
	return deny != nil || slices.ContainsFunc(e.spec.Vulnerabilities.Counts, func(c Count) bool { return c.counts(s, e.now) })
}

// examples counts identifiers, and names the first three.
func examples(ids []string) string {
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return ""
	}
	text := strings.Join(ids[:min(len(ids), 3)], ", ")
	if more := len(ids) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
