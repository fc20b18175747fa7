package gatekeeper

import (
	"cmp"
	"slices"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// ExpiringWithin is how long before its end an exception counts as expiring.
const ExpiringWithin = 14 * 24 * time.Hour

// ExceptionState says how long an exception still applies. The set is closed:
// it is a metric label.
type ExceptionState string

// The states. Unused is one beside the others: of those in force, no newest
// judgement needed it.
const (
	ExceptionActive   ExceptionState = "active"
	ExceptionExpiring ExceptionState = "expiring" // within ExpiringWithin
	ExceptionExpired  ExceptionState = "expired"
	ExceptionUnused   ExceptionState = "unused"
)

// ExceptionStates lists every state, for metrics and validation.
func ExceptionStates() []ExceptionState {
	return []ExceptionState{ExceptionActive, ExceptionExpiring, ExceptionExpired, ExceptionUnused}
}

// ExceptionStateOf says how long an exception still applies.
func ExceptionStateOf(x policy.Exception, now time.Time) ExceptionState {
	switch left := x.Expires.Sub(now); {
	case left <= 0:
		return ExceptionExpired
	case left <= ExpiringWithin:
		return ExceptionExpiring
	}
	return ExceptionActive
}

// ExceptionStatus is an exception of a policy in force, and what it is needed
// for.
type ExceptionStatus struct {
	Policy       string         `json:"policy"`
	List         string         `json:"list,omitempty"` // the ExceptionList that it is in; empty: the policy
	Key          string         `json:"key"`            // tells it apart in its policy, see policy.GrantedException
	ID           string         `json:"id"`
	Package      string         `json:"package,omitempty"`      // every package when empty
	Repositories []string       `json:"repositories,omitempty"` // every repository when empty
	Owner        string         `json:"owner"`
	Reason       string         `json:"reason"`
	Ticket       string         `json:"ticket,omitempty"`
	Expires      time.Time      `json:"expires"`
	State        ExceptionState `json:"state"` // active, expiring or expired
	Unused       bool           `json:"unused,omitempty"`
	// Use is nil when no newest judgement took it.
	Use *ExceptionUse `json:"use,omitempty"`
}

// Is says whether the exception is in a state.
func (s ExceptionStatus) Is(state ExceptionState) bool {
	return s.State == state || s.Unused && state == ExceptionUnused
}

// DescribeExceptions lists the exceptions of policies, those first that end
// first, with what they are needed for.
func DescribeExceptions(policies []*policy.Compiled, uses []ExceptionUse, now time.Time) []ExceptionStatus {
	type name struct{ policy, key string }
	used := map[name]*ExceptionUse{}
	for i := range uses {
		used[name{uses[i].Policy, uses[i].Key}] = &uses[i]
	}
	list := []ExceptionStatus{}
	for _, p := range policies {
		for _, x := range p.Exceptions() {
			use := used[name{p.Name(), x.Key}]
			state := ExceptionStateOf(x.Exception, now)
			list = append(list, ExceptionStatus{
				Policy: p.Name(), List: x.List, Key: x.Key, ID: x.ID, Package: x.Package, Repositories: x.Repositories,
				Owner: x.Owner, Reason: x.Reason, Ticket: x.Ticket, Expires: x.Expires.UTC(),
				State: state, Unused: use == nil && state != ExceptionExpired, Use: use,
			})
		}
	}
	slices.SortStableFunc(list, func(a, b ExceptionStatus) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.List, b.List), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key))
	})
	return list
}
