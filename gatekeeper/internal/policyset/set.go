// Package policyset holds the policies in force and follows their files.
//
// A set of policies comes into force as a whole, or not at all: while the files
// cannot be read as policies, the last ones stay. Files are looked at by their
// content, every few seconds: Kubernetes swaps links, and network file systems
// tell nobody of a change.
package policyset

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// askAgain is how soon a key management service is asked again that could not
// tell a key. Otherwise it is asked when files changed.
const askAgain = time.Minute

// Set is the policies in force. Reading it is safe for concurrent use; only a
// Watcher changes it.
type Set struct {
	source Source
	now    atomic.Pointer[inForce]

	tried attempt
	at    time.Time         // when that was
	seen  map[string]string // what the last look saw, when that was new
}

type inForce struct {
	policies []policyfile.Policy
	compiled *policy.Set
}

// Open reads the policies for the first time. What is wrong with them is an
// error now, so that nothing starts with half of them.
func Open(ctx context.Context, source Source) (*Set, error) {
	s := &Set{source: source}
	s.tried = source.load(ctx, source.look(nil))
	if s.tried.err != nil {
		return nil, s.tried.err
	}
	s.now.Store(newInForce(s.tried.policies))
	return s, nil
}

func newInForce(policies []policyfile.Policy) *inForce {
	compiled := make([]*policy.Compiled, 0, len(policies))
	for _, p := range policies {
		compiled = append(compiled, p.Compiled)
	}
	return &inForce{policies: policies, compiled: policy.NewSet(compiled)}
}

// Policies lists the policies in force with their files. The list is not to be
// changed.
func (s *Set) Policies() []policyfile.Policy { return s.now.Load().policies }

// Compiled lists the policies in force. The list is not to be changed.
func (s *Set) Compiled() []*policy.Compiled { return s.InForce().All() }

// InForce are the policies in force, to be asked which match a push.
func (s *Set) InForce() *policy.Set { return s.now.Load().compiled }

// refresh looks at the files again, and makes new policies of them when they
// hold something new. That counts when two looks have seen the same, so that
// nothing is read that is being written; forced, it counts at once, and key
// management services are asked again too. It returns nil when there was
// nothing to try.
func (s *Set) refresh(ctx context.Context, now time.Time, forced bool) (_ *attempt, settled bool) {
	l := s.source.look(s.tried.keyFiles)
	changed := !maps.Equal(l.sums, s.tried.sums)
	again := s.tried.err != nil && s.tried.asked && now.Sub(s.at) >= askAgain
	seen := s.seen
	s.seen = nil
	switch {
	case forced, !changed && again:
	case !changed:
		return nil, true
	case !maps.Equal(l.sums, seen):
		s.seen = l.sums
		return nil, false
	}
	s.tried, s.at = s.source.load(ctx, l), now
	return &s.tried, true
}
