package policy_test

import (
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Evidence that is not there passes for good evidence. Here each kind of it is
// taken away in turn, and no rule that needs it says yes: neither while it is
// awaited nor after that.
func TestAttack_CVE_2026_35205(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, tt := range map[string]struct {
		rules string
		take  func(*policy.Evidence)
	}{
		"signatures":               {signed, func(ev *policy.Evidence) { ev.Signatures = nil }},
		"signers of a signature":   {signed, func(ev *policy.Evidence) { ev.Signatures[0].VerifiedBy = nil }},
		"result of a signature":    {signed, func(ev *policy.Evidence) { ev.Signatures[0].Result = "" }},
		"attestations":             {attested, func(ev *policy.Evidence) { ev.Attestations = nil }},
		"signers of attestations":  {attested, func(ev *policy.Evidence) { ev.Attestations[0].VerifiedBy = nil }},
		"result of an attestation": {attested, func(ev *policy.Evidence) { ev.Attestations[0].Result = "" }},
		"type of an attestation":   {attested, func(ev *policy.Evidence) { ev.Attestations[0].PredicateType = "" }},
		"predicate":                {attested, func(ev *policy.Evidence) { ev.Attestations[0].Predicate = nil }},
		"scan":                     {critical, func(ev *policy.Evidence) { platform(ev).Scan = nil }},
		"database":                 {critical, func(ev *policy.Evidence) { platform(ev).Scan.Database = nil }},
		"packages":                 {critical, func(ev *policy.Evidence) { platform(ev).Scan.Packages = nil }},
		"operating system":         {critical, func(ev *policy.Evidence) { platform(ev).Scan.OS = nil }},
		"operating system's end":   {noEnd, func(ev *policy.Evidence) { platform(ev).Scan.OS.EndOfLife = nil }},
		"operating system allowed": {systems, func(ev *policy.Evidence) { platform(ev).Scan.OS = nil }},
		"scan for the system":      {systems, func(ev *policy.Evidence) { platform(ev).Scan = nil }},
		"scan for packages":        {openssl, func(ev *policy.Evidence) { platform(ev).Scan = nil }},
		"creation time":            {young, func(ev *policy.Evidence) { platform(ev).Created = nil }},
		"labels":                   {labelled, func(ev *policy.Evidence) { platform(ev).Labels = nil }},
		"configuration":            {nonRoot, func(ev *policy.Evidence) { platform(ev).Config = policy.Config{} }},
		"platforms":                {signed, func(ev *policy.Evidence) { ev.Image.Platforms = nil }},
		"platforms to scan":        {critical, func(ev *policy.Evidence) { ev.Image.Platforms = nil }},
		"everything":               {signed + critical + young, func(ev *policy.Evidence) { *ev = policy.Evidence{Subject: ev.Subject, Push: ev.Push} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := k.compile(t, tt.rules)
			if got := policy.Evaluate(c, k.good(), received()); got.Verdict != policy.VerdictPromoted {
				t.Fatalf("before the attack: %+v", got)
			}
			ev := k.good()
			tt.take(ev)
			for _, at := range []time.Time{received(), received().Add(2 * wait)} {
				if got := policy.Evaluate(c, ev, at); got.Verdict == policy.VerdictPromoted {
					t.Errorf("promoted without it: %+v", got)
				}
			}
		})
	}
}
