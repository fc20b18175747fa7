package policytest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// check finds words that no result has.
func (e Expectation) check() []string {
	var wrong []string
	known := []policy.Verdict{policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError}
	switch {
	case e.Matches != nil && !*e.Matches:
		if e.Verdict != "" || e.Findings != nil || e.Promotion != nil {
			wrong = append(wrong, "a policy that does not match says nothing else")
		}
	case e.Verdict == "":
		wrong = append(wrong, "say which verdict is expected: "+list(known))
	case !slices.Contains(known, e.Verdict):
		wrong = append(wrong, fmt.Sprintf("the verdict %q is none of %s", e.Verdict, list(known)))
	}
	for _, f := range e.Findings {
		switch outcomes := []policy.Outcome{policy.OutcomeFail, policy.OutcomeError, policy.OutcomePending, policy.OutcomeInfo}; {
		case f == Finding{}:
			wrong = append(wrong, "a finding says nothing")
		case f.Check != "" && !slices.Contains(policy.Checks(), f.Check):
			wrong = append(wrong, fmt.Sprintf("the check %q is none of %s", f.Check, list(policy.Checks())))
		case f.Reason != "" && !slices.Contains(policy.Reasons(), f.Reason):
			wrong = append(wrong, fmt.Sprintf("the reason %q is none of %s", f.Reason, list(policy.Reasons())))
		case f.Outcome != "" && !slices.Contains(outcomes, f.Outcome):
			wrong = append(wrong, fmt.Sprintf("the outcome %q is none of %s", f.Outcome, list(outcomes)))
		}
	}
	return wrong
}

func list[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// compare says what is not as expected.
func (e Expectation) compare(got policy.Result) []string {
	var failures []string
	if got.Verdict != e.Verdict {
		failures = append(failures, fmt.Sprintf("the verdict is %s, want %s", got.Verdict, e.Verdict))
	}
	if e.Findings != nil {
		failures = append(failures, e.compareFindings(got.Findings)...)
	}
	if e.Promotion != nil {
		failures = append(failures, e.Promotion.compare(got.Promotion)...)
	}
	return failures
}

// compareFindings pairs what is expected with what was found, one with one.
func (e Expectation) compareFindings(found []policy.Finding) []string {
	pair := map[int]int{} // found to expected
	var place func(want int, infos bool, tried map[int]bool) bool
	place = func(want int, infos bool, tried map[int]bool) bool {
		for i, f := range found {
			if tried[i] || !e.Findings[want].fits(f) || !infos && f.Outcome == policy.OutcomeInfo {
				continue
			}
			tried[i] = true
			if other, taken := pair[i]; !taken || place(other, infos, tried) {
				pair[i] = want
				return true
			}
		}
		return false
	}
	// Those that may not be left out come first; what is paired stays paired.
	missing := map[int]bool{}
	for _, infos := range []bool{false, true} {
		for want := range e.Findings {
			if !infos || missing[want] {
				missing[want] = !place(want, infos, map[int]bool{})
			}
		}
	}
	var failures []string
	for want, f := range e.Findings {
		if missing[want] {
			failures = append(failures, "no such finding: "+f.String())
		}
	}
	for i, f := range found {
		if _, expected := pair[i]; !expected && f.Outcome != policy.OutcomeInfo {
			failures = append(failures, "another finding: "+describe(f))
		}
	}
	return failures
}

func (f Finding) fits(got policy.Finding) bool {
	return fits(f.Check, got.Check) && fits(f.Rule, got.Rule) && fits(f.Platform, got.Platform) &&
		fits(f.Outcome, got.Outcome) && fits(f.Reason, got.Reason) && strings.Contains(got.Found, f.Found)
}

func fits[T ~string](want, got T) bool { return want == "" || want == got }

// String names a finding as describe does.
func (f Finding) String() string {
	return describe(policy.Finding{Check: f.Check, Rule: f.Rule, Platform: f.Platform, Outcome: f.Outcome, Reason: f.Reason, Found: f.Found})
}

func describe(f policy.Finding) string {
	words := []string{cmp.Or(string(f.Check), "any check")}
	for _, word := range []string{f.Rule, f.Platform, string(f.Outcome), string(f.Reason)} {
		if word != "" {
			words = append(words, word)
		}
	}
	text := strings.Join(words, " ")
	if f.Found != "" {
		text += ": " + f.Found
	}
	return text
}

func (p Promotion) compare(got *policy.Promotion) []string {
	if got == nil {
		return []string{"there is no promotion: the templates make no valid name"}
	}
	var failures []string
	differ := func(what string, have, want any) {
		failures = append(failures, fmt.Sprintf("the %s of the promotion is %v, want %v", what, have, want))
	}
	if p.Registry != "" && p.Registry != got.Registry {
		differ("registry", got.Registry, p.Registry)
	}
	if p.Repository != "" && p.Repository != got.Repository {
		differ("repository", got.Repository, p.Repository)
	}
	if p.Tags != nil && !slices.Equal(p.Tags, got.Tags) {
		differ("list of tags", got.Tags, p.Tags)
	}
	if p.Channels != nil && !slices.Equal(p.Channels, got.Channels) {
		differ("list of channels", got.Channels, p.Channels)
	}
	if p.Immutable != nil && *p.Immutable != got.Immutable {
		differ("immutability", got.Immutable, *p.Immutable)
	}
	return failures
}
