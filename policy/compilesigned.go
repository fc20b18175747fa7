package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultTrustRoot is the trust root of keyless authorities that name none:
// Sigstore's public instance.
const DefaultTrustRoot = "sigstore"

// maxAnyOf bounds the authorities of one group.
const maxAnyOf = 64

// group is a compiled authority: how many of whom have to sign.
type group struct {
	anyOf     []Authority
	threshold int
}

// String names the group for people.
func (g group) String() string {
	names := make([]string, 0, len(g.anyOf))
	for _, a := range g.anyOf {
		names = append(names, a.String())
	}
	switch {
	case g.threshold > 1:
		return fmt.Sprintf("%d of: %s", g.threshold, strings.Join(names, ", "))
	case len(names) == 1:
		return names[0]
	}
	return "one of: " + strings.Join(names, ", ")
}

// attestationVariables are the variables of spec.attestations[].expression.
func attestationVariables() []string { return []string{"predicate", "subject", "push", "now"} }

func (b *builder) compileAuthorities() {
	for i, a := range b.c.policy.Spec.Authorities {
		b.compileGroup(fmt.Sprintf("$.spec.authorities[%d]", i), a.Name, a.AnyOf, a.Threshold)
	}
}

// compileSignatures takes the rules with authorities of their own first: the
// others refer to any of them.
func (b *builder) compileSignatures() {
	named := map[string]bool{}
	for i, s := range b.c.policy.Spec.Signatures {
		path := fmt.Sprintf("$.spec.signatures[%d]", i)
		if named[s.Name] && s.Name != "" {
			b.errorf(path+".name", "%q is there twice", s.Name)
		}
		twice := named[s.Name]
		named[s.Name] = true
		switch {
		case twice:
		case len(s.SignedBy) == 0:
			b.compileGroup(path, s.Name, s.AnyOf, s.Threshold)
		case len(s.AnyOf) > 0 || s.Threshold != 0:
			b.errorf(path, "both signedBy and authorities of its own; keep one")
		default:
			b.require(path+".name", s.Name, "a name that findings refer to")
		}
	}
	for i, s := range b.c.policy.Spec.Signatures {
		if len(s.SignedBy) > 0 {
			b.checkSignedBy(fmt.Sprintf("$.spec.signatures[%d].signedBy", i), s.SignedBy)
		}
	}
}

func (b *builder) compileGroup(path, name string, anyOf []KeyReference, threshold int) {
	b.require(path+".name", name, "a name that findings and signedBy refer to")
	if _, twice := b.c.signers[name]; twice && name != "" {
		b.errorf(path+".name", "%q is there twice", name)
	}
	if len(anyOf) == 0 || len(anyOf) > maxAnyOf {
		b.errorf(path+".anyOf", "%d entries; write at least one {keyFile: …} or {keyless: …}, and at most %d", len(anyOf), maxAnyOf)
	}
	if threshold < 0 || threshold > len(anyOf) {
		b.errorf(path+".threshold", "%d of %d; write a number from 1 to %d", threshold, len(anyOf), len(anyOf))
	}
	g := group{threshold: cmp.Or(threshold, 1)}
	for j, ref := range anyOf {
		a, ok := b.compileAuthority(fmt.Sprintf("%s.anyOf[%d]", path, j), ref)
		if !ok {
			continue
		}
		if slices.ContainsFunc(g.anyOf, func(other Authority) bool { return other.ID == a.ID }) {
			b.errorf(fmt.Sprintf("%s.anyOf[%d]", path, j), "the same authority is there twice; it counts once")
			continue
		}
		g.anyOf = append(g.anyOf, a)
		if !slices.ContainsFunc(b.c.authorities, func(other Authority) bool { return other.ID == a.ID }) {
			b.c.authorities = append(b.c.authorities, a)
		}
	}
	g.order()
	b.c.signers[name] = g
}

// compileAuthority compiles one entry of anyOf, which is of exactly one kind.
func (b *builder) compileAuthority(path string, ref KeyReference) (Authority, bool) {
	kinds := 0
	for _, set := range []bool{ref.Key != "", ref.Keyless != nil, ref.Notary != nil} {
		if set {
			kinds++
		}
	}
	var a Authority
	var key string
	var err error
	switch {
	case kinds != 1:
		b.errorf(path, "%d authorities; write exactly one of keyFile, kms, key, keyless and notary", kinds)
		return a, false
	case ref.Key == "" && ref.TrustRoot != "":
		b.errorf(path+".trustRoot", "belongs to a key; that of keyless is keyless.trustRoot")
		return a, false
	case ref.Keyless != nil:
		keyless := *ref.Keyless
		keyless.TrustRoot = cmp.Or(keyless.TrustRoot, DefaultTrustRoot)
		a, key, err = newKeyless(keyless)
		path += ".keyless." + key
	case ref.Notary != nil:
		a, key, err = newNotary(*ref.Notary)
		path += ".notary." + key
	default:
		a, err = NewAuthority([]byte(ref.Key))
		a = a.inLogOf(ref.TrustRoot)
		a.Name = ref.KeyFile + ref.KMS // one of them, or neither
	}
	if err != nil {
		b.errorf(path, "%v", err)
	}
	return a, err == nil
}

// checkSignedBy makes sure that every name is one of an authority.
func (b *builder) checkSignedBy(path string, names []string) {
	if len(names) == 0 {
		b.errorf(path, "missing; write the names of authorities, or of signature rules with anyOf, who may sign it")
	}
	for j, name := range names {
		b.c.referred[name] = true
		if _, known := b.c.signers[name]; !known {
			b.errorf(fmt.Sprintf("%s[%d]", path, j), "no authority is named %q; known here: %s",
				name, strings.Join(slices.Sorted(maps.Keys(b.c.signers)), ", "))
		}
		if slices.Contains(names[:j], name) {
			b.errorf(fmt.Sprintf("%s[%d]", path, j), "%q is there twice", name)
		}
	}
}

// checkAttesters makes sure that each named authority can attest: the Notary
// Project signs images, not statements about them.
func (b *builder) checkAttesters(path string, names []string) {
	b.checkSignedBy(path, names)
	for j, name := range names {
		able := 0
		for _, a := range b.c.signers[name].anyOf {
			if a.Notary == nil {
				able++
			}
		}
		if g := b.c.signers[name]; len(g.anyOf) > able && able < g.threshold {
			b.errorf(fmt.Sprintf("%s[%d]", path, j), "%q can never attest: signatures of the Notary Project are on images alone; name keys or identities", name)
		}
	}
}

// groups returns the compiled authorities of some names.
func (c *Compiled) groups(names ...string) []group {
	all := make([]group, 0, len(names))
	for _, name := range names {
		all = append(all, c.signers[name])
	}
	return all
}

// Named returns the authorities that the policy calls by a name: those of a
// group, or a key by its file or its place in a key management system.
func (c *Compiled) Named(name string) []Authority {
	if g, ok := c.signers[name]; ok {
		return slices.Clone(g.anyOf)
	}
	var named []Authority
	for _, a := range c.authorities {
		if a.Name == name {
			named = append(named, a)
		}
	}
	return named
}
