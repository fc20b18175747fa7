package policy

import (
	"cmp"
	"slices"
)

// proof is what verification said about one piece of evidence.
type proof struct {
	result      Verification
	verifiedBy  []string
	identities  []Identity
	certificate string
}

func (s Signature) proof() proof { return proof{s.Result, s.VerifiedBy, s.Identities, s.Certificate} }

// proof has no certificate: the Notary Project attests nothing.
func (a Attestation) proof() proof { return proof{a.Result, a.VerifiedBy, a.Identities, ""} }

// signedBy tells who signed a piece of evidence, of the authorities of a group:
// a name for the signer, and the indexes of the authorities that he is. A piece
// of evidence has one signature, so it is one signer's, under however many
// names he is known. Nobody has no name and no authority.
func (g group) signedBy(p proof) (signer string, authorities []int) {
	if p.result != Verified {
		return "", nil
	}
	var people, keys []string
	for i, a := range g.anyOf {
		is := slices.Contains(p.verifiedBy, a.ID)
		switch {
		case is && a.Notary != nil:
			keys = append(keys, cmp.Or(p.certificate, unnamed))
		case is: // the key with a log and the key without one are one signer
			keys = append(keys, a.keyID())
		}
		for _, id := range p.identities {
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
	}
	return signer, authorities
}

// unnamed is the signer of all Notary Project signatures whose evidence does
// not say which certificate it was: together they count once.
const unnamed = "notary"

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
func (c *Compiled) knows(p proof) bool {
	_, known := group{anyOf: c.authorities}.signedBy(p)
	return len(known) > 0
}
