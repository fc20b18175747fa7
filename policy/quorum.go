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
func (q *quorum) is(p proof) bool {
	return slices.ContainsFunc(q.groups, func(g group) bool {
		_, who := g.signedBy(p)
		return len(who) > 0
	})
}

// add counts a piece of evidence, and says whether it is by somebody of the
// groups.
func (q *quorum) add(p proof) bool {
	counts := false
	for i, g := range q.groups {
		signer, who := g.signedBy(p)
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
	i, n := q.closest()
	if n == 0 {
		return ""
	}
	g := q.groups[i]
	var names []string
	for j, a := range g.anyOf {
		if signedAs(q.signers[i], j) {
			names = append(names, a.String())
		}
	}
	return fmt.Sprintf("%d of %d signers (%s)", n, g.threshold, strings.Join(names, ", "))
}

// closest returns the group with signers that lacks the fewest, and how many
// signed; the first when nobody did.
func (q *quorum) closest() (i, signed int) {
	for j, g := range q.groups {
		n := g.matched(q.signers[j])
		if n > 0 && (signed == 0 || g.threshold-n < q.groups[i].threshold-signed) {
			i, signed = j, n
		}
	}
	return i, signed
}

// lacks returns how many signers the closest group lacks.
func (q *quorum) lacks() int {
	i, signed := q.closest()
	return q.groups[i].threshold - signed
}

// signedAs says whether somebody signed as an authority.
func signedAs(signers map[string][]int, authority int) bool {
	for _, authorities := range signers {
		if slices.Contains(authorities, authority) {
			return true
		}
	}
	return false
}

// butFor says which claims alone keep an identity from being one of the
// authorities; empty when other things do, too.
func (q *quorum) butFor(id Identity) string {
	if q == nil {
		return ""
	}
	var claims []string
	for _, g := range q.groups {
		for _, a := range g.anyOf {
			for _, name := range a.onlyClaims(id) {
				value := "without " + name
				if v := id.Claims[name]; v != "" {
					value = "with " + name + " " + v
				}
				claims = append(claims, value)
			}
		}
	}
	slices.Sort(claims)
	if claims = slices.Compact(claims); len(claims) == 0 {
		return ""
	}
	return " " + strings.Join(claims, ", ")
}

// String says by whom, for people.
func (q *quorum) String() string {
	names := make([]string, 0, len(q.groups))
	for _, g := range q.groups {
		names = append(names, g.String())
	}
	return strings.Join(names, "; or ")
}

// command is what the developer runs, as the first of the authorities would
// who did not sign yet. cosign is the program for keys and identities; the
// Notary Project has its own, for signatures alone.
func (q *quorum) command(program, rest string) string {
	closest, _ := q.closest()
	if closest >= len(q.groups) {
		return program + " " + rest
	}
	for i, a := range q.groups[closest].anyOf {
		attests := a.Notary == nil
		switch {
		case signedAs(q.signers[closest], i), !attests && program != "cosign sign":
			continue
		case a.PublicKey != nil:
			return program + " --key KEY " + rest
		case !attests:
			return "notation sign " + rest
		}
		return program + " " + rest
	}
	return program + " " + rest
}

// remedy is what to do, by whom.
func (q *quorum) remedy(what string, names []string) string {
	if q.some() != "" {
		return "have another of the signers " + what + " as " + quoted(names) + ": "
	}
	return what + " as " + quoted(names) + ": "
}
