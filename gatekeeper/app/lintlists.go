package app

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// listsOf reads the lists at each location, so that a policy may name one at
// another. What is wrong with them is told when the location itself is read.
func listsOf(locations []string) []policy.Lists {
	all := make([]policy.Lists, len(locations))
	for i, location := range locations {
		all[i], _, _ = policyset.Source{Location: location}.ReadLists()
	}
	return all
}

// elsewhere are the lists that one location does not have, and others do.
func elsewhere(all []policy.Lists, here int) policy.Lists {
	found := policy.Lists{Exceptions: map[string][]policy.Exception{}, Versions: map[string][]policy.Recommended{}}
	for i, lists := range all {
		if i != here {
			found = over(found, lists)
		}
	}
	for name := range all[here].Exceptions {
		delete(found.Exceptions, name)
	}
	for name := range all[here].Versions {
		delete(found.Versions, name)
	}
	return found
}

// over puts lists in the place of others of the same name.
func over(below, above policy.Lists) policy.Lists {
	both := policy.Lists{Exceptions: map[string][]policy.Exception{}, Versions: map[string][]policy.Recommended{}}
	for _, lists := range []policy.Lists{below, above} {
		maps.Copy(both.Exceptions, lists.Exceptions)
		maps.Copy(both.Versions, lists.Versions)
	}
	return both
}

// namesList says whether one of the policies names a list.
func namesList(policies []policyfile.Policy, list policyfile.List) bool {
	return slices.ContainsFunc(policies, func(p policyfile.Policy) bool {
		exceptions, versions := p.Lists()
		return list.Kind == policy.KindExceptionList && slices.Contains(exceptions, list.Name) ||
			list.Kind == policy.KindVersionList && slices.Contains(versions, list.Name)
	})
}

// warnLists warns of lists that have no effect, when there are policies that
// could name them.
func (l *linted) warnLists() {
	for _, list := range l.lists {
		if len(l.policies) > 0 && !namesList(l.policies, list) {
			l.warnOnce(fmt.Sprintf("%s: no policy names the %s %s, so that it has no effect", list.File, list.Kind, list.Name))
		}
	}
}

func (l *linted) warnOnce(warning string) {
	if !slices.Contains(l.warnings, warning) {
		l.warnings = append(l.warnings, warning)
	}
}

// placed is an exception with its place, for warnings: that of a list is the
// same for every policy that names it.
type placed struct {
	policy.GrantedException

	place string
}

// exceptionsOf lists the exceptions of a policy with their places.
func exceptionsOf(p policyfile.Policy) []placed {
	next := map[string]int{}
	var all []placed
	for _, x := range p.Exceptions() {
		i := next[x.List]
		next[x.List]++
		place := fmt.Sprintf("%s: policy %s: exceptions[%d]", p.File, p.Name(), i)
		if x.List != "" {
			place = fmt.Sprintf("%s %s: exceptions[%d]", policy.KindExceptionList, x.List, i)
		}
		all = append(all, placed{x, place})
	}
	return all
}

// warnExceptions warns of exceptions that ended, or end before anybody may look
// again, and of those that another one makes useless.
func (l *linted) warnExceptions(p policyfile.Policy, now time.Time) {
	byID := map[string][]placed{}
	for _, x := range exceptionsOf(p) {
		ends := ""
		switch gatekeeper.ExceptionStateOf(x.Exception, now) {
		case gatekeeper.ExceptionExpired:
			ends = "ended on "
		case gatekeeper.ExceptionExpiring:
			ends = "ends on "
		case gatekeeper.ExceptionActive, gatekeeper.ExceptionUnused:
		}
		if ends != "" {
			l.warnOnce(fmt.Sprintf("%s, of %s by %s, %s%s", x.place, x.ID, x.Owner, ends, x.Expires.UTC().Format(time.DateTime)))
		}
		byID[x.ID] = append(byID[x.ID], x)
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		l.warnShadowed(byID[id])
	}
}

// maxShadows bounds how many exceptions of one vulnerability are compared with
// each other.
const maxShadows = 200

// warnShadowed warns of exceptions of one vulnerability that change nothing. Of
// two that say the same, it is the later one.
func (l *linted) warnShadowed(same []placed) {
	same = same[:min(len(same), maxShadows)]
	for i, x := range same {
		for j, other := range same {
			if i == j || !other.Shadows(x.Exception) || j > i && x.Shadows(other.Exception) {
				continue
			}
			l.warnOnce(fmt.Sprintf("%s, of %s by %s, changes nothing: %s excuses the same or more, for as long", x.place, x.ID, x.Owner, other.place))
			break
		}
	}
}
