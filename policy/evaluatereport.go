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

// reports are the signed reports about a platform.
type reports struct {
	stated []stated // every vulnerability that a recent one names
	// complete says that as many signers as it takes have reported.
	complete bool

	unreadable, refused, old string // the least of the reasons why some do not count
}

// readReports reads the signed reports about a platform, and records when those
// that the policy asks for are not there. What reports about the index name is
// added.
func (e *evaluation) readReports(p Platform, aboutIndex []stated) (r reports) {
	asked := e.spec.Vulnerabilities.Report
	if !asked.attested() {
		return reports{complete: true}
	}
	q := newQuorum(e.compiled.groups(asked.SignedBy...))
	count := tally{wanted: q}
	about, _ := e.evidence.attestationsAbout(p)
	for _, a := range about {
		switch {
		case !slices.Contains(vulnreport.PredicateTypes(), a.PredicateType) && (a.Result != Malformed || a.PredicateType != ""):
		case !q.is(a.proof()):
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
		case e.readReport(&r, a):
			q.add(a.proof())
		}
	}
	if e.within(p) != "" {
		r.stated = append(r.stated, aboutIndex...)
	}
	if why := e.unread(p); why != "" { // one that names more may be among what was not read
		e.unknown(CheckVulnerabilities, ruleReport, e.within(p), why, operatorRemedy)
		return r
	}
	r.complete = q.reached()
	e.judgeReports(p, r, q, count)
	return r
}

// statedAboutIndex is what the signers' reports about an index name. They do not
// say in which platform, so it counts for each, and nothing that they know helps.
func (e *evaluation) statedAboutIndex() []stated {
	var named reports
	asked := e.spec.Vulnerabilities.Report
	if !asked.attested() || !slices.ContainsFunc(e.evidence.Image.Platforms, func(p Platform) bool { return e.within(p) != "" }) {
		return nil
	}
	q := newQuorum(e.compiled.groups(asked.SignedBy...))
	for _, a := range e.evidence.Attestations {
		if slices.Contains(vulnreport.PredicateTypes(), a.PredicateType) && q.is(a.proof()) {
			e.readReport(&named, a)
		}
	}
	for i := range named.stated {
		named.stated[i].alone = true
	}
	return named.stated
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
func (e *evaluation) judgeReports(p Platform, r reports, q *quorum, count tally) {
	signedBy := e.spec.Vulnerabilities.Report.SignedBy
	// With the short name of the type, cosign drops the database's age.
	f := Finding{
		Check: CheckVulnerabilities, Rule: ruleReport, Platform: e.within(p), Expected: "a recent vulnerability report by " + q.String(),
		Remedy: q.remedy("scan the image and attest the report", signedBy) +
			q.command("cosign attest", "--type "+vulnreport.PredicateCosign+" --predicate FILE REGISTRY/"+e.platform(p)),
	}
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
		f.Found += e.aboutIndex(p, "a report", vulnreport.PredicateTypes())
	}
	e.add(f)
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
