package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/replay"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// ReplayOptions are the arguments of policy replay.
type ReplayOptions struct {
	MigrateOptions // whose journal it is

	Locations []string // policy files and folders that take the place of those in force, by their names
	Only      bool     // those in force and not among them are left out
	Enforced  bool     // those in audit mode are replayed as if they were enforced
	Since     time.Duration
	Limit     int
	Examples  int
	Output    string
}

// replayReport is what replay prints as JSON.
type replayReport struct {
	replay.Report

	Policies []string `json:"policies"`
	Notes    []string `json:"notes,omitempty"`
}

// ReplayPolicies says what policies would have decided on recorded evidence.
func ReplayPolicies(ctx context.Context, o ReplayOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	if o.Limit < 1 || o.Since <= 0 || o.Examples < 0 {
		return status(StatusUsage, errors.New("--limit and --since have to be more than nothing, and --examples no less"))
	}
	c, err := o.configuration()
	if err != nil {
		return status(StatusUsage, err)
	}
	policies, notes, err := o.policies(ctx, c)
	if err != nil {
		return status(StatusUsage, err)
	}
	comparison := replay.New(policies)
	if err := o.compare(ctx, c.Storage, comparison); err != nil {
		return status(StatusUsage, err)
	}
	found := replayReport{Report: comparison.Report(o.Examples), Notes: notes}
	for _, p := range policies {
		found.Policies = append(found.Policies, p.Name())
	}
	if o.Output == outputJSON {
		err = printJSON(streams.Out, found)
	} else {
		err = found.print(streams.Out)
	}
	if err == nil && found.Changed > 0 {
		return status(StatusRejected, nil)
	}
	return err
}

// policies are those that are replayed.
func (o ReplayOptions) policies(ctx context.Context, c *config.Config) (all []*policy.Compiled, notes []string, err error) {
	lists, givenLists, err := o.lists(c)
	if err != nil {
		return nil, nil, err
	}
	inForce, err := readPolicies(ctx, c.Policies, lists)
	if err != nil {
		return nil, nil, err
	}
	var given []policyfile.Policy
	for _, location := range o.Locations {
		p, err := readPolicies(ctx, location, lists)
		if err != nil {
			return nil, nil, err
		}
		for _, one := range p {
			if i := slices.IndexFunc(given, func(g policyfile.Policy) bool { return g.Name() == one.Name() }); i >= 0 {
				return nil, nil, fmt.Errorf("the policy %s is in %s and in %s; give one of them", one.Name(), given[i].File, one.File)
			}
		}
		given = append(given, p...)
	}
	asked := map[string]bool{}
	for _, p := range inForce {
		for _, a := range p.Authorities() {
			asked[a.ID] = true
		}
		same := func(g policyfile.Policy) bool { return g.Name() == p.Name() }
		changed := func(l policyfile.List) bool { return namesList([]policyfile.Policy{p}, l) }
		if (!o.Only || slices.ContainsFunc(givenLists, changed)) && !slices.ContainsFunc(given, same) {
			all = append(all, p.Compiled)
		}
	}
	for _, p := range given {
		all = append(all, p.Compiled)
		for _, a := range p.Authorities() {
			if a.Keyless == nil && !asked[a.ID] {
				notes = append(notes, fmt.Sprintf("policy %s: nobody looked for signatures by %s when the evidence was gathered, so that they count as a stranger's", p.Name(), a))
			}
		}
	}
	for _, l := range givenLists {
		if !namesList(append(slices.Clone(given), inForce...), l) {
			notes = append(notes, fmt.Sprintf("no policy names the %s %s, so that it changes nothing", l.Kind, l.Name))
		}
	}
	for i := range all {
		if o.Enforced {
			all[i] = all[i].WithMode(policy.ModeEnforce)
		}
	}
	slices.SortFunc(all, func(a, b *policy.Compiled) int { return cmp.Compare(a.Name(), b.Name()) })
	return all, notes, nil
}

func readPolicies(ctx context.Context, location string, lists policy.Lists) ([]policyfile.Policy, error) {
	return policyset.Source{Location: location, KMS: keys.PublicKeyPEM, Lists: lists}.Read(ctx)
}

// lists are those that the policies may name: those in force, and in the place
// of them those that are given.
func (o ReplayOptions) lists(c *config.Config) (all policy.Lists, given []policyfile.List, err error) {
	if all, _, err = (policyset.Source{Location: c.Policies}).ReadLists(); err != nil {
		return all, nil, err
	}
	for _, location := range o.Locations {
		lists, here, err := policyset.Source{Location: location}.ReadLists()
		if err != nil {
			return all, nil, err
		}
		for _, list := range here {
			same := func(l policyfile.List) bool { return l.Kind == list.Kind && l.Name == list.Name }
			if i := slices.IndexFunc(given, same); i >= 0 {
				return all, nil, fmt.Errorf("the %s %s is in %s and in %s; give one of them", list.Kind, list.Name, given[i].File, list.File)
			}
		}
		all, given = over(all, lists), append(given, here...)
	}
	return all, given, nil
}

// compare reads the journal, and has every processor judge.
func (o ReplayOptions) compare(ctx context.Context, storage config.Storage, c *replay.Comparison) (err error) {
	r, err := journal.OpenReader(ctx, storage.URL, passwordOf(storage))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	workers := runtime.GOMAXPROCS(0)
	found := make(chan journal.Recorded, workers)
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			for recorded := range found {
				d, err := recorded.Decode()
				if err != nil {
					return err
				}
				c.Add(d)
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(found)
		return r.Last(ctx, time.Now().Add(-o.Since), o.Limit, func(d journal.Recorded) error {
			select {
			case found <- d:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	return group.Wait()
}

func (r replayReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d decisions replayed with %s: %d would be different\n", r.Decisions, listed(r.Policies), r.Changed)
	// A strings.Builder takes everything that is written to it.
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format, args...) }
	section := func(title string, n int) {
		if n > 0 {
			_ = table.Flush()
			fmt.Fprintf(&b, "\n%s\n", title)
		}
	}
	section("verdicts", len(r.Changes))
	for _, t := range r.Changes {
		line("  %s → %s\t%d\n", t.Was, t.Becomes, t.Pushes)
	}
	for _, part := range []struct {
		title string
		rules []replay.Rule
	}{{"what would stand in the way", r.Rules}, {"what would stand in the way no more", r.Relaxed}} {
		section(part.title, len(part.rules))
		for _, rule := range part.rules {
			var examples []string
			for _, e := range rule.Examples {
				examples = append(examples, fmt.Sprintf("%s:%s (decision %d)", e.Repository, e.Tag, e.Decision))
			}
			line("  %s\t%s\t%s\t%s\t%d in %d repositories\t%s\n", cmp.Or(rule.Policy, "-"), strings.TrimSpace(string(rule.Check)+" "+rule.Rule),
				rule.Outcome, rule.Reason, rule.Pushes, rule.Repositories, strings.Join(examples, ", "))
		}
	}
	section("repositories", len(r.Repositories))
	for _, repository := range r.Repositories[:min(len(r.Repositories), shownRepositories)] {
		line("  %s\t%d\n", repository.Repository, repository.Pushes)
	}
	_ = table.Flush()
	if more := len(r.Repositories) - shownRepositories; more > 0 {
		fmt.Fprintf(&b, "  and %d more; -o json lists all\n", more)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownRepositories is how many repositories are listed as text.
const shownRepositories = 20

func listed(policies []string) string {
	switch len(policies) {
	case 0:
		return "no policy"
	case 1:
		return "policy " + policies[0]
	}
	return "policies " + strings.Join(policies, ", ")
}
