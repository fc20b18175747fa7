package policyset

import (
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// changes names the policies that are not as they were.
type changes struct{ added, changed, removed []string }

func (c changes) none() bool { return len(c.added)+len(c.changed)+len(c.removed) == 0 }

func compare(before, after []policyfile.Policy) changes {
	var c changes
	was := map[string]string{}
	for _, p := range before {
		was[p.Name()] = p.Fingerprint()
	}
	for _, p := range after {
		switch fingerprint, known := was[p.Name()]; {
		case !known:
			c.added = append(c.added, p.Name())
		case fingerprint != p.Fingerprint():
			c.changed = append(c.changed, p.Name())
		}
		delete(was, p.Name())
	}
	for name := range was {
		c.removed = append(c.removed, name)
	}
	slices.Sort(c.removed)
	return c
}
