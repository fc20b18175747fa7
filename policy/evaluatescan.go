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
	for _, p := range e.evidence.Image.Platforms {
		if e.matched(p) {
			for _, v := range p.Scan.Vulnerabilities {
				e.checkVulnerability(p, v)
			}
			for i, c := range e.spec.Vulnerabilities.Counts {
				e.checkCount(p, i, c)
			}
		}
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
	report := e.spec.Vulnerabilities.Report
	problem, troubled := e.problem(PartVulnerabilities, p.Name)
	db := scan.Database
	reason, remedy := "", operatorRemedy
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
	case scan.OS == nil && slices.ContainsFunc(scan.Packages, isSystemPackage):
		reason = "there are packages of a distribution, but /etc/os-release does not say of which, so that nothing can be matched"
		remedy = "do not remove /etc/os-release from the image"
	case scan.OS != nil && len(scan.Packages) == 0:
		reason = "no package was found in an image of " + scan.OS.ID + "; its package database may have been removed"
		remedy = "do not remove the package database (/var/lib/dpkg, /lib/apk/db, /var/lib/rpm) from the image"
	default:
		return true
	}
	e.unknown(CheckVulnerabilities, "", p.Name, reason, remedy)
	return false
}

// isSystemPackage says whether a package came from a distribution, whose
// vulnerabilities are only known together with the distribution's release.
func isSystemPackage(p Package) bool {
	return p.Type == "deb" || p.Type == "rpm" || p.Type == "apk"
}

func (e *evaluation) checkVulnerability(p Platform, v Vulnerability) {
	deny, due := e.denial(v)
	if deny == nil {
		return
	}
	f := Finding{
		Check: CheckVulnerabilities, Rule: v.ID, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    fmt.Sprintf("%s (%s) in %s %s", v.ID, v.Severity, v.Package, v.Version),
		Expected: "no vulnerability " + deny.String(),
		Remedy:   upgrade(v),
	}
	exception, excused := e.exception(v)
	switch {
	case v.Suppressed != "":
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		f.Found += ", which the scanner takes for a false alarm: " + clean(v.Suppressed)
	case excused:
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		f.Found += fmt.Sprintf(", excused by %s until %s: %s", exception.Owner, exception.Expires.UTC().Format(time.DateTime), exception.Reason)
		if exception.Ticket != "" {
			f.Found += " (" + exception.Ticket + ")"
		}
		f.Remedy += "; the exception ends " + exception.Expires.UTC().Format(time.DateTime)
	case e.now.Before(due):
		f.Outcome, f.Reason = OutcomeInfo, ReasonGrace
		f.Found += ", which will be refused from " + due.UTC().Format(time.DateTime) + " on"
	case deny.EPSS > 0 && v.EPSS == 0:
		f.Found += "; it has no EPSS score"
	case deny.After > 0 && !v.fixKnown(e.now):
		f.Found += "; nobody knows since when there is a fix"
	case deny.After > 0:
		f.Found += "; there has been a fix since " + v.FixedAt.UTC().Format(time.DateTime)
	}
	if !excused && exception.ID != "" {
		f.Found += fmt.Sprintf("; the exception by %s ended %s", exception.Owner, exception.Expires.UTC().Format(time.DateTime))
	}
	e.add(f)
}

// checkCount counts what counts, each vulnerability once.
func (e *evaluation) checkCount(p Platform, i int, c Count) {
	counted := map[string]bool{}
	for _, v := range p.Scan.Vulnerabilities {
		if _, excused := e.exception(v); !excused && v.Suppressed == "" && c.counts(v, e.now) {
			counted[v.ID] = true
		}
	}
	if !c.Deny.holds(len(counted)) {
		return
	}
	e.add(Finding{
		Check: CheckVulnerabilities, Rule: fmt.Sprintf("counts[%d]", i), Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    fmt.Sprintf("%d vulnerabilities%s", len(counted), c),
		Expected: c.Deny.otherwise(),
		Remedy:   "upgrade what has a fix and build again; gatekeeper check -o json lists all",
	})
}

func (c Count) counts(v Vulnerability, now time.Time) bool {
	severity := v.Severity
	if !slices.Contains(severities(), severity) {
		severity = SeverityUnknown
	}
	if now.Before((Deny{After: c.After}).from(v, now)) {
		return false
	}
	return (c.Severity == "" || c.Severity == severity) && (c.Fixed == nil || *c.Fixed == (v.FixState == "fixed"))
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
func (e *evaluation) denial(v Vulnerability) (first *Deny, due time.Time) {
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
// when what is said of the fix's publication cannot be true.
func (d Deny) from(v Vulnerability, now time.Time) time.Time {
	if d.After == 0 || !v.fixKnown(now) {
		return time.Time{}
	}
	return v.FixedAt.Add(time.Duration(d.After))
}

// fixKnown says whether it is known when the fix was published. Dates without
// an hour may be of tomorrow.
func (v Vulnerability) fixKnown(now time.Time) bool {
	return v.FixedAt != nil && v.FixedAt.Before(now.Add(24*time.Hour))
}

func upgrade(v Vulnerability) string {
	if v.FixState == "fixed" && len(v.FixedIn) > 0 {
		return fmt.Sprintf("upgrade %s to %s and build again", v.Package, strings.Join(v.FixedIn, " or "))
	}
	return "there is no fix yet: remove " + v.Package + ", or ask the security team for an exception"
}

// exception returns the exception that excuses a vulnerability; when none
// does, one that did until it ended.
func (e *evaluation) exception(v Vulnerability) (Exception, bool) {
	var ended Exception
	for _, x := range e.spec.Vulnerabilities.Exceptions {
		if !x.covers(v, e.evidence.Subject.Repository) {
			continue
		}
		if e.now.Before(x.Expires.Time) {
			return x, true
		}
		ended = x
	}
	return ended, false
}

func (x Exception) covers(v Vulnerability, repository string) bool {
	return (x.ID == v.ID || slices.Contains(v.Aliases, x.ID)) &&
		(x.Package == "" || x.Package == v.Package) &&
		(len(x.Repositories) == 0 || Globs(x.Repositories).Match(repository))
}

func (d Deny) denies(v Vulnerability) bool {
	if d.Severity != "" && !v.Severity.atLeast(d.Severity) {
		return false
	}
	if d.Fixed != nil && *d.Fixed != (v.FixState == "fixed") {
		return false
	}
	// A score that is missing is no low one.
	if d.EPSS > 0 && v.EPSS > 0 && v.EPSS < d.EPSS || d.KnownExploited && !v.KnownExploited {
		return false
	}
	return (len(d.Types) == 0 || slices.Contains(d.Types, v.Type)) && (len(d.Packages) == 0 || Globs(d.Packages).Match(v.Package))
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
	if d.After > 0 {
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
		scan := e.scanOf(CheckPackages, p)
		if scan == nil {
			continue
		}
		for _, installed := range scan.Packages {
			for _, minimum := range e.spec.PatchLevel.Packages {
				if installed.Type == minimum.Type && installed.Name == minimum.Name {
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
