package policy

import (
	"fmt"
	"slices"
	"strings"
)

// checkComponents refuses components that are denied, and platforms without
// those that are required.
func (e *evaluation) checkComponents() {
	if e.spec.Components == nil {
		return
	}
	repository := e.evidence.Subject.Repository
	for _, p := range e.evidence.Image.Platforms {
		scan := e.wholeCatalogue(CheckComponents, p)
		if scan == nil {
			continue
		}
		identities := make([]identity, 0, len(scan.Packages))
		for _, installed := range scan.Packages {
			identities = append(identities, installed.identity())
		}
		for _, c := range e.compiled.denied {
			if c.applies(repository) {
				e.checkDenied(p, c, identities)
			}
		}
		for _, c := range e.compiled.required {
			if c.applies(repository) {
				e.checkRequired(p, c, identities)
			}
		}
	}
}

// wholeCatalogue returns a platform's scan, or records for the check that there
// is none, or none that lists what is installed.
func (e *evaluation) wholeCatalogue(check Check, p Platform) *Scan {
	scan := e.scanOf(check, p)
	if scan != nil && scan.emptied() != "" {
		e.unknown(check, "", p.Name, scan.emptied(), keepPackages)
		return nil
	}
	return scan
}

const keepPackages = "do not remove the package database (/var/lib/dpkg, /lib/apk/db, /var/lib/rpm) from the image; " +
	"where there never was one, as in chiselled images, attest an SBOM that lists the packages, if the policy takes one"

// emptied says why nobody knows what is installed: there is an operating system
// without a single package, or one of those whose images all have some of its
// own. It is empty otherwise.
func (s *Scan) emptied() string {
	switch {
	case s.OS == nil || slices.ContainsFunc(s.Packages, isSystemPackage):
		return ""
	case len(s.Packages) == 0:
		return "no package was found in an image of " + s.OS.ID + "; its package database may have been removed"
	case !slices.Contains(packagedSystems(), s.OS.ID):
		return ""
	}
	return "no package of " + s.OS.ID + " itself was found in the image, but others; its package database may have been removed"
}

// packagedSystems are the IDs of os-release(5) of systems that consist of packages
// of their own. Ubuntu's are in the smallest image too, but where it was chiselled
// no scanner sees them.
func packagedSystems() []string {
	return []string{
		"almalinux", "alpine", "amzn", "arch", "azurelinux", "centos", "chainguard", "debian", "fedora", "mariner", "ol", "opensuse-leap",
		"opensuse-tumbleweed", "photon", "rhel", "rocky", "sles", "ubuntu", "wolfi",
	}
}

func (e *evaluation) checkDenied(p Platform, c component, identities []identity) {
	for i, installed := range p.Scan.Packages {
		if named, _ := c.names(identities[i]); !named {
			continue
		}
		included, err := c.includes(installed.Version)
		if !included && err == nil {
			continue
		}
		f := Finding{
			Check: CheckComponents, Rule: string(c.PURL), Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
			Found:    installed.String() + " is in the image",
			Expected: "nothing that is " + c.String(),
			Remedy:   "remove " + installed.Name + " from the image and build again",
		}
		if c.version != "" || c.versions != nil {
			f.Remedy = "use another version of " + installed.Name + ", or remove it, and build again"
		}
		if c.Reason != "" {
			f.Expected += ": " + c.Reason
		}
		if err != nil {
			f.Reason, f.Found = ReasonMalformed, installed.String()+" is in the image, in a version that cannot be compared: "+err.Error()
		}
		e.add(f)
	}
}

// checkRequired takes only what is certain for what is required.
func (e *evaluation) checkRequired(p Platform, c component, identities []identity) {
	f := Finding{
		Check: CheckComponents, Rule: string(c.PURL), Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonAbsent,
		Found: "nothing in the image is " + string(c.PURL), Expected: "a package that is " + c.String(), Remedy: "install it and build again",
	}
	if c.Reason != "" {
		f.Expected += ": " + c.Reason
	}
	var others []string
	for i, installed := range p.Scan.Packages {
		named, certain := c.names(identities[i])
		if !named || !certain {
			continue
		}
		included, err := c.includes(installed.Version)
		switch {
		case err != nil:
			f.Reason = ReasonMalformed
			others = append(others, fmt.Sprintf("%s, which cannot be compared: %v", installed, err))
		case included:
			return
		default:
			others = append(others, installed.String())
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		f.Found = "in the image is only " + strings.Join(others, ", ")
		f.Remedy = "install a version that is asked for, and build again"
	}
	e.add(f)
}
