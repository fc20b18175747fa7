package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkLicenses refuses packages whose licences are denied, or not known.
func (e *evaluation) checkLicenses() {
	s := e.spec.Licenses
	if s == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		scan := e.wholeCatalogue(CheckLicenses, p)
		if scan == nil {
			continue
		}
		if !scan.LicensesRead && len(scan.Packages) > 0 {
			e.unknown(CheckLicenses, "", p.Name, "the scan did not look for licences; it is from before they were recorded", operatorRemedy)
			continue
		}
		for _, installed := range scan.Packages {
			if len(s.Types) == 0 || slices.Contains(s.Types, installed.identity().packageType) {
				e.checkLicense(p, installed)
			}
		}
	}
}

func (e *evaluation) checkLicense(p Platform, installed Package) {
	standing := e.compiled.licences.ofPackage(installed, nil)
	if e.accepts(standing) {
		return
	}
	f := Finding{
		Check: CheckLicenses, Rule: installed.Type + "/" + installed.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    installed.String() + " is under " + licencesOf(installed),
		Expected: e.spec.Licenses.String(),
		Remedy:   "replace " + installed.Name + " by something under another licence, or ask the security team for an exception",
	}
	if standing == licenceUnknown {
		f.Reason = ReasonUnrecognised
		f.Found += ", which is not on the SPDX License List"
		f.Expected = "a licence that is known"
		f.Remedy = "have " + installed.Name + " say its licence as an SPDX expression, or ask the security team for an exception or for unknown: allow"
		if !slices.ContainsFunc(installed.Licenses, func(l string) bool { return !isNoLicence(l) }) {
			f.Reason, f.Found = ReasonAbsent, "nothing says under which licence "+installed.String()+" is"
		}
	}
	e.excuseLicense(&f, installed)
	e.add(f)
}

// accepts says whether a package may have such a licence.
func (e *evaluation) accepts(s standing) bool {
	return s == licenceFine || s == licenceUnknown && e.spec.Licenses.Unknown == licensesAllow
}

// excuseLicense makes an information of a finding that an exception covers.
func (e *evaluation) excuseLicense(f *Finding, installed Package) {
	for _, x := range e.compiled.licences.exceptions {
		if !x.covers(installed, e.evidence.Subject.Repository) ||
			len(x.licences) > 0 && !e.accepts(e.compiled.licences.ofPackage(installed, x.licences)) {
			continue
		}
		ends := x.Expires.UTC().Format(time.DateTime)
		if !e.now.Before(x.Expires.Time) {
			f.Found += fmt.Sprintf("; the exception by %s ended %s", x.Owner, ends)
			continue
		}
		f.Outcome, f.Reason = OutcomeInfo, ReasonExcepted
		f.Found += fmt.Sprintf(", excused by %s until %s: %s", x.Owner, ends, x.Reason)
		if x.Ticket != "" {
			f.Found += " (" + x.Ticket + ")"
		}
		f.Remedy += "; the exception ends " + ends
		return
	}
}

// String says in words what is asked for.
func (l Licenses) String() string {
	var words []string
	if len(l.Allow) > 0 {
		words = append(words, "one of "+strings.Join(l.Allow, ", "))
	}
	if len(l.Deny) > 0 {
		words = append(words, "none of "+strings.Join(l.Deny, ", "))
	}
	return "a licence that is " + strings.Join(words, " and ")
}
