package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// The lists that policies of these tests name.
const (
	waivers = `apiVersion: gatekeeper/v1alpha1
kind: ExceptionList
metadata: {name: waivers}
spec:
  exceptions:
    - {id: CVE-1, package: openssl, repositories: ["team-a/**"], expires: 2026-11-30, owner: sec@acme.example, reason: not reachable, ticket: SEC-12}
    - {id: CVE-1, repositories: ["team-b/**"], expires: 2026-12-31, owner: b@acme.example, reason: test only}
`
	recommended = `apiVersion: gatekeeper/v1alpha1
kind: VersionList
metadata: {name: platform}
spec:
  packages:
    - {type: npm, name: lodash, versions: ">= 4.17.21, < 5 || = 3.10.1", reason: CVE-2021-23337 is fixed there}
    - {type: deb, name: openssl, versions: ">= 3.0.18", since: 2026-12-01}
    - {type: npm, name: absent, versions: "= 1.0.0"}
`
	waived = "vulnerabilities: {deny: [{severity: critical, fixed: true}], exceptionLists: [waivers]}\n"
	within = "patchLevel: {versions: {lists: [platform]}}\n"
	closed = "patchLevel: {versions: {lists: [platform], denyUnlisted: [npm, pypi]}}\n"
)

// withLists makes a policy of rules that may name lists, each a document.
func withLists(tb testing.TB, rules string, lists ...string) *policy.Compiled {
	tb.Helper()
	text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n  from: staging\n  match: {repositories: [\"**\"]}\n" +
		"  promote: {to: golden, repository: x, tags: [x]}\n" + indent(rules)
	parsed, err := policyfile.Parse("test.yaml", []byte(strings.Join(append([]string{text}, lists...), "---\n")), nil)
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return parsed[0].Compiled
}

func repositoryIs(name string) edit {
	return func(_ keys, ev *policy.Evidence) { ev.Subject.Repository = name }
}

func withPackages(packages ...policy.Package) edit {
	return scanIs(func(s *policy.Scan) { s.Packages, s.OS = packages, nil })
}

func lodash(version string) edit {
	return withPackages(policy.Package{Type: "npm", Name: "lodash", Version: version})
}

func TestLists(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Duration {
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment.Sub(received())
	}
	ssl := func(version string) edit {
		return withPackages(policy.Package{Type: "deb", Name: "openssl", Version: version})
	}
	// What a case wants is "verdict", or "verdict outcome reason", and parts of
	// the finding's texts.
	for name, tt := range map[string]struct {
		rules string
		edits []edit
		after time.Duration
		want  string
		says  []string
	}{
		"excused by a list": {
			waived,
			[]edit{cve(nil)},
			0, "promoted info excepted",
			[]string{"excused by sec@acme.example in the list waivers until 2026-12-01 00:00:00: not reachable (SEC-12)"},
		},
		"a second before it ends":  {waived, []edit{cve(nil)}, at("2026-11-30T23:59:59Z"), "promoted info excepted", nil},
		"when it ends":             {waived, []edit{cve(nil)}, at("2026-12-01T00:00:00Z"), "rejected fail denied", []string{"the exception by sec@acme.example in the list waivers ended 2026-12-01 00:00:00"}},
		"a second after it ended":  {waived, []edit{cve(nil)}, at("2026-12-01T00:00:01Z"), "rejected fail denied", nil},
		"another repository":       {waived, []edit{cve(nil), repositoryIs("team-c/app")}, 0, "rejected fail denied", nil},
		"another team's exception": {waived, []edit{cve(nil), repositoryIs("team-b/app")}, at("2026-12-30T00:00:00Z"), "promoted info excepted", []string{"b@acme.example"}},
		"another vulnerability":    {waived, []edit{cve(func(v *policy.Vulnerability) { v.ID = "CVE-2" })}, 0, "rejected fail denied", nil},
		"an alias of it":           {waived, []edit{cve(func(v *policy.Vulnerability) { v.ID, v.Aliases = "GHSA-1", []string{"CVE-1"} })}, 0, "promoted info excepted", nil},
		"another package":          {waived, []edit{cve(func(v *policy.Vulnerability) { v.Package = "other" })}, 0, "rejected fail denied", nil},
		"a list nobody names":      {critical, []edit{cve(nil)}, 0, "rejected fail denied", nil},
		"no scan":                  {waived, []edit{func(_ keys, ev *policy.Evidence) { platform(ev).Scan = nil }}, 0, "error error unavailable", nil},

		"within":               {within, nil, 0, "promoted info grace", []string{"openssl 3.0.17-1~deb12u3, which will be refused from 2026-12-01 00:00:00 on"}},
		"at the lower bound":   {within, []edit{lodash("4.17.21")}, 0, "promoted", nil},
		"below it":             {within, []edit{lodash("4.17.20")}, 0, "rejected fail denied", []string{"lodash 4.17.20", "lodash >= 4.17.21, < 5 || = 3.10.1, as the list platform recommends: CVE-2021-23337 is fixed there", "use a version of lodash that is >= 4.17.21"}},
		"at the upper bound":   {within, []edit{lodash("5.0.0")}, 0, "rejected fail denied", nil},
		"the other range":      {within, []edit{lodash("3.10.1")}, 0, "promoted", nil},
		"beside it":            {within, []edit{lodash("3.10.2")}, 0, "rejected fail denied", nil},
		"no version":           {within, []edit{lodash("")}, 0, "rejected fail malformed", []string{"cannot be compared: there is no version"}},
		"no such version":      {within, []edit{lodash("latest")}, 0, "rejected fail malformed", []string{"cannot be compared"}},
		"another type":         {within, []edit{withPackages(policy.Package{Type: "pypi", Name: "lodash", Version: "1"})}, 0, "promoted", nil},
		"not on the list":      {within, []edit{withPackages(policy.Package{Type: "npm", Name: "other", Version: "1"})}, 0, "promoted", nil},
		"nothing is installed": {within, []edit{func(_ keys, ev *policy.Evidence) { platform(ev).Scan.Packages, platform(ev).Scan.OS = nil, nil }}, 0, "promoted", nil},
		"not scanned":          {within, []edit{func(_ keys, ev *policy.Evidence) { platform(ev).Scan = nil }}, 0, "error error unavailable", nil},
		"the scanner is down":  {within, []edit{problem(policy.PartScan, "linux/amd64")}, 0, "error error unavailable", nil},

		"a second before it counts": {within, []edit{ssl("3.0.17")}, at("2026-11-30T23:59:59Z"), "promoted info grace", nil},
		"when it counts":            {within, []edit{ssl("3.0.17")}, at("2026-12-01T00:00:00Z"), "rejected fail denied", []string{"openssl >= 3.0.18"}},
		"a second later":            {within, []edit{ssl("3.0.17")}, at("2026-12-01T00:00:01Z"), "rejected fail denied", nil},
		"followed in time":          {within, []edit{ssl("3.0.18")}, at("2026-12-01T00:00:01Z"), "promoted", nil},

		"unlisted and denied":    {closed, []edit{withPackages(policy.Package{Type: "npm", Name: "other", Version: "1"})}, 0, "rejected fail denied", []string{"other 1, which is not on the list platform", "ask who keeps the list"}},
		"of a type with no list": {closed, []edit{withPackages(policy.Package{Type: "pypi", Name: "flask", Version: "3.0"})}, 0, "rejected fail denied", nil},
		"of another type":        {closed, []edit{withPackages(policy.Package{Type: "golang", Name: "x", Version: "v1"})}, 0, "promoted", nil},
		"listed":                 {closed, []edit{lodash("4.17.22")}, 0, "promoted", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKeys(t)
			ev := k.good()
			for _, e := range tt.edits {
				e(k, ev)
			}
			// The database is always current.
			if s := platform(ev).Scan; s != nil {
				s.Database.Built = received().Add(tt.after)
			}
			got := policy.Evaluate(withLists(t, tt.rules, waivers, recommended), ev, received().Add(tt.after))
			said := string(got.Verdict)
			for _, f := range got.Findings {
				said += fmt.Sprintf(" %s %s", f.Outcome, f.Reason)
			}
			if said != tt.want {
				t.Errorf("%s, want %s: %+v", said, tt.want, got.Findings)
			}
			for _, want := range tt.says {
				if !strings.Contains(fmt.Sprint(got.Findings), want) {
					t.Errorf("no %q in %+v", want, got.Findings)
				}
			}
		})
	}
}

// A recorded judgement says which exceptions it took: those of a count too, and
// however many findings are cut; none that ended, and none that was not needed.
func TestAJudgementNamesTheExceptionsItTook(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	inList, own := `exceptionLists: [waivers]`, `exceptions: [{id: CVE-1, expires: 2027-01-01, owner: o, reason: r}]`
	key := func(c *policy.Compiled, i int) string { return c.Exceptions()[i].Key }
	many := func(_ keys, ev *policy.Evidence) {
		for range 150 {
			cve(nil)(k, ev)
		}
	}
	for name, tt := range map[string]struct {
		rules string
		edit  edit
		after time.Duration
		want  []int // by their place in Exceptions
	}{
		"nothing was found":     {`{deny: [{severity: critical}], ` + inList + `}`, func(keys, *policy.Evidence) {}, 0, nil},
		"of a list":             {`{deny: [{severity: critical}], ` + inList + `}`, cve(nil), 0, []int{0}},
		"many findings":         {`{deny: [{severity: critical}], ` + inList + `}`, many, 0, []int{0}},
		"the policy's first":    {`{deny: [{severity: critical}], ` + own + `, ` + inList + `}`, cve(nil), 0, []int{0}},
		"of a count":            {`{counts: [{deny: ">= 1"}], ` + inList + `}`, cve(nil), 0, []int{0}},
		"no rule is about it":   {`{deny: [{severity: critical, fixed: false}], ` + inList + `}`, cve(nil), 0, nil},
		"one that ended":        {`{deny: [{severity: critical}], ` + inList + `}`, cve(nil), 30 * dayAge, nil},
		"a false alarm anyway":  {`{deny: [{severity: critical}], ` + inList + `}`, cve(func(v *policy.Vulnerability) { v.Suppressed = "x" }), 0, nil},
		"in another repository": {`{deny: [{severity: critical}], ` + inList + `}`, func(k keys, ev *policy.Evidence) { cve(nil)(k, ev); ev.Subject.Repository = "team-b/app" }, 0, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			tt.edit(k, ev)
			platform(ev).Scan.Database.Built = received().Add(tt.after)
			c := withLists(t, "vulnerabilities: "+tt.rules, waivers)
			var want []string
			for _, i := range tt.want {
				want = append(want, key(c, i))
			}
			got := policy.Evaluate(c, ev, received().Add(tt.after))
			if !slices.Equal(got.Exceptions, want) {
				t.Errorf("%v, want %v: %+v", got.Exceptions, want, got.Findings)
			}
		})
	}
}

// What an exception is about names it: not until when, nor by whom.
func TestAnExceptionKeepsItsKey(t *testing.T) {
	t.Parallel()
	key := func(list string) string { return withLists(t, waived, list).Exceptions()[0].Key }
	was := key(waivers)
	for change, same := range map[string]bool{
		"2026-11-30=2027-11-30": true, "sec@acme.example=ann@acme.example": true, "not reachable=still not": true, "SEC-12=SEC-13": true,
		"CVE-1,=CVE-2,": false, "package: openssl=package: libssl": false, "team-a/**=team-d/**": false,
	} {
		before, after, _ := strings.Cut(change, "=")
		if now := key(strings.Replace(waivers, before, after, 1)); (now == was) != same || len(now) != 16 {
			t.Errorf("%s: %s was %s", change, now, was)
		}
	}
}

// Every change of a list is a change of the policies that name it; exceptions
// concern only the repositories that they are for.
func TestAListIsPartOfTheFingerprint(t *testing.T) {
	t.Parallel()
	const rules = "vulnerabilities: {deny: [{severity: critical}], exceptionLists: [waivers]}\n" + within
	was := withLists(t, rules, waivers, recommended)
	for name, tt := range map[string]struct {
		waivers, recommended                     string
		changes, concernsA, concernsB, concernsC bool
	}{
		"nothing":                 {waivers, recommended, false, false, false, false},
		"a description":           {strings.Replace(waivers, "name: waivers", "name: waivers, description: x", 1), recommended, false, false, false, false},
		"team-a's ends later":     {strings.Replace(waivers, "2026-11-30", "2027-11-30", 1), recommended, true, true, false, false},
		"team-a's is revoked":     {strings.Replace(waivers, "{id: CVE-1, package", "{id: CVE-0, package", 1), recommended, true, true, false, false},
		"team-b's has a reason":   {strings.Replace(waivers, "test only", "tests", 1), recommended, true, false, true, false},
		"team-a's is for all":     {strings.Replace(waivers, `repositories: ["team-a/**"], `, "", 1), recommended, true, true, true, true},
		"another recommendation":  {waivers, strings.Replace(recommended, "4.17.21", "4.17.22", 1), true, true, true, true},
		"another date":            {waivers, strings.Replace(recommended, "2026-12-01", "2026-12-02", 1), true, true, true, true},
		"an empty exception list": {strings.Split(waivers, "  exceptions")[0] + "  exceptions: []\n", recommended, true, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := withLists(t, rules, tt.waivers, tt.recommended)
			if changed := now.Fingerprint() != was.Fingerprint(); changed != tt.changes {
				t.Errorf("changed: %v", changed)
			}
			for repository, want := range map[string]bool{"team-a/app": tt.concernsA, "team-b/app": tt.concernsB, "team-c/app": tt.concernsC} {
				if concerns := now.FingerprintFor(repository, received()) != was.FingerprintFor(repository, received()); concerns != want {
					t.Errorf("concerns %s: %v", repository, concerns)
				}
			}
		})
	}
	// A list that a policy does not name is none of its business.
	plain := withLists(t, critical)
	if beside := withLists(t, critical, waivers, recommended); beside.Fingerprint() != plain.Fingerprint() || beside.FingerprintFor("team-a/app", received()) != plain.Fingerprint() {
		t.Error("a list nobody names changes the policy")
	}
}

// With an exception's last day, and with the day from which a version is
// refused, the policy is another for those whom that concerns.
func TestAFingerprintTurnsWithTime(t *testing.T) {
	t.Parallel()
	day := func(date string) time.Time {
		at, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	const (
		exceptions = "vulnerabilities: {deny: [{severity: critical}], exceptionLists: [waivers]}\n"
		licensed   = "licenses: {deny: [GPL-3.0-only], exceptions: [{packages: [\"pkg:npm/x\"], expires: 2026-11-30, owner: o, reason: r}]}\n"
	)
	for name, tt := range map[string]struct {
		policy   *policy.Compiled
		turns    time.Time
		concerns []string
	}{
		"an exception":               {withLists(t, exceptions, waivers, recommended), day("2026-12-01"), []string{"team-a/app"}},
		"an exception for a licence": {withLists(t, licensed), day("2026-12-01"), []string{"team-a/app", "team-b/app"}},
		"a recommended version":      {withLists(t, within, recommended), day("2026-12-01"), []string{"team-a/app", "team-b/app"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, then := tt.turns.Add(-time.Second), tt.turns
			for _, repository := range []string{"team-a/app", "team-b/app"} {
				was := tt.policy.FingerprintFor(repository, received())
				if tt.policy.FingerprintFor(repository, before) != was {
					t.Errorf("%s: another one a second before", repository)
				}
				if turned := tt.policy.FingerprintFor(repository, then) != was; turned != slices.Contains(tt.concerns, repository) {
					t.Errorf("%s: turned %t", repository, turned)
				}
			}
			if was, is := tt.policy.Turned(before), tt.policy.Turned(then); is != was+1 {
				t.Errorf("%d moments have passed, then %d", was, is)
			}
		})
	}
}

// An exception lets through what it is for, and nothing else: whatever else is
// wrong is refused as it is without it, be it in the policy or in a list.
func TestAnExceptionNarrowsOnlyItsOwnRule(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	all := strings.Replace(strict, ", exceptions: [{id: CVE-1, expires: 2026-12-31, owner: sec@acme.example, reason: SEC-12}]", "", 1)
	parse := func(vulnerabilities string) *policy.Compiled {
		text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n  from: staging\n  match: {repositories: [\"**\"]}\n  wait: 1h\n" +
			"  promote: {to: golden, repository: x, tags: [x]}\n" + indent(strings.Replace(all, "{knownExploited: true}]", "{knownExploited: true}]"+vulnerabilities, 1)) + "---\n" + waivers
		parsed, err := policyfile.Parse("test.yaml", []byte(text), func(string) ([]byte, error) { return k.ci.PublicKey, nil })
		if err != nil {
			t.Fatal(err)
		}
		return parsed[0].Compiled
	}
	without, inList := parse(""), parse(", exceptionLists: [waivers]")
	rapid.Check(t, func(t *rapid.T) {
		ev := drawn(t, k)
		before, after := policy.Evaluate(without, ev, received()), policy.Evaluate(inList, ev, received())
		rest := func(r policy.Result) string {
			text, err := json.Marshal(slices.DeleteFunc(slices.Clone(r.Findings), func(f policy.Finding) bool {
				return f.Check == policy.CheckVulnerabilities && f.Rule == "CVE-1"
			}))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if rest(before) != rest(after) {
			t.Errorf("without: %s\nwith: %s", rest(before), rest(after))
		}
		for _, f := range after.Findings {
			if f.Outcome != policy.OutcomeInfo && f.Rule == "CVE-1" {
				t.Errorf("not excused: %+v", f)
			}
		}
	})
}
