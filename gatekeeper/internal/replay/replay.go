// Package replay compares what policies make of recorded evidence with what was
// decided on it: what would change, by rule and by repository.
package replay

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Change is a push that would be decided differently.
type Change struct {
	Decision   int64          `json:"decision"` // the recorded one
	Repository string         `json:"repository"`
	Tag        string         `json:"tag"`
	Digest     string         `json:"digest"`
	Was        policy.Verdict `json:"was"`
	Becomes    policy.Verdict `json:"becomes"`
	rules      []ruleKey      // that say no now
	gone       []ruleKey      // that said no
}

// Transition counts the changes from one verdict to another.
type Transition struct {
	Was     policy.Verdict `json:"was"`
	Becomes policy.Verdict `json:"becomes"`
	Pushes  int            `json:"pushes"`
}

// Rule is a rule of a policy that is behind some changes.
type Rule struct {
	Policy       string         `json:"policy,omitempty"` // empty: all of them together
	Check        policy.Check   `json:"check"`
	Rule         string         `json:"rule,omitempty"`
	Outcome      policy.Outcome `json:"outcome"`
	Reason       policy.Reason  `json:"reason"`
	Pushes       int            `json:"pushes"`
	Repositories int            `json:"repositories"`
	Examples     []Change       `json:"examples"` // the newest pushes
}

// Repository counts the changes of a repository.
type Repository struct {
	Repository string       `json:"repository"`
	Pushes     int          `json:"pushes"`
	Changes    []Transition `json:"changes"`
}

// Report is what came of a replay.
type Report struct {
	Decisions    int          `json:"decisions"` // that were compared
	Changed      int          `json:"changed"`
	Changes      []Transition `json:"changes"`
	Rules        []Rule       `json:"rules"`        // that are the reason of what becomes worse
	Relaxed      []Rule       `json:"relaxed"`      // that were the reason of what becomes better
	Repositories []Repository `json:"repositories"` // with the most changes first
}

type ruleKey struct {
	policy  string
	check   policy.Check
	rule    string
	outcome policy.Outcome
	reason  policy.Reason
}

// Comparison gathers what changes. It is safe for concurrent use.
type Comparison struct {
	policies  *policy.Set
	mu        sync.Mutex
	decisions int
	changes   []Change
}

// New compares with policies.
func New(policies []*policy.Compiled) *Comparison {
	return &Comparison{policies: policy.NewSet(policies)}
}

// Add replays a recorded decision.
func (c *Comparison) Add(recorded gatekeeper.Decision) {
	was, becomes := gatekeeper.Judged(recorded), gatekeeper.Replay(recorded, c.policies)
	var change Change
	if was.Verdict != becomes.Verdict {
		before, after := rulesOf(was), rulesOf(becomes)
		change = Change{
			Decision: recorded.ID, Repository: recorded.Push.Repository, Tag: recorded.Push.Tag, Digest: recorded.Push.Digest,
			Was: was.Verdict, Becomes: becomes.Verdict, rules: without(after, before), gone: without(before, after),
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decisions++
	if change.Was != change.Becomes {
		c.changes = append(c.changes, change)
	}
}

// rulesOf lists the rules that stand in the way of a yes, each once.
func rulesOf(d gatekeeper.Decision) []ruleKey {
	seen := map[ruleKey]bool{}
	add := func(of string, findings []policy.Finding) {
		for _, f := range findings {
			if f.Outcome != policy.OutcomeInfo {
				seen[ruleKey{of, f.Check, f.Rule, f.Outcome, f.Reason}] = true
			}
		}
	}
	add("", d.Findings)
	for _, r := range d.Results {
		if r.Mode == d.Mode {
			add(r.Policy, r.Findings)
		}
	}
	return slices.SortedFunc(maps.Keys(seen), compareKeys)
}

func compareKeys(a, b ruleKey) int {
	return cmp.Or(cmp.Compare(a.policy, b.policy), cmp.Compare(a.check, b.check), cmp.Compare(a.rule, b.rule),
		cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.reason, b.reason))
}

func without(these, those []ruleKey) []ruleKey {
	return slices.DeleteFunc(slices.Clone(these), func(k ruleKey) bool { return slices.Contains(those, k) })
}

// Report says what changes, with so many examples for each rule.
func (c *Comparison) Report(examples int) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.changes, func(a, b Change) int { return cmp.Compare(b.Decision, a.Decision) })
	return Report{
		Decisions: c.decisions, Changed: len(c.changes), Changes: transitions(c.changes),
		Rules:        rules(c.changes, func(c Change) []ruleKey { return c.rules }, examples),
		Relaxed:      rules(c.changes, func(c Change) []ruleKey { return c.gone }, examples),
		Repositories: repositories(c.changes),
	}
}

func transitions(changes []Change) []Transition {
	counts := map[Transition]int{}
	for _, c := range changes {
		counts[Transition{Was: c.Was, Becomes: c.Becomes}]++
	}
	all := make([]Transition, 0, len(counts))
	for t, n := range counts {
		t.Pushes = n
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Transition) int {
		return cmp.Or(cmp.Compare(b.Pushes, a.Pushes), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Becomes, b.Becomes))
	})
	return all
}

func rules(changes []Change, of func(Change) []ruleKey, examples int) []Rule {
	found := map[ruleKey][]Change{}
	for _, c := range changes {
		for _, k := range of(c) {
			found[k] = append(found[k], c)
		}
	}
	all := make([]Rule, 0, len(found))
	for k, behind := range found {
		repositories := map[string]bool{}
		for _, c := range behind {
			repositories[c.Repository] = true
		}
		all = append(all, Rule{
			Policy: k.policy, Check: k.check, Rule: k.rule, Outcome: k.outcome, Reason: k.reason,
			Pushes: len(behind), Repositories: len(repositories), Examples: behind[:min(examples, len(behind))],
		})
	}
	slices.SortFunc(all, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Pushes, a.Pushes),
			compareKeys(ruleKey{a.Policy, a.Check, a.Rule, a.Outcome, a.Reason}, ruleKey{b.Policy, b.Check, b.Rule, b.Outcome, b.Reason}))
	})
	return all
}

func repositories(changes []Change) []Repository {
	of := map[string][]Change{}
	for _, c := range changes {
		of[c.Repository] = append(of[c.Repository], c)
	}
	all := make([]Repository, 0, len(of))
	for name, changes := range of {
		all = append(all, Repository{Repository: name, Pushes: len(changes), Changes: transitions(changes)})
	}
	slices.SortFunc(all, func(a, b Repository) int {
		return cmp.Or(cmp.Compare(b.Pushes, a.Pushes), cmp.Compare(a.Repository, b.Repository))
	})
	return all
}
