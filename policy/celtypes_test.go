package policy_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// What the evidence does not have is found when a policy is read, not with the
// first push.
func TestExpressionsAreCheckedAgainstTheEvidence(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ expression, says string }{
		"a field that is not there":        {`image.confg.user != ""`, "undefined field 'confg' (at character 6 of the expression)"},
		"a field of a field":               {`image.config.users != ""`, "undefined field 'users'"},
		"a field of an element":            {`packages.all(p, p.nam != "x")`, "undefined field 'nam'"},
		"has of a field that is not there": {`has(push.tags)`, "undefined field 'tags'"},
		"the scan within the image":        {`image.scan.packages.size() > 0`, "undefined field 'scan'"},
		"the wrong type":                   {`image.config.user == 0`, "no matching overload"},
		"a list taken for a text":          {`image.config.entrypoint.startsWith("/")`, "no matching overload"},
		"an unknown variable":              {`images.name == "x"`, "undeclared reference to 'images'"},
		"no condition":                     {`image.name`, "yields string"},
		"in the second line":               {"image.name != \"\" &&\n  image.nam != \"\"", "at character 8 of line 2 of the expression"},
		"an unknown function":              {`semver(push.tag)`, "undeclared reference to 'semver'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := matching(policy.Match{Repositories: []string{"**"}})
			p.Spec.Rules[0].Expression = tt.expression
			if _, err := policy.Compile(p); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "$.spec.rules[0].expression") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Everything that evidence has can be asked for, as what it is.
func TestWhatExpressionsCanAsk(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := k.good()
	platform(ev).Scan.Packages = append(platform(ev).Scan.Packages, policy.Package{
		Type: "deb", Name: "openssl", Version: "3.0.17-1~deb12u3", PURL: "pkg:deb/debian/openssl@3.0.17-1~deb12u3?arch=amd64",
	})
	ev.Push.Tag = "v1.4.2"
	for expression, want := range map[string]policy.Verdict{
		`semverMatches(push.tag, ">= 1.4, < 2")`: policy.VerdictPromoted,
		`semverMatches(push.tag, "< 1.4")`:       policy.VerdictRejected,
		`semverMatches("latest", ">= 1")`:        policy.VerdictRejected,
		`semverMatches(push.tag, "nonsense")`:    policy.VerdictRejected,
		`isSemver(push.tag) && !isSemver("1.4") && !isSemver("latest") && isSemver("1.0.0-rc.1+b")`:        policy.VerdictPromoted,
		`versionCompare("deb", "1.0~rc1", "1.0") < 0 && versionCompare("apk", "1.2-r1", "1.2-r0") > 0`:     policy.VerdictPromoted,
		`versionCompare("deb", "1.0", "1.0") == 0`:                                                         policy.VerdictPromoted,
		`versionCompare("cobol", "1", "2") < 0`:                                                            policy.VerdictRejected,
		`packages.exists(p, p.name == "openssl" && purl(p.purl).qualifiers.arch == "amd64")`:               policy.VerdictPromoted,
		`purl("pkg:maven/log4j/log4j@1.2").namespace == "log4j"`:                                           policy.VerdictPromoted,
		`purl("log4j").name == "log4j"`:                                                                    policy.VerdictRejected,
		`now - timestamp(image.created) < days(30)`:                                                        policy.VerdictPromoted,
		`days(1000000) > days(1)`:                                                                          policy.VerdictRejected,
		`now - timestamp(push.receivedAt) == duration("0s")`:                                               policy.VerdictPromoted,
		`sets.contains(["linux/amd64", "linux/arm64"], [image.name])`:                                      policy.VerdictPromoted,
		`packages.map(p, p.type).distinct().size() >= 1`:                                                   policy.VerdictPromoted,
		`math.greatest(1, 2) == 2 && image.labels.all(k, k != "") && image.?labels.orValue({}).size() > 0`: policy.VerdictPromoted,
		`image.labels["absent"] == "x"`:                                                                    policy.VerdictRejected,
		`image.labels[?"absent"].orValue("x") == "x"`:                                                      policy.VerdictPromoted,
		`vulnerabilities.all(v, v.epss < 1)`:                                                               policy.VerdictPromoted,
		`{"a": [image.os]}.a[0] == "linux"`:                                                                policy.VerdictPromoted,
		`signatures.exists(s, s.signedBy.exists(n, n == "ci")) && attestations.all(a, a.form != "")`:       policy.VerdictPromoted,
		// A million steps, and no more.
		`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))`: policy.VerdictRejected,
	} {
		c := k.compile(t, strict+"  - {name: r, expression: '"+expression+"'}")
		got := policy.Evaluate(c, ev, received())
		if got.Verdict != want {
			t.Errorf("%s: %s: %+v", expression, got.Verdict, got.Findings)
		}
	}
}

// What the functions cost counts: an image chooses how many packages it has.
func TestWhatAnExpressionMayCost(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for expression, within := range map[string]bool{
		`packages.all(p, versionCompare("deb", p.version, "1") >= 0)`:                                      true,
		`packages.all(p, semverMatches(p.version, ">= 1"))`:                                                true,
		`packages.all(p, packages.all(q, p.name != q.name || p.version == q.version))`:                     true,
		`packages.all(p, packages.all(q, versionCompare("deb", p.version, q.version) == 0))`:               false,
		`packages.all(p, packages.all(q, semverMatches(p.version, ">= 1, < " + string(q.version + "0"))))`: false,
	} {
		ev := k.good()
		platform(ev).Scan.Packages = nil
		for range 250 {
			platform(ev).Scan.Packages = append(platform(ev).Scan.Packages, policy.Package{Type: "deb", Name: "a", Version: "1.2.3"})
		}
		got := policy.Evaluate(k.compile(t, "rules: [{name: a, expression: '"+expression+"'}]"), ev, received())
		if limited := len(got.Findings) > 0 && strings.Contains(got.Findings[0].Found, "cost limit"); limited == within {
			t.Errorf("%s: %s %+v", expression, got.Verdict, got.Findings)
		}
	}
}
