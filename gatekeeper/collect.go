package gatekeeper

import (
	"context"
	"fmt"

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
	var signedProblem, scanProblems []policy.Problem
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		signed, signedProblem = g.collectSigned(groupCtx, ev.Subject, authorities(matching))
		return nil
	})
	group.Go(func() (err error) {
		started := g.Now()
		ev.Image, err = g.Images.ReadImage(groupCtx, ev.Subject)
		g.Observer.Stage(StageImage, g.Now().Sub(started))
		if err != nil {
			return fmt.Errorf("read %s@%s: %w", p.Repository, p.Digest, err)
		}
		if needsScan(matching) {
			scanProblems = g.scan(groupCtx, ev)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ev.Signatures = append(ev.Signatures, signed.Signatures...)
	ev.Attestations = append(ev.Attestations, signed.Attestations...)
	ev.Problems = append(signedProblem, scanProblems...)
	return ev, ctx.Err()
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

// scan looks into every platform, one after the other: the scanner bounds how
// many images are open at a time.
func (g *Gate) scan(ctx context.Context, ev *policy.Evidence) []policy.Problem {
	started := g.Now()
	defer func() { g.Observer.Stage(StageScan, g.Now().Sub(started)) }()
	var problems []policy.Problem
	for i := range ev.Image.Platforms {
		platform := &ev.Image.Platforms[i]
		scan, problem, err := g.Scanner.Scan(ctx, ev.Subject, *platform)
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

// authorities lists every key that one of the policies names, once.
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

func needsScan(matching []*policy.Compiled) bool {
	for _, c := range matching {
		if c.NeedsScan() {
			return true
		}
	}
	return false
}
