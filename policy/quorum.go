package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// quorum collects who signed until one of several groups is complete.
type quorum struct {
	groups  []group
	signers []map[string][]int // by group
}

// newQuorum sorts the groups: the order in which a policy names them changes
// no finding.
func newQuorum(groups []group) *quorum {
	q := &quorum{groups: slices.Clone(groups)}
	slices.SortStableFunc(q.groups, func(a, b group) int { return cmp.Compare(a.String(), b.String()) })
	for range q.groups {
		q.signers = append(q.signers, map[string][]int{})
	}
	return q
}

// is says whether a piece of evidence is by somebody of the groups.
func (q *quorum) is(result Verification, verifiedBy []string, identities []Identity) bool {
	return slices.ContainsFunc(q.groups, func(g group) bool {
		_, who := g.signedBy(result, verifiedBy, identities)
		return len(who) > 0
	})
}

// add counts a piece of evidence, and says whether it is by somebody of the
// groups.
func (q *quorum) add(result Verification, verifiedBy []string, identities []Identity) bool {
	counts := false
	for i, g := range q.groups {
		signer, who := g.signedBy(result, verifiedBy, identities)
		merge(q.signers[i], signer, who)
		counts = counts || len(who) > 0
	}
	return counts
}

// reached says whether one of the groups is complete.
func (q *quorum) reached() bool {
	for i, g := range q.groups {
		if g.matched(q.signers[i]) >= g.threshold {
			return true
		}
	}
	return false
}

// some says who signed when not enough did, of the group that lacks the
// fewest; empty when nobody did.
func (q *quorum) some() string {
	text, least := "", 0
	for i, g := range q.groups {
		n := g.matched(q.signers[i])
		if n == 0 || text != "" && g.threshold-n >= least {
			continue
		}
		least = g.threshold - n
		text = fmt.Sprintf("%d of %d signers (%s)", n, g.threshold, strings.Join(g.names(q.signers[i]), ", "))
	}
	return text
}

// names lists the authorities who signed.
func (g group) names(signers map[string][]int) []string {
	signed := map[int]bool{}
	for _, authorities := range signers {
		for _, i := range authorities {
			signed[i] = true
		}
	}
	var names []string
	for i, a := range g.anyOf {
		if signed[i] {
			names = append(names, a.String())
		}
	}
	return names
}

// String says by whom, for people.
func (q *quorum) String() string {
	names := make([]string, 0, len(q.groups))
	for _, g := range q.groups {
		names = append(names, g.String())
	}
	return strings.Join(names, "; or ")
}

// command is what the developer runs, as the first of the authorities would.
// cosign is the program for keys and identities; the Notary Project has its
// own, and only for signatures.
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
