package gatekeeper

import (
	"context"
	"fmt"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of what is attested about the platforms of one index, of all of them
// together: bytes of predicates that are kept, and attestations after which no
// more platforms are looked at. An index is one image, whose evidence must not
// take many times as long as another's.
const (
	maxApart      = 32 << 20
	maxApartItems = 256
)

// attestedApart is what is attested about the platforms of an index, each by
// itself.
type attestedApart struct {
	about    map[string][]policy.Attestation // by the platform's digest; nil: nobody looked
	problems []policy.Problem
}

// collectApart looks for what is attested about each platform of an index, when
// one of the policies reads that. Whatever arrives about a platform from then on
// wakes the push.
func (g *Gate) collectApart(ctx context.Context, p Push, s policy.Subject, image policy.Image, matching []*policy.Compiled) (attestedApart, error) {
	asking := slices.DeleteFunc(slices.Clone(matching), func(c *policy.Compiled) bool { return !c.AsksAboutPlatforms() })
	digests := apart(s, image)
	if len(asking) == 0 || len(digests) == 0 {
		return attestedApart{}, nil
	}
	if p.ID != 0 { // what is only checked is not woken
		if err := g.Waker.Watch(ctx, s, digests); err != nil {
			return attestedApart{}, fmt.Errorf("record the platforms of %s@%s: %w", s.Repository, s.Digest, err)
		}
	}
	found := attestedApart{about: map[string][]policy.Attestation{}}
	kept, items := 0, 0
	for _, digest := range digests {
		if items > maxApartItems {
			found.about[digest] = []policy.Attestation{}
			found.unread(image, digest, fmt.Errorf("there are more than %d attestations about the platforms before it; no more are judged", maxApartItems))
			continue
		}
		about, err := g.Signatures.CollectAttestations(ctx, policy.Subject{Registry: s.Registry, Repository: s.Repository, Digest: digest}, authorities(asking))
		items += len(about)
		if kept += bytesOf(about); kept > maxApart {
			about, err = nil, fmt.Errorf("what is attested about the platforms has more than %d bytes together; no more are kept", maxApart)
		}
		found.about[digest] = append([]policy.Attestation{}, about...)
		if err != nil {
			found.unread(image, digest, err)
		}
	}
	return found, ctx.Err()
}

// unread records that not everything about a platform could be read.
func (a *attestedApart) unread(image policy.Image, digest string, err error) {
	for _, p := range image.Platforms {
		if p.Digest == digest {
			a.problems = append(a.problems, policy.Problem{Part: policy.PartSignatures, Platform: p.Name, Reason: err.Error()})
		}
	}
}

// apart lists the platforms that are not the subject itself, each once.
func apart(s policy.Subject, image policy.Image) (digests []string) {
	for _, p := range image.Platforms {
		if p.Digest != s.Digest && !slices.Contains(digests, p.Digest) {
			digests = append(digests, p.Digest)
		}
	}
	return digests
}

// bytesOf is what attestations say, in bytes.
func bytesOf(attestations []policy.Attestation) (bytes int) {
	for _, a := range attestations {
		bytes += len(a.Predicate)
	}
	return bytes
}

// troubled says whether part of what is attested about a platform could not be
// read.
func (a attestedApart) troubled(p policy.Platform) bool {
	return slices.ContainsFunc(a.problems, func(problem policy.Problem) bool { return problem.Platform == p.Name })
}

// file adds it to the evidence.
func (a attestedApart) file(ev *policy.Evidence) {
	for i := range ev.Image.Platforms {
		p := &ev.Image.Platforms[i]
		p.Attestations = a.about[p.Digest]
	}
}
