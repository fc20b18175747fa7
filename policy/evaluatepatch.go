package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// clockSkew is how far in the future a creation time may be.
const clockSkew = 5 * time.Minute

func (e *evaluation) checkAge() {
	if e.spec.PatchLevel.MaxAge == 0 {
		return
	}
	var attested time.Time
	if e.datedBy(createdProvenance) {
		attested = e.checkAttestedAge()
	}
	if !e.datedBy(createdConfiguration) {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		f := e.tooOld()
		f.Platform = p.Name
		switch {
		case p.Created == nil:
			f.Reason, f.Found = ReasonAbsent, "the configuration does not say when the image was created"
		case e.wrongAge(&f, *p.Created):
		case !attested.IsZero() && p.Created.After(attested.Add(clockSkew)):
			f.Reason, f.Found = ReasonInvalid, fmt.Sprintf("the configuration says created %s, after the build that the provenance says ended %s",
				p.Created.UTC().Format(time.DateTime), attested.UTC().Format(time.DateTime))
			f.Expected, f.Remedy = "both to be about one build", "attest the build that made this image"
		default:
			continue
		}
		e.add(f)
	}
}

// tooOld is what there is to say about an image whose age is wrong.
func (e *evaluation) tooOld() Finding {
	return Finding{
		Check: CheckMaxAge, Outcome: OutcomeFail,
		Expected: "created within the last " + e.spec.PatchLevel.MaxAge.String(),
		Remedy:   "build the image again on a current base",
	}
}

// wrongAge says whether a creation time is none that the policy takes, and why.
func (e *evaluation) wrongAge(f *Finding, created time.Time) bool {
	switch {
	case created.Year() < 2000:
		f.Reason = ReasonUnrecognised
		f.Found = "created " + created.UTC().Format(time.DateOnly) + ", a stand-in of reproducible builds that says nothing about age"
		f.Remedy = "set the creation time to that of the source (SOURCE_DATE_EPOCH)"
	case created.After(e.now.Add(clockSkew)):
		f.Reason, f.Found = ReasonInvalid, "created "+created.UTC().Format(time.DateTime)+", in the future"
		f.Remedy = "set the clock of the machine that builds"
	case e.now.Sub(created) > time.Duration(e.spec.PatchLevel.MaxAge):
		days := int(e.now.Sub(created).Hours() / 24)
		f.Reason, f.Found = ReasonTooOld, fmt.Sprintf("created %s, %d days ago", created.UTC().Format(time.DateOnly), days)
	default:
		return false
	}
	return true
}

// systemRange is an entry of operatingSystems.allow.
type systemRange struct{ id, operator, version string }

// parseSystemRange reads "debian", "debian >= 12" or "ubuntu = 24.04".
func parseSystemRange(text string) (systemRange, error) {
	m := regexp.MustCompile(`^([a-z0-9._-]+)(?:\s*(>=|<=|=|>|<)\s*([0-9][0-9A-Za-z.]*))?$`).FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return systemRange{}, fmt.Errorf("%q; write the ID of os-release, alone or with a version: debian >= 12", text)
	}
	return systemRange{id: m[1], operator: m[2], version: m[3]}, nil
}

// admits compares as many elements of the version as the range names, so that
// alpine 3.20.3 is a 3.20.
func (r systemRange) admits(os OperatingSystem) bool {
	if r.id != os.ID {
		return false
	}
	if r.operator == "" {
		return true
	}
	elements := strings.Split(os.Version, ".")
	n := min(len(elements), strings.Count(r.version, ".")+1)
	order, err := compareVersions("deb", strings.Join(elements[:n], "."), r.version)
	if err != nil || os.Version == "" {
		return false
	}
	switch r.operator {
	case ">=":
		return order >= 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	case "<":
		return order < 0
	default:
		return order == 0
	}
}

func (e *evaluation) checkOperatingSystems() {
	rule := e.spec.PatchLevel.OperatingSystems
	if rule == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		scan := e.scanOf(CheckOperatingSystems, p)
		switch {
		case scan == nil:
		case scan.OS != nil:
			e.checkSystem(p, *scan.OS)
		case len(rule.Allow) > 0 || slices.ContainsFunc(scan.Packages, isSystemPackage):
			e.refuseSystem(p, ReasonUnrecognised, "no operating system was recognised: there is no /etc/os-release",
				"keep /etc/os-release of the base image")
		}
	}
}

func (e *evaluation) checkSystem(p Platform, os OperatingSystem) {
	rule := e.spec.PatchLevel.OperatingSystems
	name := "the operating system is " + strings.TrimSpace(os.ID+" "+os.Version)
	admitted := slices.ContainsFunc(e.compiled.systems, func(r systemRange) bool { return r.admits(os) })
	if len(rule.Allow) > 0 && !admitted {
		e.refuseSystem(p, ReasonDenied, name+", which is not on the list", "build on one of: "+strings.Join(rule.Allow, ", "))
	}
	if rule.EndOfLife != "deny" {
		return
	}
	switch {
	case os.EndOfLife == nil && !os.Rolling && !admitted && len(rule.Allow) == 0:
		e.refuseSystem(p, ReasonUnrecognised, name+", whose end of life is not known",
			"build on a supported distribution, or have the security team name this one in operatingSystems.allow")
	case os.EndOfLife != nil && !e.now.Before(*os.EndOfLife):
		e.refuseSystem(p, ReasonEndOfLife, name+", whose support ended on "+os.EndOfLife.UTC().Format(time.DateOnly),
			"build on a supported release of "+os.ID)
	}
}

func (e *evaluation) refuseSystem(p Platform, reason Reason, found, remedy string) {
	rule := e.spec.PatchLevel.OperatingSystems
	expected := "a supported operating system"
	if len(rule.Allow) > 0 {
		expected += ", one of: " + strings.Join(rule.Allow, ", ")
	}
	e.add(Finding{
		Check: CheckOperatingSystems, Platform: p.Name, Outcome: OutcomeFail, Reason: reason,
		Found: found, Expected: expected, Remedy: remedy,
	})
}

func (e *evaluation) checkLabels() {
	for _, name := range slices.Sorted(maps.Keys(e.compiled.labels)) {
		for _, p := range e.evidence.Image.Platforms {
			e.checkLabel(p, name)
		}
	}
}

// checkLabel looks at the label, and where there is none at the annotation of
// the manifest.
func (e *evaluation) checkLabel(p Platform, name string) {
	value, ok := p.Labels[name]
	if !ok {
		value, ok = p.Annotations[name]
	}
	f := Finding{
		Check: CheckLabels, Rule: name, Platform: p.Name, Outcome: OutcomeFail,
		Expected: "the label " + name + " to match " + e.spec.PatchLevel.Labels[name],
		Remedy:   "set it when building: --label " + word(name+"=VALUE"),
	}
	switch {
	case !ok:
		f.Reason, f.Found = ReasonAbsent, "no label "+name
	case !e.compiled.labels[name].MatchString(value):
		f.Reason, f.Found = ReasonDenied, fmt.Sprintf("the label %s is %q", name, value)
	default:
		return
	}
	e.add(f)
}
