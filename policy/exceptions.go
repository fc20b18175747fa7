package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// exceptionKeyBytes is how much of a hash tells exceptions of one policy apart.
const exceptionKeyBytes = 8

// GrantedException is an exception that a policy knows, be it written in it or
// in a list that it names.
type GrantedException struct {
	Exception

	List string `json:"list,omitempty"` // the ExceptionList's name; empty: written in the policy
	// Key tells it apart in its policy, in lower-case hex, as long as it is
	// about the same vulnerability, package and repositories: it may be
	// prolonged, or get another owner.
	Key string `json:"key"`
}

// granted lists a policy's own exceptions, and then those of its lists.
func granted(v *Vulnerabilities, lists map[string][]Exception) []GrantedException {
	var all []GrantedException
	if v != nil {
		for _, x := range v.Exceptions {
			all = append(all, newGranted("", x))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		for _, x := range lists[name] {
			all = append(all, newGranted(name, x))
		}
	}
	return all
}

func newGranted(list string, x Exception) GrantedException {
	repositories := slices.Sorted(slices.Values(x.Repositories))
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", [][]string{{list, x.ID, x.Package}, repositories}))
	return GrantedException{Exception: x, List: list, Key: hex.EncodeToString(sum[:exceptionKeyBytes])}
}

// place says where an exception is written, for findings.
func (x GrantedException) place() string {
	if x.List == "" {
		return ""
	}
	return " in the list " + x.List
}

// about says whether an exception can be about images of a repository.
func (x Exception) about(repository string) bool {
	return len(x.Repositories) == 0 || Globs(x.Repositories).Match(repository)
}

// Shadows says whether an exception excuses all that another one does, for as
// long or longer, so that the other one changes nothing.
func (x Exception) Shadows(other Exception) bool {
	everywhere := len(x.Repositories) == 0 || slices.Equal(x.Repositories, []string{"**"})
	same := slices.Equal(slices.Sorted(slices.Values(x.Repositories)), slices.Sorted(slices.Values(other.Repositories)))
	return x.ID == other.ID && (x.Package == "" || x.Package == other.Package) && (everywhere || same) && !x.Expires.Before(other.Expires.Time)
}

// Exceptions lists the exceptions that the policy knows, those that ended too.
// The list is not to be changed.
func (c *Compiled) Exceptions() []GrantedException { return c.exceptions }

// exceptionsFor lists those that can be about images of a repository.
func (c *Compiled) exceptionsFor(repository string) []GrantedException {
	var all []GrantedException
	for _, x := range c.exceptions {
		if x.about(repository) {
			all = append(all, x)
		}
	}
	return all
}

// FingerprintFor names what the policy says about images of a repository at a
// moment: it is the same while only exceptions for other repositories change. An
// exception that ended says nothing any more, so that the name is another then.
func (c *Compiled) FingerprintFor(repository string, now time.Time) string {
	var parts []string
	for _, x := range c.exceptionsFor(repository) {
		if !now.Before(x.Expires.Time) {
			continue
		}
		parts = append(parts, fmt.Sprintf("%q", []string{
			x.List, x.ID, x.Package, strings.Join(slices.Sorted(slices.Values(x.Repositories)), "\n"),
			x.Expires.String(), x.Owner, x.Reason, x.Ticket,
		}))
	}
	for _, at := range c.turns() {
		if !now.Before(at) {
			parts = append(parts, "since "+at.UTC().Format(time.RFC3339Nano))
		}
	}
	if len(parts) == 0 {
		return c.withoutExceptions
	}
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(c.withoutExceptions + strings.Join(slices.Compact(parts), "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// turns are the moments from which the policy says something else about images
// of any repository: licences that are excused no more, and versions that are
// refused from then on.
func (c *Compiled) turns() []time.Time {
	var all []time.Time
	if l := c.policy.Spec.Licenses; l != nil {
		for _, x := range l.Exceptions {
			all = append(all, x.Expires.Time)
		}
	}
	for _, list := range c.lists.Versions {
		for _, r := range list {
			all = append(all, r.Since.Time)
		}
	}
	return slices.DeleteFunc(all, time.Time.IsZero)
}

// Turned counts the moments that have passed from which the policy says
// something else than before, without a change of its text: ends of exceptions,
// and days from which versions are refused.
func (c *Compiled) Turned(now time.Time) (n int) {
	moments := c.turns()
	for _, x := range c.exceptions {
		moments = append(moments, x.Expires.Time)
	}
	for _, at := range moments {
		if !now.Before(at) {
			n++
		}
	}
	return n
}

// fingerprints names the policy as a whole, and without its exceptions.
func (c *Compiled) fingerprints() error {
	name := func(p Policy, l Lists) (string, error) {
		text, err := json.Marshal(struct {
			Policy

			Lists Lists `json:"lists,omitzero"`
		}{p, l})
		sum := sha256.Sum256(text)
		return "sha256:" + hex.EncodeToString(sum[:]), err
	}
	var err error
	if c.fingerprint, err = name(c.policy, c.lists); err != nil {
		return fmt.Errorf("fingerprint policy %s: %w", c.Name(), err)
	}
	rest, lists := c.policy, c.lists
	lists.Exceptions = nil
	if v := rest.Spec.Vulnerabilities; v != nil {
		bare := *v
		bare.Exceptions, bare.ExceptionLists = nil, nil
		rest.Spec.Vulnerabilities = &bare
	}
	if c.withoutExceptions, err = name(rest, lists); err != nil {
		return fmt.Errorf("fingerprint policy %s: %w", c.Name(), err)
	}
	return nil
}

// exception returns what excuses a vulnerability, that first which ends first;
// when nothing does, an exception that did until it ended. An advisory about several
// vulnerabilities is excused under its own name, or when each of them is.
func (e *evaluation) exception(v Vulnerability) (by []GrantedException, ended GrantedException) {
	for _, names := range v.facets() {
		x, excused := e.exceptionFrom(v, names)
		if !excused {
			return nil, x
		}
		if !slices.ContainsFunc(by, func(other GrantedException) bool { return other.Key == x.Key }) {
			by = append(by, x)
		}
	}
	slices.SortStableFunc(by, func(a, b GrantedException) int { return a.Expires.Compare(b.Expires.Time) })
	return by, ended
}

// exceptionFrom returns the exception for the image's repository that is about one
// of the names of a vulnerability; when none is any more, one that was.
func (e *evaluation) exceptionFrom(v Vulnerability, names []string) (x GrantedException, excused bool) {
	var ended GrantedException
	for _, x := range e.exceptions {
		if !slices.Contains(names, x.ID) || x.Package != "" && fold(v.Type, x.Package) != fold(v.Type, v.Package) {
			continue
		}
		if e.now.Before(x.Expires.Time) {
			return x, true
		}
		ended = x
	}
	return ended, false
}

// facets are the names of which one each has to be excused. The advisories of
// distributions can be about several vulnerabilities, and what excuses one of
// these says nothing of the others.
func (v Vulnerability) facets() [][]string {
	names := append([]string{v.ID}, v.Aliases...)
	var cves []string
	for _, name := range names {
		if strings.HasPrefix(name, "CVE-") && !slices.Contains(cves, name) {
			cves = append(cves, name)
		}
	}
	if len(cves) <= 1 {
		return [][]string{names}
	}
	facets := make([][]string, 0, len(cves))
	for _, cve := range cves {
		facets = append(facets, []string{v.ID, cve})
	}
	return facets
}

// words says who granted an exception, until when and why.
func (x GrantedException) words() string {
	text := fmt.Sprintf("%s%s until %s: %s", x.Owner, x.place(), x.Expires.UTC().Format(time.DateTime), x.Reason)
	if x.Ticket != "" {
		text += " (" + x.Ticket + ")"
	}
	return text
}

// use records that an exception excused something.
func (e *evaluation) use(x GrantedException) {
	if e.used == nil {
		e.used = map[string]bool{}
	}
	e.used[x.Key] = true
}

// usedExceptions lists the keys of the exceptions that excused something.
func (e *evaluation) usedExceptions() []string { return slices.Sorted(maps.Keys(e.used)) }
