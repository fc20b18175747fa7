package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// collect gathers the evidence that the matching policies ask for. What could
// not be found out is a Problem in it; only trouble with the image itself is
// an error, since nothing can be said without it.
func (g *Gate) collect(ctx context.Context, p Push, matching []*policy.Compiled) (*policy.Evidence, error) {
	ev := &policy.Evidence{
		Subject:      policy.Subject{Registry: p.Source, Repository: p.Repository, Digest: p.Digest},
		Push:         policy.Push{Tag: p.Tag, Actor: p.Actor, ReceivedAt: p.ReceivedAt},
		Signatures:   []policy.Signature{},
		Attestations: []policy.Attestation{},
	}
	var signed Signed
	var attested attestedApart
	var signedProblem, scanProblems, lineageProblems []policy.Problem
	collected := make(chan struct{}) // closed when signed and signedProblem are there
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(collected)
		signed, signedProblem = g.collectSigned(groupCtx, ev.Subject, authorities(matching))
		return nil
	})
	group.Go(func() (err error) {
		started := g.Now()
		ev.Image, err = g.Images.ReadImage(groupCtx, ev.Subject)
		g.Observer.Stage(StageImage, g.Now().Sub(started))
		switch {
		case err != nil:
			return fmt.Errorf("read %s@%s: %w", p.Repository, p.Digest, err)
		case !p.Slow && size(ev.Image) > LargeImage:
			return errLarge
		}
		if needsLineage(matching) {
			lineageProblems = g.findBases(groupCtx, &ev.Image)
		}
		apart := make(chan struct{}) // closed when attested is there
		image := ev.Image
		image.Platforms = slices.Clone(image.Platforms) // to which scans are added meanwhile
		group.Go(func() (err error) {
			defer close(apart)
			attested, err = g.collectApart(groupCtx, p, ev.Subject, image, matching)
			return err
		})
		look := scanned(matching, ev.Image)
		if look == nil {
			return nil
		}
		choose := noSBOM
		if takeSBOM(matching) {
			for _, there := range []chan struct{}{collected, apart} {
				select {
				case <-there:
				case <-groupCtx.Done():
					return groupCtx.Err()
				}
			}
			choose = chooser(matching, ev.Subject, signed, signedProblem, attested)
		}
		scanProblems = g.scan(groupCtx, ev, look, choose)
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ev.Signatures = append(ev.Signatures, signed.Signatures...)
	ev.Attestations = append(ev.Attestations, signed.Attestations...)
	attested.file(ev)
	ev.Problems = slices.Concat(signedProblem, attested.problems, scanProblems, lineageProblems)
	return ev, ctx.Err()
}

// LargeImage is the size of the layers of an image, in bytes as they are
// stored and of all platforms together, beyond which it is judged apart from
// others, so that it does not hold them up.
const LargeImage = 1 << 30

// errLarge says that an image is to be judged apart.
var errLarge = errors.New("the image is large")

// size is what an image's layers take in a registry, in bytes.
func size(i policy.Image) (bytes int64) {
	for _, p := range i.Platforms {
		for _, l := range p.Layers {
			bytes += l.Size
		}
	}
	return bytes
}

func (g *Gate) collectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (Signed, []policy.Problem) {
	if len(authorities) == 0 {
		return Signed{}, nil
	}
	started := g.Now()
	signed, err := g.Signatures.CollectSigned(ctx, s, authorities)
	g.Observer.Stage(StageSignatures, g.Now().Sub(started))
	if err != nil {
		return signed, []policy.Problem{{Part: policy.PartSignatures, Reason: err.Error()}}
	}
	return signed, nil
}

// scanned says which platforms are looked into; nil: none. Where the base shows
// only once the layers are unpacked, they are, whoever asks.
func scanned(matching []*policy.Compiled, image policy.Image) func(policy.Platform) bool {
	byBase := func(p policy.Platform) bool { return p.Lineage.NeedsLayers() }
	switch {
	case needsScan(matching):
		return func(policy.Platform) bool { return true }
	case slices.ContainsFunc(image.Platforms, byBase):
		return byBase
	}
	return nil
}

// scan looks into platforms, one after the other: the scanner bounds how many
// images are open at a time.
func (g *Gate) scan(ctx context.Context, ev *policy.Evidence, look func(policy.Platform) bool, choose choice) []policy.Problem {
	started := g.Now()
	defer func() { g.Observer.Stage(StageScan, g.Now().Sub(started)) }()
	var problems []policy.Problem
	for i := range ev.Image.Platforms {
		platform := &ev.Image.Platforms[i]
		if !look(*platform) {
			continue
		}
		scan, problem, err := g.scanPlatform(ctx, ev.Subject, *platform, choose)
		if err != nil {
			problem = &policy.Problem{Part: policy.PartScan, Reason: err.Error()}
		}
		if problem != nil {
			problem.Platform = platform.Name
			problems = append(problems, *problem)
		}
		platform.Scan = scan
	}
	return problems
}

func (g *Gate) scanPlatform(ctx context.Context, s policy.Subject, p policy.Platform, choose choice) (*policy.Scan, *policy.Problem, error) {
	if sbom, ok := choose(p); ok && !p.Lineage.NeedsLayers() {
		return g.Scanner.ScanSBOM(ctx, sbom)
	}
	return g.Scanner.Scan(ctx, s, p)
}

// choice says which SBOM stands in for cataloguing a platform's layers.
type choice func(p policy.Platform) (policy.SBOM, bool)

func noSBOM(policy.Platform) (policy.SBOM, bool) { return policy.SBOM{}, false }

// chooser takes SBOMs from what was collected about the subject, and about each
// platform of an index. When part of that could not be read, another SBOM may be
// there that contradicts the one that was: then the layers are asked.
func chooser(matching []*policy.Compiled, s policy.Subject, signed Signed, problems []policy.Problem, attested attestedApart) choice {
	return func(p policy.Platform) (policy.SBOM, bool) {
		about, troubled := signed.Attestations, len(problems) > 0
		if p.Digest != s.Digest {
			about, troubled = attested.about[p.Digest], attested.troubled(p)
		}
		if troubled {
			return policy.SBOM{}, false
		}
		return policy.AgreedSBOM(matching, about)
	}
}

// takeSBOM says whether the scan has to wait for the attestations: only when
// an SBOM among them could stand in for it.
func takeSBOM(matching []*policy.Compiled) bool {
	for _, c := range matching {
		if c.NeedsScan() && !c.TakesSBOM() {
			return false
		}
	}
	return true
}

// authorities lists everybody that one of the policies names, once.
func authorities(matching []*policy.Compiled) []policy.Authority {
	var all []policy.Authority
	seen := map[string]bool{}
	for _, c := range matching {
		for _, a := range c.Authorities() {
			if !seen[a.ID] {
				seen[a.ID] = true
				all = append(all, a)
			}
		}
	}
	return all
}

func needsLineage(matching []*policy.Compiled) bool {
	return slices.ContainsFunc(matching, (*policy.Compiled).NeedsLineage)
}

func needsScan(matching []*policy.Compiled) bool {
	for _, c := range matching {
		if c.NeedsScan() {
			return true
		}
	}
	return false
}
