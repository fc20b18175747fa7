package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scanOf returns a platform's scan, or records for the check that there is
// none.
func (e *evaluation) scanOf(check Check, p Platform) *Scan {
	if problem, ok := e.problem(PartScan, p.Name); ok {
		e.unknown(check, "", p.Name, problem.Reason, operatorRemedy)
		return nil
	}
	if p.Scan == nil {
		e.unknown(check, "", p.Name, "the image was not scanned", operatorRemedy)
	} else if foreign := e.foreignCatalogue(p); foreign != "" {
		e.unknown(check, "", p.Name, foreign, operatorRemedy)
		return nil
	}
	return p.Scan
}

func (e *evaluation) checkVulnerabilities() {
	if e.spec.Vulnerabilities == nil {
		return
	}
	aboutIndex := e.statedAboutIndex()
	for _, p := range e.evidence.Image.Platforms {
		reported := e.readReports(p, aboutIndex)
		var scanned []Vulnerability
		if e.spec.Vulnerabilities.Report.scans() {
			if !e.matched(p) {
				continue // what reports leave unsaid the scanner may know
			}
			scanned = p.Scan.Vulnerabilities
		}
		all := unite(scanned, reported.stated)
		e.judge(p, all)
		if !reported.complete {
			continue
		}
		for i, c := range e.spec.Vulnerabilities.Counts {
			e.checkCount(p, i, c, all)
		}
		if r := e.spec.Vulnerabilities.Report; r.scans() && r.attested() {
			e.compareSources(p, all, reported.stated)
		}
	}
}

// judge asks the deny rules about every vulnerability of a platform.
func (e *evaluation) judge(p Platform, all []stated) {
	var found []judged
	for _, s := range all {
		if f, ok := e.checkVulnerability(p, s); ok {
			found = append(found, judged{s, f})
		}
	}
	for _, j := range worst(found) {
		e.add(j.finding)
	}
}

// matched says whether a platform's vulnerabilities are known: an empty list
// means nothing unless somebody looked, in the right place, with a database
// that is current.
func (e *evaluation) matched(p Platform) bool {
	scan := e.scanOf(CheckVulnerabilities, p)
	if scan == nil {
		return false
	}
	reason, remedy := e.unmatched(p, *scan)
	if reason != "" {
		e.unknown(CheckVulnerabilities, "", p.Name, reason, remedy)
	}
	return reason == ""
}

// unmatched says why a scan does not tell which vulnerabilities there are, and
// what to do about it; empty when it does.
func (e *evaluation) unmatched(p Platform, scan Scan) (reason, remedy string) {
	report := Report{MaxAge: Duration(defaultReportAge)}
	if e.spec.Vulnerabilities != nil {
		report = e.spec.Vulnerabilities.Report
	}
	problem, troubled := e.problem(PartVulnerabilities, p.Name)
	db := scan.Database
	remedy = operatorRemedy
	switch {
	case troubled:
		reason = problem.Reason
	case db == nil:
		reason = "no vulnerability database"
	case db.Sample && !report.AllowSampleDatabase:
		reason = "the vulnerability database is the sample for demonstrations; run gatekeeper db update"
	case !db.Sample && e.now.Sub(db.Built) > time.Duration(report.MaxAge):
		reason = fmt.Sprintf("the vulnerability database is from %s, older than the %s that the policy allows; run gatekeeper db update",
			db.Built.UTC().Format(time.DateTime), report.MaxAge)
	case !db.Sample && db.Built.After(e.now.Add(clockSkew)):
		reason = fmt.Sprintf("the vulnerability database is from %s, in the future, so that nobody knows how old it is; run gatekeeper db update, and set the clocks",
			db.Built.UTC().Format(time.DateTime))
	case scan.OS == nil && slices.ContainsFunc(scan.Packages, isSystemPackage):
		reason = "there are packages of a distribution, but /etc/os-release does not say of which, so that nothing can be matched"
		remedy = "do not remove /etc/os-release from the image"
	case scan.emptied() != "":
		reason, remedy = scan.emptied(), keepPackages
	}
	return reason, remedy
}

// isSystemPackage says whether a package came from a distribution, whose
// vulnerabilities are only known together with the distribution's release.
func isSystemPackage(p Package) bool {
	return p.Type == "deb" || p.Type == "rpm" || p.Type == "apk" || p.Type == "alpm"
}

// checkVulnerability says what the deny rules make of a vulnerability; false:
// nothing.
func (e *evaluation) checkVulnerability(p Platform, v stated) (f Finding, about bool) {
	deny, due := e.denial(v)
	if deny == nil {
		return f, false
	}
	f = Finding{
		Check: CheckVulnerabilities, Rule: v.ID, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found: v.String(), Expected: "no vulnerability " + deny.String(), Remedy: upgrade(v.Vulnerability),
	}
	exceptions, ended := e.exception(v.Vulnerability)
	statement, said := e.statementAbout(p, v)
	switch {
	case v.Suppressed != "":
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		f.Found += ", which the scanner takes for a false alarm: " + clean(v.Suppressed)
	case len(exceptions) > 0:
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		for _, x := range exceptions {
			e.use(x)
			f.Found += ", excused by " + x.words()
		}
		f.Remedy += "; the exception ends " + exceptions[0].Expires.UTC().Format(time.DateTime)
	case e.now.Before(due):
		f.Outcome, f.Reason = OutcomeInfo, ReasonGrace
		f.Found += ", which will be refused from " + due.UTC().Format(time.DateTime) + " on"
	case e.vexUnknown(p) != "":
		f.Outcome, f.Reason, f.Remedy = OutcomeError, ReasonUnavailable, operatorRemedy
		f.Found += "; whether a VEX statement excuses it is not known: " + e.vexUnknown(p)
	case said && statement.excused:
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		f.Found += ", excused by " + statement.String()
	default:
		f.Found += deny.because(v, e.now)
	}
	if said && f.Outcome == OutcomeFail {
		f.Found += "; " + statement.String() + " does not excuse it"
	}
	if len(exceptions) == 0 && ended.ID != "" {
		f.Found += fmt.Sprintf("; the exception by %s%s ended %s", ended.Owner, ended.place(), ended.Expires.UTC().Format(time.DateTime))
	}
	return f, true
}

// checkCount counts what counts, each vulnerability once. While nobody knows what
// VEX states, any part of it may be excused.
func (e *evaluation) checkCount(p Platform, i int, c Count, all []stated) {
	counted, named := map[string]bool{}, map[string]bool{}
	for _, v := range all { // the scanner's first
		if again := v.by != "" && v.isAmong(named); again || v.Suppressed != "" || !c.counts(v, e.now) || e.excuses(p, v) {
			continue
		}
		counted[v.ID] = true
		for _, name := range v.names() {
			named[name] = true
		}
	}
	why, least := e.vexUnknown(p), len(counted)
	if why != "" {
		least = 0
	}
	if !c.Deny.holdsWithin(least, len(counted)) {
		return
	}
	f := Finding{
		Check: CheckVulnerabilities, Rule: fmt.Sprintf("counts[%d]", i), Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    fmt.Sprintf("%d vulnerabilities%s", len(counted), c),
		Expected: c.Deny.otherwise(),
		Remedy:   "upgrade what has a fix and build again; gatekeeper check -o json lists all",
	}
	if why != "" {
		f.Outcome, f.Reason, f.Remedy = OutcomeError, ReasonUnavailable, operatorRemedy
		f.Found += "; whether VEX statements excuse some is not known: " + why
	}
	e.add(f)
}

func (c Count) counts(v stated, now time.Time) bool {
	severity := v.Severity
	if !slices.Contains(severities(), severity) {
		severity = SeverityUnknown
	}
	if now.Before((Deny{After: c.After}).from(v, now)) {
		return false
	}
	return (c.Severity == "" || v.unsaid.Severity || c.Severity == severity) &&
		(c.Fixed == nil || v.unsaid.Fix || *c.Fixed == (v.FixState == "fixed"))
}

// String says in words what is counted.
func (c Count) String() string {
	words := ""
	if c.Severity != "" {
		words = " of severity " + string(c.Severity)
	}
	if c.Fixed != nil && *c.Fixed {
		words += " with a published fix"
	} else if c.Fixed != nil {
		words += " without a published fix"
	}
	if c.After > 0 {
		words += " for " + c.After.String()
	}
	return words
}

// denial returns the rule that refuses a vulnerability; when none does yet, the
// one that will first, and when that is. It is nil when none ever will. Of
// several it is the one whose words come first, wherever it is written.
func (e *evaluation) denial(v stated) (first *Deny, due time.Time) {
	for i := range e.spec.Vulnerabilities.Deny {
		d := &e.spec.Vulnerabilities.Deny[i]
		if !d.denies(v) {
			continue
		}
		from := d.from(v, e.now)
		if !e.now.Before(from) {
			from = time.Time{}
		}
		if first == nil || from.Before(due) || from.Equal(due) && d.String() < first.String() {
			first, due = d, from
		}
	}
	return first, due
}

// from is when a rule that denies a vulnerability begins to; zero: at once, also
// when what is said of a publication cannot be true.
func (d Deny) from(v stated, now time.Time) time.Time {
	began, known := d.began(v, now)
	if d.After == 0 || !known {
		return time.Time{}
	}
	return began.Add(time.Duration(d.After))
}

// began is what a deadline counts from, the publication of the fix or of the
// vulnerability, when that is known. Dates without an hour may be of tomorrow.
func (d Deny) began(v stated, now time.Time) (began time.Time, known bool) {
	at := v.FixedAt
	if d.Since == SinceAdvisory {
		at = v.PublishedAt
	}
	if at == nil || !at.Before(now.Add(24*time.Hour)) {
		return time.Time{}, false
	}
	return *at, true
}

func upgrade(v Vulnerability) string {
	if v.FixState == "fixed" && len(v.FixedIn) > 0 {
		return fmt.Sprintf("upgrade %s to %s and build again", v.Package, strings.Join(v.FixedIn, " or "))
	}
	if v.Package == "" {
		return "upgrade or remove the package that has it, or ask the security team for an exception"
	}
	return "there is no fix yet: remove " + v.Package + ", or ask the security team for an exception"
}

// denies says whether a rule is about a vulnerability. What a report leaves
// unsaid is as bad as the rule asks for, and a score that is missing no low one.
func (d Deny) denies(v stated) bool {
	if d.Severity != "" && !v.unsaid.Severity && !v.Severity.atLeast(d.Severity) {
		return false
	}
	if d.Fixed != nil && !v.unsaid.Fix && *d.Fixed != (v.FixState == "fixed") {
		return false
	}
	if d.EPSS > 0 && v.EPSS > 0 && v.EPSS < d.EPSS || d.KnownExploited && !v.KnownExploited && !v.unsaid.Exploited {
		return false
	}
	return (len(d.Types) == 0 || v.unsaid.Type || slices.Contains(d.Types, v.Type)) &&
		(len(d.Packages) == 0 || v.unsaid.Package || foldAll(v.Type, d.Packages).Match(fold(v.Type, v.Package)))
}

// String says in words what the rule refuses.
func (d Deny) String() string {
	var words []string
	if d.Severity != "" {
		words = append(words, "of severity "+string(d.Severity)+" or worse")
	}
	if d.Fixed != nil && *d.Fixed {
		words = append(words, "with a published fix")
	} else if d.Fixed != nil {
		words = append(words, "without a published fix")
	}
	if d.After > 0 && d.Since == SinceAdvisory {
		words = append(words, "published more than "+d.After.String()+" ago")
	} else if d.After > 0 {
		words = append(words, "for "+d.After.String())
	}
	if d.KnownExploited {
		words = append(words, "that is known to be exploited")
	}
	if d.EPSS > 0 {
		words = append(words, fmt.Sprintf("with a probability of %v or more to be exploited within 30 days", d.EPSS))
	}
	if len(d.Types) > 0 {
		words = append(words, "in packages of type "+strings.Join(d.Types, " or "))
	}
	if len(d.Packages) > 0 {
		words = append(words, "in "+strings.Join(d.Packages, " or "))
	}
	return strings.Join(words, " ")
}

// severities lists the severities, worst first.
func severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityNegligible, SeverityUnknown}
}

// atLeast says whether a severity is the limit or worse. What is no severity
// at all counts as unknown.
func (s Severity) atLeast(limit Severity) bool {
	rank := slices.Index(severities(), s)
	if rank < 0 {
		rank = slices.Index(severities(), SeverityUnknown)
	}
	return rank <= slices.Index(severities(), limit)
}

func (e *evaluation) checkPackages() {
	if len(e.spec.PatchLevel.Packages) == 0 {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		scan := e.wholeCatalogue(CheckPackages, p)
		if scan == nil {
			continue
		}
		for _, installed := range scan.Packages {
			for _, minimum := range e.spec.PatchLevel.Packages {
				if installed.isNamed(minimum.Type, minimum.Name) {
					e.checkPackage(p, installed, minimum)
				}
			}
		}
	}
}

func (e *evaluation) checkPackage(p Platform, installed Package, minimum MinimumVersion) {
	order, err := compareVersions(installed.Type, installed.Version, minimum.Minimum)
	if err == nil && order >= 0 {
		return
	}
	f := Finding{
		Check: CheckPackages, Rule: installed.Type + "/" + installed.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonTooOld,
		Found:    installed.Name + " " + installed.Version,
		Expected: minimum.Name + " " + minimum.Minimum + " or newer",
		Remedy:   "upgrade " + minimum.Name + " to at least " + minimum.Minimum + " and build again",
	}
	if err != nil {
		f.Reason, f.Found = ReasonMalformed, f.Found+", which cannot be compared: "+err.Error()
	}
	e.add(f)
}
