package policy

import (
	"fmt"
	"slices"
	"strings"
)

// quorum collects who signed until one of several groups is complete.
type quorum struct {
	groups  []group
	signers []map[string][]int // by group
}

func newQuorum(groups []group) *quorum {
	q := &quorum{groups: groups}
	for range groups {
		q.signers = append(q.signers, map[string][]int{})
	}
	return q
}

// is says whether a piece of evidence is by somebody of the groups.
func (q *quorum) is(result Verification, verifiedBy []string, identities []Identity) bool {
	return slices.ContainsFunc(q.groups, func(g group) bool { return len(g.signedBy(result, verifiedBy, identities)) > 0 })
}

// add counts a piece of evidence, and says whether it is by somebody of the
// groups.
func (q *quorum) add(result Verification, verifiedBy []string, identities []Identity) bool {
	counts := false
	for i, g := range q.groups {
		more := g.signedBy(result, verifiedBy, identities)
		merge(q.signers[i], more)
		counts = counts || len(more) > 0
	}
	return counts
}

// reached says whether one of the groups is complete.
func (q *quorum) reached() bool {
	for i, g := range q.groups {
		if g.reached(q.signers[i]) {
			return true
		}
	}
	return false
}

// some says that there are signers, but not enough; empty when there are none.
func (q *quorum) some() string {
	most := 0
	for _, signers := range q.signers {
		most = max(most, len(signers))
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("not enough signers: %d", most)
}

// String says by whom, for people.
func (q *quorum) String() string {
	names := make([]string, 0, len(q.groups))
	for _, g := range q.groups {
		names = append(names, g.String())
	}
	return strings.Join(names, "; or ")
}

// command is what the developer runs: with a key where the first authority is
// one.
func (q *quorum) command(program, rest string) string {
	if len(q.groups) > 0 && len(q.groups[0].anyOf) > 0 {
		switch a := q.groups[0].anyOf[0]; {
		case a.PublicKey != nil:
			program += " --key KEY"
		case a.Notary != nil && program == "cosign sign":
			program = "notation sign"
		}
	}
	return program + " " + rest
}
