package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkBase looks at what the layers prove. A scan that unpacked them makes the
// diff_ids of the configuration more than its word.
func (e *evaluation) checkBase(to *Promotion) {
	rule := e.spec.PatchLevel.Base
	if rule == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		if reason := e.noLineage(p); reason != "" {
			e.unknown(CheckBase, "", p.Name, reason, operatorRemedy)
			continue
		}
		base, found := chooseBase(*rule, *p.Lineage, to)
		if found {
			e.builtOn = append(e.builtOn, BuiltOn{
				Platform: clean(p.Name), Image: p.Digest, Registry: base.Registry, Repository: base.Repository, Digest: base.Digest, Manifest: base.Manifest, Behind: base.Behind,
			})
			e.checkRelease(p, base)
		}
		others := e.others(*p.Lineage, to)
		refuted := e.checkClaims(p, others)
		if !found {
			e.refuseBase(p, others, refuted)
		}
	}
}

// bases are what the platforms are built on, whatever their order.
func (e *evaluation) bases() []BuiltOn {
	slices.SortFunc(e.builtOn, func(a, b BuiltOn) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Image, b.Image), cmp.Compare(a.Digest, b.Digest))
	})
	return e.builtOn
}

// noLineage says why it is not known what a platform is built on; empty when
// it is.
func (e *evaluation) noLineage(p Platform) string {
	if problem, ok := e.problem(PartLineage, p.Name); ok {
		return problem.Reason
	}
	if p.Lineage == nil {
		return "nobody looked which golden image this one is built on"
	}
	if !p.Lineage.NeedsLayers() {
		return ""
	}
	if problem, ok := e.problem(PartScan, p.Name); ok {
		return "whether the layers are those of the base shows only when they are unpacked: " + problem.Reason
	}
	if !p.Unpacked() {
		return "whether the layers are those of the base shows only when they are unpacked, which nobody did"
	}
	return ""
}

// chooseBase picks the base that a policy is about: the one with the most
// layers. An image is not its own base, so that the repository it goes to does
// not count. Of one repository the newest release with the same layers counts,
// of several repositories the one that went on the furthest.
func chooseBase(rule BaseRule, l Lineage, to *Promotion) (Base, bool) {
	type place struct{ registry, repository string }
	best := map[place]Base{}
	for _, b := range l.Bases {
		if to != nil && b.Registry == to.Registry && b.Repository == to.Repository || !Globs(rule.Repositories).Match(b.Registry+"/"+b.Repository) {
			continue
		}
		at := place{b.Registry, b.Repository}
		if known, ok := best[at]; !ok || compareReleases(b, known) > 0 {
			best[at] = b
		}
	}
	var chosen Base
	for _, b := range best {
		if chosen.Digest == "" || compareBases(b, chosen) > 0 {
			chosen = b
		}
	}
	return chosen, chosen.Digest != ""
}

// compareReleases orders releases of one repository, the better last.
func compareReleases(a, b Base) int {
	return cmp.Or(
		cmp.Compare(a.Layers, b.Layers), cmp.Compare(b.Behind, a.Behind), a.PromotedAt.Compare(b.PromotedAt),
		cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Manifest, b.Manifest),
	)
}

// compareBases orders bases of different repositories, the one that counts
// last.
func compareBases(a, b Base) int {
	return cmp.Or(
		cmp.Compare(a.Layers, b.Layers), cmp.Compare(a.Behind, b.Behind), b.PromotedAt.Compare(a.PromotedAt),
		cmp.Compare(b.Registry, a.Registry), cmp.Compare(b.Repository, a.Repository),
	)
}

// others leaves the image itself out of a lineage, where it is golden already.
func (e *evaluation) others(l Lineage, to *Promotion) Lineage {
	l.Bases = slices.DeleteFunc(slices.Clone(l.Bases), func(b Base) bool {
		return b.Digest == e.evidence.Subject.Digest || to != nil && b.Registry == to.Registry && b.Repository == to.Repository
	})
	return l
}

// longest is the base with the most layers, whatever its repository.
func (l Lineage) longest() (Base, bool) {
	return chooseBase(BaseRule{Repositories: []string{"**"}}, l, nil)
}

// String names a base for people.
func (b Base) String() string {
	name := b.Registry + "/" + b.Repository
	if len(b.Tags) > 0 {
		name += ":" + b.Tags[0]
	}
	return name + "@" + b.Digest
}

// line is where releases were counted, in words.
func (b Base) line() string {
	if b.Channel == "" {
		return "the repository"
	}
	return "the channel " + b.Channel
}

// newest names the newest release for people.
func (b Base) newest() string {
	name := b.Registry + "/" + b.Repository
	if b.NewestTag != "" {
		name += ":" + b.NewestTag
	}
	if b.Newest != "" {
		name += "@" + b.Newest
	}
	return name
}

// checkRelease asks whether the release of the base is new enough.
func (e *evaluation) checkRelease(p Platform, b Base) {
	rule := e.spec.PatchLevel.Base
	f := Finding{Check: CheckBase, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonTooOld, Remedy: "build the image again on " + b.newest()}
	if rule.MaxBehind != nil && b.Behind > *rule.MaxBehind {
		late := f
		late.Rule = "maxBehind"
		late.Found = fmt.Sprintf("built on %s, which is %s behind in %s", b, releases(b.Behind), b.line())
		late.Expected = fmt.Sprintf("a base that is at most %s behind", releases(*rule.MaxBehind))
		e.add(late)
	}
	if age := e.now.Sub(b.PromotedAt); rule.MaxAge > 0 && age > time.Duration(rule.MaxAge) {
		f.Rule = "maxAge"
		f.Found = fmt.Sprintf("built on %s, golden since %s, %d days ago", b, b.PromotedAt.UTC().Format(time.DateOnly), int(age.Hours()/24))
		f.Expected = "a base that became golden within the last " + rule.MaxAge.String()
		if b.Behind == 0 {
			f.Remedy = "have a newer release of " + b.Registry + "/" + b.Repository + " built and promoted, and build the image again on it"
		}
		e.add(f)
	}
}

func releases(n int) string {
	if n == 1 {
		return "1 release"
	}
	return fmt.Sprintf("%d releases", n)
}

// refuseBase says that a platform is on no base that the policy accepts.
func (e *evaluation) refuseBase(p Platform, others Lineage, refuted bool) {
	f := Finding{
		Check: CheckBase, Rule: "repositories", Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonAbsent,
		Found:    "the layers do not begin with those of a golden image",
		Expected: "layers that begin with all of those of a golden image of " + strings.Join(e.spec.PatchLevel.Base.Repositories, ", "),
		Remedy:   "build on one of these, without squashing its layers; a base becomes golden when it is pushed to staging and promoted",
	}
	claims := BaseClaims(e.evidence.Image, p)
	if other, ok := others.longest(); ok {
		f.Reason, f.Found = ReasonDenied, "built on "+other.String()
	} else if len(claims) > 0 && !refuted {
		f.Found += fmt.Sprintf("; the image says %s=%q, which nothing here can prove", claims[0].Key, claims[0].Value)
	}
	e.add(f)
}

// checkClaims compares what the image says about its base with what the layers
// prove. What a base says itself is inherited, and about its own base. Where no
// base is proven, only claims about golden images are refuted.
func (e *evaluation) checkClaims(p Platform, others Lineage) (refuted bool) {
	for _, c := range BaseClaims(e.evidence.Image, p) {
		if slices.ContainsFunc(others.Bases, func(b Base) bool { return c.fits(b) || c.inherited(b) }) {
			continue
		}
		if len(others.Bases) == 0 && !slices.Contains(others.Golden, c.Digest) {
			continue
		}
		e.refuteClaim(p, c, others)
		refuted = true
	}
	return refuted
}

func (e *evaluation) refuteClaim(p Platform, c BaseClaim, others Lineage) {
	what := "annotation"
	if c.Label {
		what = "label"
	}
	f := Finding{
		Check: CheckBase, Rule: c.Key, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonInvalid,
		Found:    fmt.Sprintf("the %s %s says %q, and the layers do not begin with those of a golden image", what, c.Key, c.Value),
		Expected: "labels and annotations about the base that its layers prove",
		Remedy:   "leave the " + what + " to the tool that builds, or take it away",
	}
	if longest, ok := others.longest(); ok {
		f.Found = fmt.Sprintf("the %s %s says %q; the layers say %s", what, c.Key, c.Value, longest)
	}
	e.add(f)
}
