package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/vex"
)

const bySecurity = "vex: {signedBy: [security]}"

// security is a policy with VEX by an authority of its own, the other key.
func security(parts ...string) string {
	return "authorities: [{name: security, anyOf: [{keyFile: other.pub}]}]\n" + vulnerabilities(append(parts, bySecurity)...)
}

// thisImage is a product that is the image of these tests.
func thisImage() string { return `{"@id":"pkg:oci/app@sha256%3A` + strings.Repeat("ab", 32) + `"}` }

// says is an OpenVEX statement, made that long ago, about an image.
func says(id, status, more, product string, age time.Duration) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"vulnerability":{"name":%q},"products":[%s],"status":%q,"timestamp":%q%s}`,
		id, product, status, received().Add(-age).Format(time.RFC3339), more)
}

func openVEX(statements ...string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","author":"sec","timestamp":"2026-11-01T00:00:00Z","statements":[` + strings.Join(statements, ",") + "]}"
}

const because = `"justification":"vulnerable_code_not_present"`

// states attests an OpenVEX document as the security team.
func states(statements ...string) edit {
	return attests(nobody, vex.PredicateOpenVEX+"/v0.2.0", openVEX(statements...))
}

func notAffected(id string, age time.Duration) string {
	return says(id, "not_affected", because, thisImage(), age)
}

func in(purl string) string {
	return strings.TrimSuffix(thisImage(), "}") + `,"subcomponents":[{"@id":"` + purl + `"}]}`
}

func cyclone(state, ref string) string {
	return fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":"2026-11-19T00:00:00Z","component":{"bom-ref":"image",`+
		`"purl":"pkg:oci/app@sha256%%3A%s"}},"components":[{"bom-ref":"openssl","purl":"pkg:deb/debian/openssl@3.0.1"},{"bom-ref":"curl","purl":"pkg:deb/debian/curl@1"}],`+
		`"vulnerabilities":[{"id":"CVE-1","analysis":{"state":%q,"detail":"we do not call it"},"affects":[{"ref":%q}]}]}`, strings.Repeat("ab", 32), state, ref)
}

// A statement that takes an excuse back does so where it is understood in part only.
func TestAnExcuseIsTakenBackInDoubt(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, security(deniesFixed))
	ranges := `"affects":[{"ref":"image","versions":[{"version":"1.2.3"}]}]`
	for name, tt := range map[string]struct {
		edits []edit
		want  policy.Verdict
	}{
		"an excuse alone": {[]edit{cve(nil), states(notAffected("CVE-1", 3*dayAge))}, policy.VerdictPromoted},
		"exploitable in some versions": {
			[]edit{cve(nil), states(notAffected("CVE-1", 3*dayAge)), attests(nobody, vex.PredicateCycloneDX, strings.Replace(cyclone("exploitable", "image"), `"affects":[{"ref":"image"}]`, ranges, 1))},
			policy.VerdictRejected,
		},
		"resolved in some versions": {
			[]edit{cve(nil), attests(nobody, vex.PredicateCycloneDX, strings.Replace(cyclone("resolved", "image"), `"affects":[{"ref":"image"}]`, ranges, 1))},
			policy.VerdictRejected,
		},
		"affected, in a package of which the type is not known": {
			[]edit{cve(func(v *policy.Vulnerability) { v.Type = "" }), states(notAffected("CVE-1", 3*dayAge)), states(says("CVE-1", "affected", "", in("pkg:deb/debian/openssl"), 0))},
			policy.VerdictRejected,
		},
		"affected, in another package": {
			[]edit{cve(func(v *policy.Vulnerability) { v.Type = "" }), states(notAffected("CVE-1", 3*dayAge)), states(says("CVE-1", "affected", "", in("pkg:deb/debian/curl"), 0))},
			policy.VerdictPromoted,
		},
		"not affected, in a package of which the type is not known": {
			[]edit{cve(func(v *policy.Vulnerability) { v.Type = "" }), states(says("CVE-1", "not_affected", because, in("pkg:deb/debian/openssl"), 0))},
			policy.VerdictRejected,
		},
	} {
		ev := k.good()
		all(tt.edits...)(k, ev)
		if got := policy.Evaluate(c, ev, received()); got.Verdict != tt.want {
			t.Errorf("%s: %s, want %s: %+v", name, got.Verdict, tt.want, got.Findings)
		}
	}
}

func TestVEXDecides(t *testing.T) {
	t.Parallel()
	const (
		yes, no, unknown          = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
		denied, excepted, invalid = policy.ReasonDenied, policy.ReasonExcepted, policy.ReasonInvalid
	)
	rules := security(deniesFixed)
	aged := strings.Replace(rules, bySecurity, "vex: {signedBy: [security], maxAge: 1d}", 1)
	cdx := func(state, ref string) edit {
		return all(cve(nil), attests(nobody, vex.PredicateCycloneDX, cyclone(state, ref)))
	}
	decide(t, []reportCase{
		{"nothing stated", rules, cve(nil), 0, no, denied, "CVE-1 (critical) in openssl 3.0.1"},
		{"nothing found", rules, states(notAffected("CVE-1", 0)), 0, yes, "", ""},

		// Statuses.
		{"not affected", rules, all(cve(nil), states(notAffected("CVE-1", 0))), 0, yes, excepted, `excused by the VEX statement by "security" (sec): not_affected, vulnerable_code_not_present`},
		{"not affected, in words", rules, all(cve(nil), states(says("CVE-1", "not_affected", `"impact_statement":"no"`, thisImage(), 0))), 0, yes, excepted, "not_affected, no"},
		{"not affected without a reason", rules, all(cve(nil), states(says("CVE-1", "not_affected", "", thisImage(), 0))), 0, no, denied, "without a justification, does not excuse it"},
		{"fixed", rules, all(cve(nil), states(says("CVE-1", "fixed", "", thisImage(), 0))), 0, yes, excepted, "fixed"},
		{"affected", rules, all(cve(nil), states(says("CVE-1", "affected", "", thisImage(), 0))), 0, no, denied, "affected"},
		{"under investigation", rules, all(cve(nil), states(says("CVE-1", "under_investigation", because, thisImage(), 0))), 0, no, denied, "under_investigation"},
		{"another vulnerability", rules, all(cve(nil), states(notAffected("CVE-2", 0))), 0, no, denied, "CVE-1"},
		{"an alias", rules, all(cve(func(v *policy.Vulnerability) { v.Aliases = []string{"GHSA-1"} }), states(notAffected("GHSA-1", 0))), 0, yes, excepted, "excused"},
		{"one of two", rules, all(cve(nil), cve(func(v *policy.Vulnerability) { v.ID = "CVE-2" }), states(notAffected("CVE-1", 0))), 0, no, denied, "CVE-2"},

		// Products.
		{"the product is the attested one", rules, all(cve(nil), states(says("CVE-1", "fixed", "", "", 0))), 0, yes, excepted, "excused"},
		{"another digest", rules, all(cve(nil), states(says("CVE-1", "fixed", "", `{"@id":"pkg:oci/app@sha256%3A`+strings.Repeat("cd", 32)+`"}`, 0))), 0, no, invalid, "about other products"},
		{"the repository", rules, all(cve(nil), states(says("CVE-1", "fixed", "", `{"@id":"pkg:oci/app?repository_url=reg.example/team-a/app"}`, 0))), 0, yes, excepted, "excused"},
		{"another repository", rules, all(cve(nil), states(says("CVE-1", "fixed", "", `{"@id":"pkg:oci/app?repository_url=reg.example/team-b/app"}`, 0))), 0, no, invalid, "about other products"},
		{"a package that is no product of ours", rules, all(cve(nil), states(says("CVE-1", "fixed", "", `"pkg:deb/debian/openssl@3.0.1"`, 0))), 0, no, invalid, "about other products"},
		{"in the package", rules, all(cve(nil), states(says("CVE-1", "fixed", "", in("pkg:deb/debian/openssl@3.0.1"), 0))), 0, yes, excepted, "excused"},
		{"in another package", rules, all(cve(nil), states(says("CVE-1", "fixed", "", in("pkg:deb/debian/curl"), 0))), 0, no, denied, "CVE-1"},
		{"in another version", rules, all(cve(nil), states(says("CVE-1", "fixed", "", in("pkg:deb/debian/openssl@3.0.2"), 0))), 0, no, denied, "CVE-1"},

		// Who.
		{"by an authority that is not asked", rules, all(cve(nil), attests(ci, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0)))), 0, no, denied, "CVE-1"},
		{"by a stranger", rules, all(cve(nil), attests(nil, vex.PredicateOpenVEX, "")), 0, no, denied, "CVE-1"},
		{"in a policy that takes none", vulnerabilities(deniesFixed), all(cve(nil), attests(ci, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0)))), 0, no, denied, "CVE-1"},
		{"with another type", rules, all(cve(nil), attests(nobody, testResult, openVEX(notAffected("CVE-1", 0)))), 0, no, denied, "CVE-1"},
		{"one of two signers", two + vulnSection(deniesFixed, "vex: {signedBy: [ci]}"), all(cve(nil), attests(ci, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0)))), 0, no, policy.ReasonAbsent, "only 1 of 2 signers"},
		{"two signers of the same document", two + vulnSection(deniesFixed, "vex: {signedBy: [ci]}"), all(cve(nil), attests(ci, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0))), attests(nobody, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0)))), 0, yes, excepted, "excused"},
		{"two signers of two documents", two + vulnSection(deniesFixed, "vex: {signedBy: [ci]}"), all(cve(nil), attests(ci, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 0))), attests(nobody, vex.PredicateOpenVEX, openVEX(notAffected("CVE-1", 1)))), 0, no, policy.ReasonAbsent, "only 1 of 2 signers"},

		// When.
		{"a newer one says affected", rules, all(cve(nil), states(notAffected("CVE-1", time.Second)), states(says("CVE-1", "affected", "", thisImage(), 0))), 0, no, denied, "affected"},
		{"an older one says affected", rules, all(cve(nil), states(notAffected("CVE-1", 0), says("CVE-1", "affected", "", thisImage(), time.Second))), 0, yes, excepted, "excused"},
		{"two at the same time", rules, all(cve(nil), states(notAffected("CVE-1", 0), says("CVE-1", "under_investigation", "", thisImage(), 0))), 0, no, denied, "under_investigation"},
		{"a newer one about another package", rules, all(cve(nil), states(notAffected("CVE-1", time.Second), says("CVE-1", "affected", "", in("pkg:deb/debian/curl"), 0))), 0, yes, excepted, "excused"},
		{"a newer one about the package", rules, all(cve(nil), states(notAffected("CVE-1", time.Second), says("CVE-1", "affected", "", in("pkg:deb/debian/openssl"), 0))), 0, no, denied, "affected"},
		{"in the future", rules, all(cve(nil), states(notAffected("CVE-1", -5*time.Minute-time.Second))), 0, no, denied, "CVE-1"},
		{"a clock that is a little ahead", rules, all(cve(nil), states(notAffected("CVE-1", -5*time.Minute))), 0, yes, excepted, "excused"},
		{"affected in the future", rules, all(cve(nil), states(notAffected("CVE-1", 0), says("CVE-1", "affected", "", thisImage(), -dayAge))), 0, no, denied, "affected"},
		{"at no time", rules, all(cve(nil), attests(nobody, vex.PredicateOpenVEX, `{"@context":"https://openvex.dev/ns","statements":[{"vulnerability":"CVE-1","status":"fixed"}]}`)), 0, no, denied, "CVE-1"},
		{"affected at no time", rules, all(cve(nil), states(notAffected("CVE-1", 0)), attests(nobody, vex.PredicateOpenVEX, `{"@context":"https://openvex.dev/ns","statements":[{"vulnerability":"CVE-1","status":"affected"}]}`)), 0, no, denied, "affected"},

		{"as old as it may be", aged, all(cve(nil), states(notAffected("CVE-1", dayAge))), 0, yes, excepted, "excused"},
		{"a second too old", aged, all(cve(nil), states(notAffected("CVE-1", dayAge))), time.Second, no, denied, "older than 1d, does not excuse it"},
		{"too old, and stated again", aged, all(cve(nil), states(notAffected("CVE-1", 9*dayAge), notAffected("CVE-1", 0))), 0, yes, excepted, "excused"},
		{"affected, however long ago", aged, all(cve(nil), states(says("CVE-1", "affected", "", thisImage(), 9*dayAge))), 0, no, denied, "affected"},

		// CycloneDX.
		{"CycloneDX: not affected", rules, cdx("not_affected", "image"), 0, yes, excepted, "not_affected, we do not call it"},
		{"CycloneDX: in the package", rules, cdx("false_positive", "openssl"), 0, yes, excepted, "excused"},
		{"CycloneDX: in another package", rules, cdx("false_positive", "curl"), 0, no, denied, "CVE-1"},
		{"CycloneDX: nowhere", rules, cdx("false_positive", "nowhere"), 0, no, invalid, "about other products"},
		{"CycloneDX: resolved", rules, cdx("resolved", "image"), 0, yes, excepted, "fixed"},
		{"CycloneDX: exploitable", rules, cdx("exploitable", "image"), 0, no, denied, "affected"},
		{"CycloneDX: in triage", rules, cdx("in_triage", "image"), 0, no, denied, "under_investigation"},
		{"CycloneDX: an SBOM says nothing", rules, attests(nobody, vex.PredicateCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6"}`), 0, yes, "", ""},

		// What else is there.
		{"malformed", rules, all(cve(nil), attests(nobody, vex.PredicateOpenVEX, `"trust me"`)), 0, no, policy.ReasonMalformed, "so that it excuses nothing"},
		{"malformed, and nothing found", rules, attests(nobody, vex.PredicateOpenVEX, `"trust me"`), 0, yes, policy.ReasonMalformed, "so that it excuses nothing"},
		{"nobody knows which statements there are", rules, all(cve(nil), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "whether a VEX statement excuses it is not known"},
		{"nobody knows what else was stated", rules, all(cve(nil), states(notAffected("CVE-1", 0)), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "not known"},
		{"nobody knows, and an exception excuses it", security(deniesFixed, excuse("CVE-1", "")), all(cve(nil), problem(policy.PartSignatures, "")), 0, yes, excepted, "excused by sec@acme.example"},
		{"not counted", security(`counts: [{deny: "> 0"}]`), all(cve(nil), states(notAffected("CVE-1", 0))), 0, yes, "", ""},
		{"counted, as nobody knows", security(`counts: [{deny: "> 0"}]`), all(cve(nil), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "VEX statements excuse some"},
		{"counted, as nobody knows what else was stated", security(`counts: [{deny: "> 0"}]`), all(cve(nil), states(notAffected("CVE-1", 0)), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "VEX statements excuse some"},
		{"counted, and fewer would be refused", security(`counts: [{deny: "< 1"}]`), all(cve(nil), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "VEX statements excuse some"},
		{"counted, and whatever is excused, it is not too many", security(`counts: [{deny: "> 1"}]`), all(cve(nil), problem(policy.PartSignatures, "")), 0, yes, "", ""},
		{"of a report", security(reported, deniesFixed), all(noScan, reports(grype(0, openCritical)), states(notAffected("CVE-9", 0))), 0, yes, excepted, "CVE-9"},
		{"of a report that names no package", security(reported, deniesFixed), all(noScan, listed("CVE-9"), states(says("CVE-9", "fixed", "", in("pkg:deb/debian/curl"), 0))), 0, no, denied, "CVE-9"},
	})
}

// Whether the index or one of its platforms is the product, it is this image;
// of two platforms, the other has nothing of it.
func TestVEXAboutAPlatform(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, security(deniesFixed))
	arm := "sha256:" + strings.Repeat("cd", 32)
	for product, want := range map[string]policy.Verdict{
		thisImage(): policy.VerdictPromoted,
		strings.ReplaceAll(thisImage(), strings.Repeat("ab", 32), strings.Repeat("cd", 32)): policy.VerdictRejected,
	} {
		ev := k.good()
		cve(nil)(k, ev)
		platform(ev).Digest = "sha256:" + strings.Repeat("ef", 32)
		secondPlatform(func(p *policy.Platform) { p.Digest = arm })(k, ev)
		states(says("CVE-1", "fixed", "", product, 0))(k, ev)
		if got := policy.Evaluate(c, ev, received()); got.Verdict != want {
			t.Errorf("%s: %s, want %s: %+v", product, got.Verdict, want, got.Findings)
		}
	}
}

// VEX of old evidence is read as it was recorded.
func TestVEXOutlivesTheRecord(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, security(bothSources, deniesFixed))
	ev := k.good()
	platform(ev).Digest = ev.Subject.Digest
	all(cve(nil), reports(grype(0, openCritical)), states(notAffected("CVE-1", 0)), states(notAffected("CVE-9", 0)))(k, ev)
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	var stored policy.Evidence
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	before, after := policy.Evaluate(c, ev, received()), policy.Evaluate(c, &stored, received())
	if a, b := string(marshal(t, before)), string(marshal(t, after)); a != b || before.Verdict != policy.VerdictPromoted {
		t.Errorf("%s\n%s", a, b)
	}
}
