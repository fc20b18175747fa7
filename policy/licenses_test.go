package policy_test

import (
	"bytes"
	"math/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// licensed has the image hold nothing but a package under these licences.
func licensed(licenses ...string) edit {
	return scanIs(func(s *policy.Scan) {
		s.OS = nil // whose own packages are left out
		p := installed("pkg:npm/app@1.0.0")
		p.Licenses = licenses
		s.Packages, s.LicensesRead = []policy.Package{p}, true
	})
}

func TestDecisionsAboutLicenses(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	const (
		agpl     = "licenses: {deny: [AGPL-3.0-only]}\n"
		lenient  = "licenses: {deny: [AGPL-3.0-only], unknown: allow}\n"
		gpl      = "licenses: {deny: [\"GPL-*\"]}\n"
		gpl2     = "licenses: {deny: [GPL-2.0-only]}\n"
		open     = "licenses: {allow: [MIT, Apache-2.0, \"BSD-*\"]}\n"
		openPlus = "licenses: {allow: [MIT, GPL-2.0-or-later WITH Classpath-exception-2.0], deny: [Apache-2.0]}\n"
		known    = "licenses: {unknown: deny}\n"
		own      = "licenses: {allow: [LicenseRef-acme, LicenseRef-public-domain]}\n"
	)
	excused := func(more string) string {
		return "licenses: {deny: [AGPL-3.0-only], exceptions: [{expires: 2026-12-31, owner: legal@acme.example, reason: bought, " + more + "}]}\n"
	}
	const denied, absent, unrecognised, excepted = policy.ReasonDenied, policy.ReasonAbsent, policy.ReasonUnrecognised, policy.ReasonExcepted
	k := newKeys(t)
	for _, tt := range []struct {
		name   string
		rules  string
		edit   edit
		after  time.Duration
		want   policy.Verdict
		reason policy.Reason
		says   string
	}{
		{"another licence", agpl, licensed("MIT"), 0, yes, "", ""},
		{"a denied licence", agpl, licensed("AGPL-3.0-only"), 0, no, denied, "pkg:npm/app@1.0.0 is under AGPL-3.0-only"},
		{"in another case", agpl, licensed("agpl-3.0-ONLY"), 0, no, denied, ""},
		{"by its old name", agpl, licensed("AGPL-3.0"), 0, no, denied, ""},
		{"or later, and there is none later", agpl, licensed("AGPL-3.0-or-later"), 0, no, denied, ""},
		{"with a plus", agpl, licensed("AGPL-3.0+"), 0, no, denied, ""},
		{"or later than an older one leaves a choice", agpl, licensed("AGPL-1.0-or-later"), 0, yes, "", ""},
		{"or later leaves a choice", gpl2, licensed("GPL-2.0-or-later"), 0, yes, "", ""},
		{"only does not", gpl2, licensed("GPL-2.0"), 0, no, denied, ""},
		{"a newer one is another", gpl2, licensed("GPL-3.0-only"), 0, yes, "", ""},
		{"all from one on", "licenses: {deny: [GPL-2.0-or-later]}\n", licensed("GPL-3.0-only"), 0, no, denied, ""},
		{"all from one on, or later", "licenses: {deny: [GPL-2.0+]}\n", licensed("GPL-2.0-or-later"), 0, no, denied, ""},
		{"all from one on, an older one", "licenses: {deny: [GPL-2.0-or-later]}\n", licensed("GPL-1.0-only"), 0, yes, "", ""},
		{"a glob", gpl, licensed("GPL-2.0-or-later"), 0, no, denied, ""},
		{"a glob is for the whole", gpl, licensed("LGPL-2.1-only"), 0, yes, "", ""},
		{"a glob for one form", "licenses: {deny: [\"*-only\"]}\n", licensed("LGPL-2.1-only"), 0, no, denied, ""},

		{"a choice", agpl, licensed("AGPL-3.0-only OR MIT"), 0, yes, "", ""},
		{"a choice in small letters", agpl, licensed("AGPL-3.0-only or MIT"), 0, yes, "", ""},
		{"a choice of two that are denied", gpl, licensed("GPL-2.0-only OR GPL-3.0-only"), 0, no, denied, ""},
		{"both apply", agpl, licensed("MIT AND AGPL-3.0-only"), 0, no, denied, ""},
		{"and binds closer", agpl, licensed("MIT OR MIT AND AGPL-3.0-only"), 0, yes, "", ""},
		{"parentheses", agpl, licensed("(MIT OR Apache-2.0) AND AGPL-3.0-only"), 0, no, denied, ""},
		{"parentheses around a choice", agpl, licensed("(MIT AND (AGPL-3.0-only OR Zlib))"), 0, yes, "", ""},
		{"a list of which all apply", agpl, licensed("MIT", "AGPL-3.0-only"), 0, no, denied, "AGPL-3.0-only and MIT"},
		{"a choice that is not understood does not spoil a good one", agpl, licensed("MIT OR Acme"), 0, yes, "", ""},

		{"with any exception", gpl2, licensed("GPL-2.0-only WITH Classpath-exception-2.0"), 0, no, denied, ""},
		{"with an exception, by its old name", gpl2, licensed("GPL-2.0-with-classpath-exception"), 0, no, denied, ""},
		{"only with the exception", "licenses: {deny: [GPL-2.0-only WITH Classpath-exception-2.0]}\n", licensed("GPL-2.0-only"), 0, yes, "", ""},
		{"the exception", "licenses: {deny: [GPL-2.0-only WITH Classpath-exception-2.0]}\n", licensed("GPL-2.0 with classpath-EXCEPTION-2.0"), 0, no, denied, ""},
		{"an exception that does not exist", "licenses: {deny: [MIT]}\n", licensed("GPL-2.0-only WITH Acme-exception"), 0, no, unrecognised, ""},

		{"an allowed licence", open, licensed("apache-2.0"), 0, yes, "", ""},
		{"an allowed licence by glob", open, licensed("BSD-3-Clause"), 0, yes, "", ""},
		{"one that is not allowed", open, licensed("Zlib"), 0, no, denied, "Zlib"},
		{"all have to be allowed", open, licensed("MIT AND Zlib"), 0, no, denied, ""},
		{"one of a choice has to be allowed", open, licensed("MIT OR Zlib"), 0, yes, "", ""},
		{"or later, and a later one is allowed", "licenses: {allow: [GPL-3.0-only]}\n", licensed("GPL-2.0-or-later"), 0, yes, "", ""},
		{"only, and a later one is allowed", "licenses: {allow: [GPL-3.0-only]}\n", licensed("GPL-2.0-only"), 0, no, denied, ""},
		{"allowed with its exception", openPlus, licensed("GPL-3.0-only WITH Classpath-exception-2.0"), 0, yes, "", ""},
		{"not without the exception", openPlus, licensed("GPL-3.0-only"), 0, no, denied, ""},
		{"not with another", openPlus, licensed("MIT WITH Bison-exception-2.2"), 0, no, denied, ""},
		{"with any, by a glob", "licenses: {allow: [\"GPL-* WITH *\"]}\n", licensed("GPL-3.0-only WITH Bison-exception-2.2"), 0, yes, "", ""},
		{"denied comes before allowed", "licenses: {allow: [MIT], deny: [MIT]}\n", licensed("MIT"), 0, no, denied, ""},

		{"nothing is known", agpl, licensed(), 0, no, absent, "nothing says under which licence pkg:npm/app@1.0.0 is"},
		{"nothing is known, and it may be", lenient, licensed(), 0, yes, "", ""},
		{"nothing is asserted", agpl, licensed("NOASSERTION"), 0, no, absent, ""},
		{"none", agpl, licensed("NONE", " "), 0, no, absent, ""},
		{"nothing is asserted, but one is known", agpl, licensed("NOASSERTION", "MIT"), 0, yes, "", ""},
		{"nothing is known, with a list of what is allowed", open, licensed(), 0, no, absent, ""},
		{"not on the list", agpl, licensed("Acme Public License"), 0, no, unrecognised, "Acme Public License, which is not on the SPDX License List"},
		{"not on the list, and it may be", lenient, licensed("Acme Public License"), 0, yes, "", ""},
		{"no expression, but a denied licence is in it", lenient, licensed("MIT, AGPL-3.0-only"), 0, no, denied, ""},
		{"no expression, but it is in it in another form", lenient, licensed("MIT/AGPL-3.0+"), 0, no, denied, ""},
		{"a parenthesis too few", agpl, licensed("(MIT"), 0, no, unrecognised, ""},
		{"a parenthesis", agpl, licensed("("), 0, no, unrecognised, ""},
		{"an operator without a licence", agpl, licensed("MIT AND"), 0, no, unrecognised, ""},
		{"an identifier with other separators", open, licensed("Apache 2.0"), 0, yes, "", ""},
		{"a denied one with other separators", agpl, licensed("AGPL 3.0 only"), 0, no, denied, ""},
		{"two licences without an operator", agpl, licensed("MIT Zlib"), 0, no, unrecognised, ""},
		{"deeper than anybody writes", agpl, licensed(strings.Repeat("(", 33) + "MIT" + strings.Repeat(")", 33)), 0, no, unrecognised, ""},
		{"as deep as is read", agpl, licensed(strings.Repeat("(", 32) + "MIT" + strings.Repeat(")", 32)), 0, yes, "", ""},
		{"longer than is read", agpl, licensed(strings.Repeat("MIT AND ", 250) + "MIT"), 0, no, unrecognised, ""},
		{"as long as is read", agpl, licensed(strings.Repeat("MIT AND ", 249) + "MIT"), 0, yes, "", ""},
		{"everything has to be known", known, licensed("Zlib"), 0, yes, "", ""},
		{"everything has to be known, and is not", known, licensed("Acme"), 0, no, unrecognised, ""},
		{"a reference that is allowed", own, licensed("LicenseRef-acme"), 0, yes, "", ""},
		{"a text that is allowed as a reference", own, licensed("public domain"), 0, yes, "", ""},
		{"a reference of a document", own, licensed("DocumentRef-x:LicenseRef-acme"), 0, yes, "", ""},
		{"another reference", own, licensed("LicenseRef-other"), 0, no, unrecognised, ""},
		{"a reference that is denied", "licenses: {deny: [\"LicenseRef-acme*\"], unknown: allow}\n", licensed("acme-2"), 0, no, denied, ""},

		{"of another type", "licenses: {deny: [MIT], types: [deb]}\n", licensed("MIT"), 0, yes, "", ""},
		{"of the type", "licenses: {deny: [MIT], types: [deb, npm]}\n", licensed("MIT"), 0, no, denied, ""},

		{"an exception for the package", excused(`packages: ["pkg:npm/*"]`), licensed("AGPL-3.0-only"), 0, yes, excepted, "excused by legal@acme.example until 2027-01-01 00:00:00: bought"},
		{"an exception for the package, whatever is known", excused(`packages: ["pkg:npm/*"]`), licensed(), 0, yes, excepted, ""},
		{"an exception for another package", excused(`packages: [pkg:npm/other]`), licensed("AGPL-3.0-only"), 0, no, denied, ""},
		{"an exception for the version", excused(`packages: ["pkg:npm/app@1.0.0"]`), licensed("AGPL-3.0-only"), 0, yes, excepted, ""},
		{"an exception for another version", excused(`packages: ["pkg:npm/app@1.0.1"]`), licensed("AGPL-3.0-only"), 0, no, denied, ""},
		{"an exception for the licence", excused(`licenses: [AGPL-3.0-only]`), licensed("AGPL-3.0-only"), 0, yes, excepted, ""},
		{"an exception for another licence", excused(`licenses: [MIT]`), licensed("AGPL-3.0-only"), 0, no, denied, ""},
		{"an exception for one of two", excused(`licenses: [AGPL-3.0-only]`), licensed("AGPL-3.0-only", "Acme"), 0, no, denied, ""},
		{"an exception for both", excused(`licenses: [AGPL-3.0-only, LicenseRef-Acme], packages: [pkg:npm/app]`), licensed("AGPL-3.0-only", "Acme"), 0, yes, excepted, ""},
		{"an exception for a package that may be another", excused(`packages: [pkg:deb/debian/x]`), scanIs(func(s *policy.Scan) {
			s.Packages, s.LicensesRead = []policy.Package{{Type: "deb", Name: "x", Version: "1"}}, true
		}), 0, no, absent, ""},
		{"an exception for another repository", excused(`licenses: [AGPL-3.0-only], repositories: ["team-b/**"]`), licensed("AGPL-3.0-only"), 0, no, denied, ""},
		{"an exception for the repository", excused(`licenses: [AGPL-3.0-only], repositories: ["team-a/**"]`), licensed("AGPL-3.0-only"), 0, yes, excepted, ""},
		{"an exception on its last second", excused(`licenses: [AGPL-3.0-only]`), licensed("AGPL-3.0-only"), untilYearEnds() - time.Second, yes, excepted, ""},
		{"an exception that ended", excused(`licenses: [AGPL-3.0-only]`), licensed("AGPL-3.0-only"), untilYearEnds(), no, denied, "the exception by legal@acme.example ended"},
		{"the ticket of an exception", excused(`licenses: [AGPL-3.0-only], ticket: LEGAL-9`), licensed("AGPL-3.0-only"), 0, yes, excepted, "bought (LEGAL-9)"},

		{"every package", agpl, func(k keys, ev *policy.Evidence) {
			licensed("MIT")(k, ev)
			holding("pkg:npm/other@1")(k, ev)
		}, 0, no, absent, "pkg:npm/other@1"},
		{"every platform", agpl, func(k keys, ev *policy.Evidence) {
			licensed("MIT")(k, ev)
			secondPlatform(func(p *policy.Platform) {
				p.Scan.Packages, p.Scan.OS = []policy.Package{installed("pkg:npm/other@1")}, nil
			})(k, ev)
		}, 0, no, absent, "pkg:npm/other@1"},
		{"no scan", agpl, noScan, 0, unknown, policy.ReasonUnavailable, "not scanned"},
		{"the scan failed", agpl, problem(policy.PartScan, ""), 0, unknown, policy.ReasonUnavailable, "503"},
		{"the list of packages is gone", lenient, scanIs(func(s *policy.Scan) { s.Packages = nil }), 0, unknown, policy.ReasonUnavailable, "package database"},
		{"evidence from before", lenient, nil, 0, unknown, policy.ReasonUnavailable, "did not look for licences"},
		{"an image of nothing", agpl, scanIs(func(s *policy.Scan) { s.Packages, s.OS = nil, nil }), 0, yes, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			decides(t, policy.Evaluate(k.compile(t, tt.rules), ev, received().Add(tt.after)), tt.want, policy.CheckLicenses, tt.reason, tt.says)
		})
	}
}

func untilYearEnds() time.Duration {
	return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Sub(received())
}

func TestMistakesAboutLicenses(t *testing.T) {
	t.Parallel()
	exception := func(text string) string { return "licenses: {deny: [MIT], exceptions: [{" + text + "}]}" }
	for _, tt := range []struct{ name, rules, want string }{
		{"nothing", "licenses: {}", "spec.licenses: asks for nothing"},
		{"nothing but unknown ones", "licenses: {unknown: allow}", "spec.licenses: asks for nothing"},
		{"a word for unknown", "licenses: {deny: [MIT], unknown: warn}", `licenses.unknown: "warn"; write deny or allow`},
		{"a licence that does not exist", "licenses: {deny: [AGPL-3]}", `licenses.deny[0]: "AGPL-3" is not on the SPDX License List`},
		{"in the list of what is allowed", "licenses: {allow: [MIT, Expat2]}", "licenses.allow[1]:"},
		{"an exception that does not exist", "licenses: {allow: [GPL-2.0-only WITH Acme]}", "is not on the SPDX License List"},
		{"several at once", "licenses: {deny: [MIT OR Zlib]}", "write an entry for each"},
		{"nothing at all", `licenses: {deny: [""]}`, "a licence is missing"},
		{"a glob that is none", `licenses: {deny: ["GPL-[*"]}`, "is no glob for licences"},
		{"a glob in an expression", `licenses: {deny: ["GPL-* OR MIT"]}`, "is no glob for licences"},
		{"a type that does not exist", "licenses: {deny: [MIT], types: [nmp]}", "licenses.types[0]: \"nmp\" is no package URL type"},
		{"an unknown key", "licenses: {denied: [MIT]}", "unknown key"},
		{"an exception for everything", exception("expires: 2026-12-31, owner: x, reason: x"), "licenses.exceptions[0]: excuses everything"},
		{"an exception without an end", exception("licenses: [MIT], owner: x, reason: x"), "licenses.exceptions[0].expires: missing"},
		{"an exception of nobody", exception("licenses: [MIT], expires: 2026-12-31, reason: x"), "licenses.exceptions[0].owner: missing"},
		{"an exception for nothing", exception("licenses: [MIT], expires: 2026-12-31, owner: x"), "licenses.exceptions[0].reason: missing"},
		{"an exception for no package", exception("packages: [app], expires: 2026-12-31, owner: x, reason: x"), "licenses.exceptions[0].packages[0]:"},
		{"an exception for no licence", exception("licenses: [Acme], expires: 2026-12-31, owner: x, reason: x"), "licenses.exceptions[0].licenses[0]:"},
		{"an exception for no repository", exception(`licenses: [MIT], repositories: ["!a"], expires: 2026-12-31, owner: x, reason: x`), "licenses.exceptions[0].repositories: only leaves out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mistake(t, tt.rules); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestLicensesNeedAScan(t *testing.T) {
	t.Parallel()
	if !newKeys(t).compile(t, "licenses: {unknown: deny}").NeedsScan() {
		t.Error("licences are judged without a scan")
	}
}

// However licences, packages and rules are ordered, the answer is the same; and
// that less is known, or more is there, turns no no into a yes.
func TestNothingAboutLicensesTurnsANoIntoAYes(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, "licenses: {deny: [AGPL-3.0-only, GPL-2.0-only], allow: [MIT, \"*GPL-*\"]}")
	turned := k.compile(t, "licenses: {allow: [\"*GPL-*\", MIT], deny: [GPL-2.0-only, AGPL-3.0-only]}")
	texts := []string{"MIT", "AGPL-3.0-only", "GPL-2.0-or-later", "GPL-2.0-only OR MIT", "GPL-2.0-only AND MIT", "Acme", "("}
	rapid.Check(t, func(t *rapid.T) {
		ev := k.good()
		scan := platform(ev).Scan
		scan.Packages, scan.LicensesRead = nil, true
		for _, name := range []string{"pkg:npm/a@1", "pkg:npm/b@1"} {
			p := installed(name)
			p.Licenses = rapid.SliceOfN(rapid.SampledFrom(texts), 1, 3).Draw(t, name)
			scan.Packages = append(scan.Packages, p)
		}
		before := policy.Evaluate(c, ev, received())
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffle(r, scan.Packages)
		for _, p := range scan.Packages {
			shuffle(r, p.Licenses)
		}
		if after := policy.Evaluate(c, ev, received()); !bytes.Equal(text(t, before), text(t, after)) {
			t.Errorf("%s\n%s", text(t, before), text(t, after))
		}
		if other := policy.Evaluate(turned, ev, received()); other.Verdict != before.Verdict {
			t.Errorf("%s, turned around %s", before.Verdict, other.Verdict)
		}
		p := &scan.Packages[0]
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			p.Licenses = append(p.Licenses, rapid.SampledFrom(texts).Draw(t, "more"))
		case 1:
			p.Licenses = nil
		case 2:
			scan.LicensesRead = false
		case 3:
			scan.Packages = nil
		}
		if after := policy.Evaluate(c, ev, received()); before.Verdict != policy.VerdictPromoted && after.Verdict == policy.VerdictPromoted {
			t.Errorf("%s became %s", before.Verdict, after.Verdict)
		}
	})
}

// Whatever an image says of its licences is judged without a crash, the same
// twice over, and as the two parts of an expression are.
func FuzzLicenses(f *testing.F) {
	for _, seed := range [][2]string{
		{"MIT", "AGPL-3.0-only"}, {"(", "DocumentRef-a"}, {"MIT OR", "WITH"}, {"GPL-2.0+ WITH Classpath-exception-2.0", "LicenseRef-"}, {"((((", "+"}, {"a:b:c", "NOASSERTION"}, {"\xff", "\u202e"},
	} {
		f.Add(seed[0], seed[1])
	}
	k := newKeys(f)
	c := k.compile(f, "licenses: {deny: [\"*GPL-*\"]}")
	says := func(licenses ...string) policy.Result {
		ev := k.good()
		licensed(licenses...)(k, ev)
		return policy.Evaluate(c, ev, received())
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		fine := func(text string) bool { return says(text).Verdict == policy.VerdictPromoted }
		both, either := fine("("+a+") AND ("+b+")"), fine("("+a+") OR ("+b+")")
		if strings.ContainsAny(a+b, "()") {
			return
		}
		if both && (!fine(a) || !fine(b)) || either && !fine(a) && !fine(b) {
			t.Errorf("%q and %q: both %v, either %v", a, b, both, either)
		}
		if list := says(a, b).Verdict == policy.VerdictPromoted; list && !fine(a) && !fine(b) {
			t.Errorf("%q and %q pass together", a, b)
		}
	})
}
