package gatekeeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// byNoPolicy is what a push was judged by that no policy matches.
const byNoPolicy = "no policy"

// judgedByBytes is how much of the hash tells apart what pushes are judged by.
const judgedByBytes = 16

// JudgedBy names what a push is judged by at a moment: the policies that match
// it, with their keys, their lists and the exceptions for its repository that
// have not ended, and what the trust roots hold that these name. A push that was
// judged by something else has to be judged again. The name is the same whatever
// the order of policies, and after a restart. It is empty when a trust root
// cannot be read: nobody knows what it would be judged by.
func JudgedBy(policies *policy.Set, source, repository, tag string, now time.Time, trustRoot func(name string) (fingerprint string, err error)) string {
	return judgedBy(policies.Matching(source, repository, tag), repository, now, trustRoot)
}

func (g *Gate) judgedBy(ctx context.Context, matching []*policy.Compiled, repository string) string {
	return judgedBy(matching, repository, g.Now(), func(name string) (string, error) { return g.TrustRoots.Fingerprint(ctx, name) })
}

func judgedBy(matching []*policy.Compiled, repository string, now time.Time, trustRoot func(name string) (string, error)) string {
	if len(matching) == 0 {
		return byNoPolicy
	}
	var parts []string
	for _, c := range matching {
		parts = append(parts, fmt.Sprintf("policy %q %q", c.Name(), c.FingerprintFor(repository, now)))
		for _, name := range c.TrustRoots() {
			fingerprint, err := trustRoot(name)
			if err != nil {
				return "" // the evidence says why
			}
			parts = append(parts, fmt.Sprintf("trust root %q %q", name, fingerprint))
		}
	}
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(parts), "\n")))
	return hex.EncodeToString(sum[:judgedByBytes])
}
