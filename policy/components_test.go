package policy_test

import (
	"bytes"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// holding adds packages by their package URLs.
func holding(purls ...string) edit {
	return scanIs(func(s *policy.Scan) {
		for _, purl := range purls {
			s.Packages = append(s.Packages, installed(purl))
		}
	})
}

// installed is a package as the scanner would list it.
func installed(purl string) policy.Package {
	whole := strings.TrimPrefix(purl, "pkg:")
	without, _, _ := strings.Cut(whole, "?")
	path, version, _ := strings.Cut(without, "@")
	elements := strings.Split(path, "/")
	return policy.Package{Type: elements[0], Name: elements[len(elements)-1], Version: version, PURL: purl}
}

// nameless adds a package without a package URL.
func nameless(packageType, name, version string) edit {
	return scanIs(func(s *policy.Scan) {
		s.Packages = append(s.Packages, policy.Package{Type: packageType, Name: name, Version: version})
	})
}

func denies(entries string) string   { return "components: {deny: [" + entries + "]}\n" }
func requires(entries string) string { return "components: {require: [" + entries + "]}\n" }

func TestDecisionsAboutComponents(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	const log4j = `{purl: pkg:maven/org.apache.logging.log4j/log4j-core, versions: ">= 2.0, < 2.12.4 || >= 2.13, < 2.17.1", reason: Log4Shell}`
	core := func(version string) edit { return holding("pkg:maven/org.apache.logging.log4j/log4j-core@" + version) }
	k := newKeys(t)
	for _, tt := range []struct {
		name   string
		rules  string
		edit   edit
		want   policy.Verdict
		reason policy.Reason // of the first finding
		says   string        // in the first finding
	}{
		{"nothing that is denied", denies("pkg:maven/log4j/log4j"), nil, yes, "", ""},
		{"what is denied", denies("pkg:maven/log4j/log4j"), holding("pkg:maven/log4j/log4j@1.2.17"), no, policy.ReasonDenied, "pkg:maven/log4j/log4j@1.2.17 is in the image"},
		{"with a quoted form", denies(`"pkg:maven\u002flog4j/log4j"`), holding("pkg:maven/log4j/log4j@1.2.17"), no, policy.ReasonDenied, ""},
		{"in a list without brackets", "components:\n  deny:\n    - pkg:maven/log4j/log4j\n", holding("pkg:maven/log4j/log4j@1.2.17"), no, policy.ReasonDenied, ""},
		{"as a mapping", denies("{purl: pkg:maven/log4j/log4j}"), holding("pkg:maven/log4j/log4j@1.2.17"), no, policy.ReasonDenied, ""},
		{"another group", denies("pkg:maven/log4j/log4j"), holding("pkg:maven/org.acme/log4j@1.2.17"), yes, "", ""},
		{"a name that begins alike", denies("pkg:maven/log4j/log4j"), holding("pkg:maven/log4j/log4j-over@1"), yes, "", ""},
		{"another type", denies("pkg:maven/log4j/log4j"), holding("pkg:npm/log4j/log4j@1"), yes, "", ""},
		{"a glob for the name", denies(`"pkg:maven/log4j/*"`), holding("pkg:maven/log4j/extras@1"), no, policy.ReasonDenied, ""},
		{"a glob does not go over a slash", denies(`"pkg:golang/github.com/*"`), holding("pkg:golang/github.com/acme/app@v1.0.0"), yes, "", ""},
		{"two stars do", denies(`"pkg:golang/github.com/**"`), holding("pkg:golang/github.com/acme/app@v1.0.0"), no, policy.ReasonDenied, ""},
		{"a glob for the namespace", denies(`"pkg:deb/*/curl"`), holding("pkg:deb/ubuntu/curl@8"), no, policy.ReasonDenied, ""},
		{"everything of a type", denies(`"pkg:deb/**"`), holding("pkg:deb/ubuntu/curl@8"), no, policy.ReasonDenied, ""},
		{"a scope of npm", denies(`"pkg:npm/@acme/*"`), holding("pkg:npm/%40acme/app@1.0.0"), no, policy.ReasonDenied, ""},
		{"one name in many forms", denies("pkg:pypi/Zope.Interface"), holding("pkg:pypi/zope_interface@5.4.0"), no, policy.ReasonDenied, ""},
		{"case is of no matter to NuGet", denies("pkg:nuget/newtonsoft.json"), holding("pkg:nuget/Newtonsoft.Json@13.0.1"), no, policy.ReasonDenied, ""},
		{"case matters to Maven", denies("pkg:maven/jsonstream/jsonstream"), holding("pkg:maven/jsonstream/JSONStream@1.0.0"), yes, "", ""},
		{"a qualifier", denies(`"pkg:deb/debian/curl?arch=amd64"`), holding("pkg:deb/debian/curl@8?arch=amd64&distro=debian-12"), no, policy.ReasonDenied, ""},
		{"another qualifier", denies(`"pkg:deb/debian/curl?arch=amd64"`), holding("pkg:deb/debian/curl@8?arch=arm64"), yes, "", ""},
		{"no such qualifier", denies(`"pkg:deb/debian/curl?arch=amd64"`), holding("pkg:deb/debian/curl@8"), yes, "", ""},

		{"exactly the version", denies("pkg:npm/event-stream@3.3.6"), holding("pkg:npm/event-stream@3.3.6"), no, policy.ReasonDenied, ""},
		{"another version", denies("pkg:npm/event-stream@3.3.6"), holding("pkg:npm/event-stream@3.3.5"), yes, "", ""},
		{"the version, written otherwise", denies("pkg:pypi/ctx@1.0"), holding("pkg:pypi/ctx@1.0.0"), no, policy.ReasonDenied, ""},
		{"a type without an order", denies("pkg:conan/zlib@1.2.11"), holding("pkg:conan/zlib@1.2.11"), no, policy.ReasonDenied, ""},
		{"a type without an order, another version", denies("pkg:conan/zlib@1.2.11"), holding("pkg:conan/zlib@1.2.12"), yes, "", ""},
		{"below the range", denies(log4j), core("2.0-beta9"), yes, "", ""},
		{"where the range begins", denies(log4j), core("2.0"), no, policy.ReasonDenied, "log4j-core@2.0"},
		{"in the range", denies(log4j), core("2.12.3"), no, policy.ReasonDenied, ""},
		{"where the first range ends", denies(log4j), core("2.12.4"), yes, "", ""},
		{"in the second range", denies(log4j), core("2.17.0"), no, policy.ReasonDenied, ""},
		{"where the second range ends", denies(log4j), core("2.17.1"), yes, "", ""},
		{"just before it ends", denies(log4j), core("2.17.1-rc1"), no, policy.ReasonDenied, ""},
		{"not the version", denies(`{purl: pkg:npm/left-pad, versions: "!= 1.3.0"}`), holding("pkg:npm/left-pad@1.3.0"), yes, "", ""},
		{"not another version", denies(`{purl: pkg:npm/left-pad, versions: "!= 1.3.0"}`), holding("pkg:npm/left-pad@1.2.0"), no, policy.ReasonDenied, ""},
		{"at most", denies(`{purl: pkg:npm/left-pad, versions: "<= 1.2.0"}`), holding("pkg:npm/left-pad@1.2.0"), no, policy.ReasonDenied, ""},
		{"more than", denies(`{purl: pkg:npm/left-pad, versions: "> 1.2.0"}`), holding("pkg:npm/left-pad@1.2.0"), yes, "", ""},
		{"no version, where one matters", denies(`{purl: pkg:npm/left-pad, versions: "> 1.2.0"}`), holding("pkg:npm/left-pad"), no, policy.ReasonMalformed, "cannot be compared: there is no version"},
		{"no version, where none matters", denies("pkg:npm/left-pad"), holding("pkg:npm/left-pad"), no, policy.ReasonDenied, ""},
		{"a version that is none", denies(`{purl: pkg:npm/left-pad, versions: "> 1.2.0"}`), holding("pkg:npm/left-pad@latest"), no, policy.ReasonMalformed, "cannot be compared"},
		{"an endless version", denies(`{purl: pkg:rpm/fedora/x, versions: "> 1.2.0"}`), holding("pkg:rpm/fedora/x@" + strings.Repeat("1", 501)), no, policy.ReasonMalformed, "more than 500 bytes"},
		{"a version that is none of another package", denies(`{purl: pkg:npm/left-pad, versions: "> 1.2.0"}`), holding("pkg:npm/right-pad@latest"), yes, "", ""},

		{"no package URL, the very name", denies("pkg:npm/@acme/app"), nameless("npm", "@acme/app", "1.0.0"), no, policy.ReasonDenied, "npm @acme/app 1.0.0"},
		{"no package URL, the name without its namespace", denies("pkg:deb/debian/curl"), nameless("deb", "curl", "8"), no, policy.ReasonDenied, "deb curl 8"},
		{"no package URL, another name", denies("pkg:deb/debian/curl"), nameless("deb", "curly", "8"), yes, "", ""},
		{"a package URL that is none", denies("pkg:deb/debian/curl"), scanIs(func(s *policy.Scan) {
			s.Packages = append(s.Packages, policy.Package{Type: "deb", Name: "curl", PURL: "pkg:%zz"})
		}), no, policy.ReasonDenied, ""},
		{"a package URL without the namespace", denies("pkg:maven/log4j/log4j"), holding("pkg:maven/log4j@1.2.17"), no, policy.ReasonDenied, ""},

		{"in another repository", denies(`{purl: pkg:maven/log4j/log4j, repositories: ["team-b/**"]}`), holding("pkg:maven/log4j/log4j@1"), yes, "", ""},
		{"in the repository", denies(`{purl: pkg:maven/log4j/log4j, repositories: ["team-a/**"]}`), holding("pkg:maven/log4j/log4j@1"), no, policy.ReasonDenied, ""},
		{"the reason is shown", denies(log4j), core("2.0"), no, policy.ReasonDenied, ""},
		{"on every platform", denies("pkg:maven/log4j/log4j"), secondPlatform(func(p *policy.Platform) {
			p.Scan.Packages = append(p.Scan.Packages, installed("pkg:maven/log4j/log4j@1"))
		}), no, policy.ReasonDenied, ""},
		{"no scan", denies("pkg:maven/log4j/log4j"), noScan, unknown, policy.ReasonUnavailable, "not scanned"},
		{"the scan failed", denies("pkg:maven/log4j/log4j"), problem(policy.PartScan, "linux/amd64"), unknown, policy.ReasonUnavailable, "503"},
		{"the list of packages is gone", denies("pkg:maven/log4j/log4j"), scanIs(func(s *policy.Scan) { s.Packages = nil }), unknown, policy.ReasonUnavailable, "package database"},
		{"no database is needed", denies("pkg:maven/log4j/log4j"), scanIs(func(s *policy.Scan) { s.Database = nil }), yes, "", ""},
		{"the packages are somebody's claim", denies("pkg:maven/log4j/log4j"), scanIs(func(s *policy.Scan) { s.Catalogue.From = policy.CatalogueSBOM }), unknown, policy.ReasonUnavailable, "does not accept"},
		{"an image of nothing", denies("pkg:maven/log4j/log4j"), scanIs(func(s *policy.Scan) { s.Packages, s.OS = nil, nil }), yes, "", ""},

		{"what is required", requires("pkg:deb/debian/tini"), holding("pkg:deb/debian/tini@0.19.0-1"), yes, "", ""},
		{"nothing that is required", requires("pkg:deb/debian/tini"), nil, no, policy.ReasonAbsent, "nothing in the image is pkg:deb/debian/tini"},
		{"only an old version", requires(`{purl: pkg:deb/debian/tini, versions: ">= 0.19.0-1"}`), holding("pkg:deb/debian/tini@0.18.0-1"), no, policy.ReasonAbsent, "only pkg:deb/debian/tini@0.18.0-1"},
		{"an old and a new version", requires(`{purl: pkg:deb/debian/tini, versions: ">= 0.19.0-1"}`), holding("pkg:deb/debian/tini@0.18.0-1", "pkg:deb/debian/tini@0.19.0-1"), yes, "", ""},
		{"a version that cannot be compared", requires(`{purl: pkg:npm/tini, versions: ">= 1.0.0"}`), holding("pkg:npm/tini@latest"), no, policy.ReasonMalformed, "cannot be compared"},
		{"what may be something else is not taken for it", requires("pkg:deb/debian/tini"), nameless("deb", "tini", "1"), no, policy.ReasonAbsent, ""},
		{"required elsewhere", requires(`{purl: pkg:deb/debian/tini, repositories: ["team-b/**"]}`), nil, yes, "", ""},
		{"required on every platform", requires("pkg:deb/debian/tini"), func(k keys, ev *policy.Evidence) {
			secondPlatform(func(*policy.Platform) {})(k, ev)
			holding("pkg:deb/debian/tini@1")(k, ev)
		}, no, policy.ReasonAbsent, ""},
		{"required, and no scan", requires("pkg:deb/debian/tini"), noScan, unknown, policy.ReasonUnavailable, ""},
		{"required of an image of nothing", requires("pkg:deb/debian/tini"), scanIs(func(s *policy.Scan) { s.Packages, s.OS = nil, nil }), no, policy.ReasonAbsent, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			decides(t, policy.Evaluate(k.compile(t, tt.rules), ev, received()), tt.want, policy.CheckComponents, tt.reason, tt.says)
		})
	}
}

// decides compares a result with what is expected of it and its first finding,
// when there is a reason for one.
func decides(t *testing.T, got policy.Result, want policy.Verdict, check policy.Check, reason policy.Reason, says string) {
	t.Helper()
	if got.Verdict != want {
		t.Fatalf("%s, want %s: %+v", got.Verdict, want, got.Findings)
	}
	if reason == "" {
		if len(got.Findings) > 0 {
			t.Errorf("findings: %+v", got.Findings)
		}
		return
	}
	if len(got.Findings) == 0 {
		t.Fatal("no finding")
	}
	if f := got.Findings[0]; f.Check != check || f.Reason != reason || !strings.Contains(f.Found, says) {
		t.Errorf("the first finding is %+v, want one of %s (%s) that says %q", f, check, reason, says)
	}
	for _, f := range got.Findings {
		if f.Found == "" || f.Expected == "" || f.Remedy == "" {
			t.Errorf("a finding lacks words: %+v", f)
		}
	}
}

// mistake is what a policy with these rules is refused for.
func mistake(tb testing.TB, rules string) string {
	tb.Helper()
	text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n  from: staging\n" +
		"  match: {repositories: [\"**\"]}\n  promote: {to: golden, repository: x, tags: [y]}\n" + indent(rules)
	if _, err := policyfile.Parse("test.yaml", []byte(text), nil); err != nil {
		return err.Error()
	}
	return ""
}

func TestMistakesAboutComponents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, rules, want string }{
		{"nothing", "components: {}", "spec.components: asks for nothing"},
		{"no package URL", denies("log4j"), `components.deny[0]: "log4j" is no package URL; write for example`},
		{"an empty one", denies(`""`), "is no package URL"},
		{"null", denies("null"), "is no package URL"},
		{"a list", denies("[pkg:npm/a]"), "sequence was used where mapping is expected"},
		{"without a name", denies("pkg:npm/"), "is no package URL"},
		{"a mapping without one", denies(`{versions: "> 1"}`), "is no package URL"},
		{"an unknown key", denies(`{purl: pkg:npm/a, version: "> 1"}`), `unknown key`},
		{"an unknown type", denies("pkg:nmp/a"), `"nmp" is no package URL type`},
		{"any type", denies(`"pkg:*/a"`), "is no package URL"},
		{"escapes that are none", denies(`"pkg:npm/%zz"`), "is no package URL"},
		{"a glob that is none", denies(`"pkg:npm/[a"`), "is no glob"},
		{"a glob that leaves out", denies(`"pkg:npm/!a"`), "is no glob"},
		{"a namespace is missing", denies("pkg:deb/openssl"), "write pkg:deb/*/openssl for any"},
		{"a subpath", denies(`"pkg:npm/a#b"`), "leave out what follows the #"},
		{"two versions", denies(`{purl: pkg:npm/a@1.0.0, versions: "> 1.0.0"}`), "keep one of them"},
		{"a version that is none", denies("pkg:npm/a@latest"), "latest"},
		{"a range without an order", denies(`{purl: pkg:conan/a, versions: "> 1"}`), `versions of type "conan" cannot be ordered`},
		{"a range that is none", denies(`{purl: pkg:npm/a, versions: "1.0.0"}`), "is no comparison"},
		{"a range with a gap", denies(`{purl: pkg:npm/a, versions: "> 1.0.0,"}`), "is no comparison"},
		{"a range with an empty alternative", denies(`{purl: pkg:npm/a, versions: "> 1.0.0 ||"}`), "is no comparison"},
		{"a range without commas", denies(`{purl: pkg:npm/a, versions: "> 1.0.0 < 2.0.0"}`), "is no comparison"},
		{"a range of what is no version", denies(`{purl: pkg:npm/a, versions: "> one"}`), "one"},
		{"an endless range", denies(`{purl: pkg:npm/a, versions: "` + strings.Repeat("> 1.0.0 || ", 200) + `> 1.0.0"}`), "write at most 1000"},
		{"an endless package URL", denies("pkg:npm/" + strings.Repeat("a", 1000)), "write at most 1000"},
		{"repositories that are none", denies(`{purl: pkg:npm/a, repositories: ["!a"]}`), "components.deny[0].repositories: only leaves out"},
		{"in what is required", requires("tini"), "components.require[0]:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mistake(t, tt.rules); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestComponentsNeedAScan(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	if !k.compile(t, denies("pkg:npm/a")).NeedsScan() || !k.compile(t, requires("pkg:npm/a")).NeedsScan() {
		t.Error("components are judged without a scan")
	}
}

const components = `components:
  deny: ["pkg:npm/**/evil*", {purl: pkg:pypi/b, versions: ">= 1, < 2 || = 3"}, pkg:deb/debian/c]
  require: [pkg:npm/a, {purl: pkg:pypi/b, versions: "> 0"}]
`

// drawnPackages are some of what the rules above name.
func drawnPackages(t *rapid.T) []policy.Package {
	names := []string{"pkg:npm/a@1", "pkg:npm/evil@1", "pkg:npm/%40x/evil2@1", "pkg:pypi/b@0.1", "pkg:pypi/b@1.0", "pkg:pypi/b@2", "pkg:pypi/b@3.0", "pkg:pypi/b@none", "pkg:pypi/b", "pkg:deb/debian/c@1", "pkg:deb/c@1"}
	var packages []policy.Package
	for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 6).Draw(t, "packages") {
		packages = append(packages, installed(name))
	}
	return packages
}

func TestTheOrderOfComponentsIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, components)
	other := k.compile(t, `components:
  require: [{purl: pkg:pypi/b, versions: "> 0"}, pkg:npm/a]
  deny: [pkg:deb/debian/c, {purl: pkg:pypi/b, versions: "= 3 || < 2, >= 1"}, "pkg:npm/**/evil*"]
`)
	rapid.Check(t, func(t *rapid.T) {
		ev := k.good()
		scan := platform(ev).Scan
		scan.Packages = append(scan.Packages, drawnPackages(t)...)
		first := policy.Evaluate(c, ev, received())
		shuffle(rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))), scan.Packages)
		if second := policy.Evaluate(c, ev, received()); !bytes.Equal(text(t, first), text(t, second)) {
			t.Errorf("%s\n%s", text(t, first), text(t, second))
		}
		if turned := policy.Evaluate(other, ev, received()); turned.Verdict != first.Verdict || len(turned.Findings) != len(first.Findings) {
			t.Errorf("%s\n%s", text(t, first), text(t, turned))
		}
	})
}

// What is denied does not become welcome by what else is installed, by less
// being known of it, or by the scan being gone.
func TestADeniedComponentStaysDenied(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, components)
	rapid.Check(t, func(t *rapid.T) {
		ev := k.good()
		scan := platform(ev).Scan
		scan.Packages = append(scan.Packages, drawnPackages(t)...)
		before := policy.Evaluate(c, ev, received()).Verdict
		denied := installed(rapid.SampledFrom([]string{"pkg:npm/evil@1", "pkg:pypi/b@1.5", "pkg:deb/debian/c@7"}).Draw(t, "denied"))
		switch rapid.IntRange(0, 3).Draw(t, "known") {
		case 0:
			denied.PURL = ""
		case 1:
			denied.Version = ""
		case 2:
			denied.PURL = "pkg:?"
		}
		i := rapid.IntRange(0, len(scan.Packages)).Draw(t, "at")
		scan.Packages = slices.Insert(scan.Packages, i, denied)
		if after := policy.Evaluate(c, ev, received()); after.Verdict != policy.VerdictRejected {
			t.Errorf("%s became %s with %+v", before, after.Verdict, denied)
		}
		platform(ev).Scan = nil
		if after := policy.Evaluate(c, ev, received()); after.Verdict != policy.VerdictError {
			t.Errorf("without a scan: %s", after.Verdict)
		}
	})
}

// A package URL of a policy and one of an image are read without a crash, and
// one that names exactly one package finds it.
func FuzzComponents(f *testing.F) {
	for _, seed := range [][3]string{
		{"pkg:npm/%40a/b", "> 1.0.0", "1.0.1"},
		{"pkg:deb/debian/x?arch=amd64", ">= 1:1~rc1-1, < 2 || = 3", "1:1"},
		{"pkg:npm/[", "", ""},
		{"pkg:pypi/a@1.0", "", "1"},
		{"pkg:maven/a/b", "< 1-SNAPSHOT", "1"},
		{"pkg:npm/{a,b}", "", ""},
		{"pkg:\xff/a", "!= x", "\x00"},
		{"pkg:gem/a", "< 1.0.a", "1"},
		{"pkg:rpm/a/**", "= ^", "~"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	k := newKeys(f)
	f.Fuzz(func(t *testing.T, purl, versions, version string) {
		c, err := policy.Compile(policy.Policy{
			APIVersion: policy.APIVersion, Kind: policy.Kind, Metadata: policy.Metadata{Name: "fuzz"},
			Spec: policy.Spec{
				From: "staging", Match: policy.Match{Repositories: []string{"**"}}, Components: &policy.Components{Deny: []policy.Component{{PURL: policy.PackageURL(purl), Versions: versions}}},
				Promote: policy.Promote{To: "golden", Repository: "x", Tags: []string{"x"}},
			},
		})
		if err != nil {
			return
		}
		ev := k.good()
		own := policy.Package{Type: "npm", Name: "x", Version: version, PURL: purl}
		platform(ev).Scan.Packages = append(platform(ev).Scan.Packages, own)
		got := policy.Evaluate(c, ev, received()).Verdict
		if literal := !strings.ContainsAny(purl, `*?[]{}\%`); literal && versions == "" && !strings.Contains(purl, "@") && got != policy.VerdictRejected {
			t.Errorf("%q does not find itself", purl)
		}
	})
}
