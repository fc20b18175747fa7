package policy_test

import (
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Packages with a fix that has been there for longer than they may lag: all of
// them, or more than a number.
func TestDecisionsAboutOverdueFixes(t *testing.T) {
	t.Parallel()
	const yes, no = policy.VerdictPromoted, policy.VerdictRejected
	const check = policy.CheckVulnerabilities
	const anyFix = "vulnerabilities: {deny: [{fixed: true, after: 30d}]}\n"
	const oneFix = "vulnerabilities: {counts: [{fixed: true, after: 30d, deny: \"> 1\"}]}\n"
	k := newKeys(t)
	negligible := func(id string, fixed time.Duration, change func(v *policy.Vulnerability)) edit {
		return cve(func(v *policy.Vulnerability) {
			v.ID, v.Severity = id, policy.SeverityNegligible
			if fixed != 0 {
				v.FixedAt = ago(fixed)
			}
			if change != nil {
				change(v)
			}
		})
	}
	two := func(fixed time.Duration) edit {
		return together(negligible("CVE-1", fixed, nil), negligible("CVE-2", fixed, nil))
	}
	judge(t, k, k.good, []decision{
		{"a fix of whatever severity, a second before it is due", anyFix, negligible("CVE-1", 30*dayAge-time.Second, nil), 0, yes, "", ""},
		{"once it is due", anyFix, negligible("CVE-1", 30*dayAge-time.Second, nil), time.Second, no, check, "there has been a fix since"},
		{"a fix of whose date nobody knows", anyFix, negligible("CVE-1", 0, nil), 0, no, check, "nobody knows"},
		{"no fix", anyFix, negligible("CVE-1", 99*dayAge, func(v *policy.Vulnerability) { v.FixState = "not-fixed" }), 0, yes, "", ""},
		{"one of those that may be overdue", oneFix, negligible("CVE-1", 99*dayAge, nil), 0, yes, "", ""},
		{"two of them, a second before they are due", oneFix, two(30*dayAge - time.Second), 0, yes, "", ""},
		{"two of them, once they are due", oneFix, two(30*dayAge - time.Second), time.Second, no, check, "2 vulnerabilities with a published fix for 30d"},
		{"two of whose dates nobody knows", oneFix, two(0), 0, no, check, "2 vulnerabilities"},
		{"two of which one is not due", oneFix, together(negligible("CVE-1", 99*dayAge, nil), negligible("CVE-2", dayAge, nil)), 0, yes, "", ""},
	})
}
