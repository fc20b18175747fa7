package policy

import (
	"cmp"
	"slices"
	"strings"
)

// signedBy tells who signed a piece of evidence, of the authorities of a group:
// a name for the signer, and the indexes of the authorities that he is. A piece
// of evidence has one signature, so it is one signer's, under however many
// names he is known. Nobody has no name and no authority.
func (g group) signedBy(result Verification, verifiedBy []string, identities []Identity) (signer string, authorities []int) {
	if result != Verified {
		return "", nil
	}
	var people, keys, notaries []string
	for i, a := range g.anyOf {
		is := slices.Contains(verifiedBy, a.ID)
		switch {
		case is && a.Notary != nil:
			notaries = append(notaries, a.ID)
		case is: // the key with a log and the key without one are one signer
			keys = append(keys, string(a.PublicKey))
		}
		for _, id := range identities {
			if a.Matches(id) {
				is = true
				people = append(people, id.key())
			}
		}
		if is {
			authorities = append(authorities, i)
		}
	}
	switch {
	case len(people) > 0:
		signer = "identity " + slices.Min(people)
	case len(keys) > 0:
		signer = "key " + slices.Min(keys)
	case len(notaries) > 0:
		// The evidence does not say which certificate it was, but one
		// certificate is always the same authorities.
		slices.Sort(notaries)
		signer = "notary " + strings.Join(notaries, " ")
	}
	return signer, authorities
}

// matched counts those who signed: pairs of one signer and one authority, no
// signer and no authority in two of them. Somebody who is two of the
// authorities counts once, and so do two signers who are the same authority.
func (g group) matched(signers map[string][]int) int {
	taken := map[int]string{} // authority to signer
	var place func(signer string, tried map[int]bool) bool
	place = func(signer string, tried map[int]bool) bool {
		for _, i := range signers[signer] {
			if tried[i] {
				continue
			}
			tried[i] = true
			if other, ok := taken[i]; !ok || place(other, tried) {
				taken[i] = signer
				return true
			}
		}
		return false
	}
	n := 0
	for signer := range signers {
		if place(signer, map[int]bool{}) {
			n++
		}
	}
	return n
}

// order sorts the authorities, so that the order in which a policy names them
// changes no finding: keys, then identities, then the Notary Project's.
func (g group) order() {
	kind := func(a Authority) int {
		switch {
		case a.Keyless != nil:
			return 1
		case a.Notary != nil:
			return 2
		}
		return 0
	}
	slices.SortFunc(g.anyOf, func(a, b Authority) int {
		return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a.String(), b.String()), cmp.Compare(a.ID, b.ID))
	})
}

// merge adds a signer to those of other evidence.
func merge(all map[string][]int, signer string, authorities []int) {
	for _, i := range authorities {
		if !slices.Contains(all[signer], i) {
			all[signer] = append(all[signer], i)
		}
	}
}

// knows says whether one of the policy's authorities stands behind a piece of
// evidence.
func (c *Compiled) knows(result Verification, verifiedBy []string, identities []Identity) bool {
	_, known := group{anyOf: c.authorities}.signedBy(result, verifiedBy, identities)
	return len(known) > 0
}
