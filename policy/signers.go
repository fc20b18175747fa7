package policy

import "slices"

// signedBy tells who stands behind a piece of evidence, of the authorities of
// a group: for each signer, the indexes of the authorities that it is.
func (g group) signedBy(result Verification, verifiedBy []string, identities []Identity) map[string][]int {
	signers := map[string][]int{}
	if result != Verified {
		return signers
	}
	for i, a := range g.anyOf {
		if slices.Contains(verifiedBy, a.ID) {
			signers[a.ID] = append(signers[a.ID], i)
		}
		for _, id := range identities {
			if a.Matches(id) {
				signers[id.key()] = append(signers[id.key()], i)
			}
		}
	}
	return signers
}

// reached says whether enough of the group signed: as many pairs of one signer
// and one authority as the threshold asks for, no signer and no authority in
// two of them. Somebody who is two of the authorities counts once, and so do
// two signers who are the same authority.
func (g group) reached(signers map[string][]int) bool {
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
	return n >= g.threshold
}

// merge adds the signers of one piece of evidence to those of others.
func merge(all, more map[string][]int) {
	for signer, authorities := range more {
		for _, i := range authorities {
			if !slices.Contains(all[signer], i) {
				all[signer] = append(all[signer], i)
			}
		}
	}
}

// knows says whether one of the policy's authorities stands behind a piece of
// evidence.
func (c *Compiled) knows(result Verification, verifiedBy []string, identities []Identity) bool {
	return len(group{anyOf: c.authorities}.signedBy(result, verifiedBy, identities)) > 0
}
