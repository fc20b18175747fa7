package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// packageName is what versions are recommended for.
type packageName struct{ packageType, name string }

// recommendation is an entry of a list, ready to be asked.
type recommendation struct {
	Recommended

	list     string
	versions versionRange
}

func (b *builder) compileVersions(v Versions) {
	const path = "$.spec.patchLevel.versions"
	if len(v.Lists) == 0 {
		b.errorf(path+".lists", "missing; write the name of at least one %s", KindVersionList)
	}
	for i, t := range v.DenyUnlisted {
		if !slices.Contains(packageTypes(), t) {
			b.errorf(fmt.Sprintf("%s.denyUnlisted[%d]", path, i), "%q is no package URL type; write one of %s", t, strings.Join(packageTypes(), ", "))
		}
	}
	b.c.recommended = map[packageName][]recommendation{}
	lists := b.c.lists.Versions
	for _, list := range slices.Sorted(maps.Keys(lists)) {
		for i, r := range lists[list] {
			versions, err := parseVersionRange(r.Type, r.Versions)
			if err != nil {
				b.errorf(path+".lists", "the list %s, packages[%d].versions: %v", list, i, err)
			}
			of := packageName{r.Type, fold(r.Type, r.Name)}
			b.c.recommended[of] = append(b.c.recommended[of], recommendation{Recommended: r, list: list, versions: versions})
		}
	}
}

func (e *evaluation) checkVersions() {
	rule := e.spec.PatchLevel.Versions
	if rule == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		scan := e.wholeCatalogue(CheckVersions, p)
		if scan == nil {
			continue
		}
		for _, installed := range scan.Packages {
			listed := false
			for _, name := range installed.names() {
				recommended, known := e.compiled.recommended[packageName{installed.Type, name}]
				listed = listed || known
				for _, r := range recommended {
					e.checkRecommended(p, installed, r)
				}
			}
			if !listed && slices.Contains(rule.DenyUnlisted, installed.Type) {
				e.refuseUnlisted(p, installed)
			}
		}
	}
}

func (e *evaluation) checkRecommended(p Platform, installed Package, r recommendation) {
	within, err := r.admits(installed)
	if within {
		return
	}
	f := Finding{
		Check: CheckVersions, Rule: installed.Type + "/" + installed.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    installed.Name + " " + installed.Version,
		Expected: fmt.Sprintf("%s %s, as the list %s recommends", r.Name, r.Versions, r.list),
		Remedy:   fmt.Sprintf("use a version of %s that is %s and build again", r.Name, r.Versions),
	}
	if r.Reason != "" {
		f.Expected += ": " + r.Reason
	}
	if err != nil {
		f.Reason, f.Found = ReasonMalformed, f.Found+", which cannot be compared: "+err.Error()
	}
	if e.now.Before(r.Since.Time) {
		f.Outcome, f.Reason = OutcomeInfo, ReasonGrace
		f.Found += ", which will be refused from " + r.Since.UTC().Format(time.DateTime) + " on"
	}
	e.add(f)
}

// admits says whether what is installed is recommended; an error, that nobody
// can tell.
func (r recommendation) admits(installed Package) (bool, error) {
	if installed.Version == "" {
		return false, errors.New("there is no version")
	}
	return r.versions.contains(installed.Type, installed.Version)
}

func (e *evaluation) refuseUnlisted(p Platform, installed Package) {
	lists := strings.Join(slices.Sorted(maps.Keys(e.compiled.lists.Versions)), " or ")
	e.add(Finding{
		Check: CheckVersions, Rule: installed.Type + "/" + installed.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found:    fmt.Sprintf("%s %s, which is not on the list %s", installed.Name, installed.Version, lists),
		Expected: "only packages of type " + installed.Type + " that are on the list",
		Remedy:   "do without " + installed.Name + ", or ask who keeps the list to add it",
	})
}
