package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

const (
	reported     = "report: {from: [attestation], signedBy: [ci]}"
	bothSources  = "report: {from: [attestation, scanner], signedBy: [ci]}"
	deniesFixed  = "deny: [{severity: critical, fixed: true}]"
	openCritical = `{"vulnerability":{"id":"CVE-9","severity":"Critical","fix":{"versions":["2"],"state":"fixed","available":[{"date":"2026-11-01"}]}},` +
		`"artifact":{"name":"curl","version":"1","purl":"pkg:deb/debian/curl@1"}}`
)

// vulnerabilities is a policy with a section of these parts.
func vulnerabilities(parts ...string) string {
	return signed + "vulnerabilities: {" + strings.Join(parts, ", ") + "}\n"
}

// grype is Grype's report of a scan that ended that long ago, with a database
// an hour older, in cosign's predicate.
func grype(age time.Duration, matches ...string) string {
	ended := received().Add(-age)
	return fmt.Sprintf(`{"scanner":{"uri":"grype","db":{"lastUpdate":%q},"result":{"matches":[%s],"source":{"type":"image"},`+
		`"descriptor":{"name":"grype","db":{"status":{"schemaVersion":"v6.1.0","valid":true}}}}},"metadata":{"scanFinishedOn":%q}}`,
		ended.Add(-time.Hour).Format(time.RFC3339), strings.Join(matches, ","), ended.Format(time.RFC3339))
}

// inToto is a report that names vulnerabilities and nothing about them.
func inToto(ids ...string) string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id":%q,"severity":[]}`, id))
	}
	at := received().Add(-time.Hour).Format(time.RFC3339)
	return fmt.Sprintf(`{"scanner":{"uri":"x","db":{"lastUpdate":%q},"result":[%s]},"metadata":{"scanFinishedOn":%q}}`, at, strings.Join(list, ","), at)
}

// attests adds an attestation by an authority, or a stranger's.
func attests(by func(k keys) policy.Authority, predicateType, predicate string) edit {
	return func(k keys, ev *policy.Evidence) {
		a := policy.Attestation{
			Form: "bundle", Manifest: fmt.Sprintf("sha256:%064x", len(ev.Attestations)), Result: policy.UnknownSigner, PredicateType: predicateType,
		}
		if by != nil {
			a.Result, a.VerifiedBy, a.Predicate = policy.Verified, []string{by(k).ID}, json.RawMessage(predicate)
		}
		ev.Attestations = append(ev.Attestations, a)
	}
}

func ci(k keys) policy.Authority     { return k.ci }
func nobody(k keys) policy.Authority { return k.other }

func reports(predicate string) edit { return attests(ci, vulnreport.PredicateCosign, predicate) }

func listed(ids ...string) edit { return attests(ci, vulnreport.PredicateInTotoV02, inToto(ids...)) }

// all applies edits one after the other.
func all(edits ...edit) edit {
	return func(k keys, ev *policy.Evidence) {
		for _, e := range edits {
			e(k, ev)
		}
	}
}

// reportCase is a case of a table.
type reportCase struct {
	name   string
	rules  string
	edit   edit
	after  time.Duration
	want   policy.Verdict
	reason policy.Reason
	says   string
}

func decide(t *testing.T, cases []reportCase) {
	t.Helper()
	k := newKeys(t)
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			platform(ev).Digest = ev.Subject.Digest
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received().Add(tt.after))
			if got.Verdict != tt.want {
				t.Fatalf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			if tt.reason == "" && tt.want == policy.VerdictPromoted && len(got.Findings) > 0 {
				t.Errorf("a yes with %+v", got.Findings)
			}
			if tt.reason != "" && !slices.ContainsFunc(got.Findings, func(f policy.Finding) bool {
				return f.Check == policy.CheckVulnerabilities && f.Reason == tt.reason && strings.Contains(f.Found, tt.says) && f.Expected != "" && f.Remedy != ""
			}) {
				t.Errorf("%+v\nwant %s, %q", got.Findings, tt.reason, tt.says)
			}
		})
	}
}

func TestReportsDecide(t *testing.T) {
	t.Parallel()
	const (
		yes, no, later, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError
		absent, denied          = policy.ReasonAbsent, policy.ReasonDenied
	)
	alone := vulnerabilities(reported, deniesFixed)
	united := vulnerabilities(bothSources, deniesFixed)
	decide(t, []reportCase{
		// Reports alone.
		{"a clean report", alone, all(noScan, reports(grype(0))), 0, yes, "", ""},
		{"a report that names one", alone, all(noScan, reports(grype(0, openCritical))), 0, no, denied, "CVE-9 (critical) in curl 1, as grype reports"},
		{"a report that names one without a fix", alone, all(noScan, reports(grype(0, strings.Replace(openCritical, `"fixed"`, `"not-fixed"`, 1)))), 0, yes, "", ""},
		{"no report yet", alone, noScan, wait - time.Second, later, absent, "no report yet"},
		{"no report, too late", alone, all(noScan), wait, no, absent, "no report arrived within 1h"},
		{"a stranger's report", alone, all(noScan, attests(nil, vulnreport.PredicateCosign, "")), 0, no, policy.ReasonWrongSigner, "by somebody else"},
		{"a report by another authority", alone + "authorities: [{name: other, anyOf: [{keyFile: other.pub}]}]\n", all(noScan, attests(nobody, vulnreport.PredicateCosign, grype(0))), 0, later, absent, "no report"},
		{"a report of another type", alone, all(noScan, attests(ci, testResult, grype(0))), 0, later, absent, "no report"},
		{"an unknown scanner", alone, all(noScan, reports(strings.Replace(grype(0), `"name":"grype"`, `"name":"other"`, 1))), 0, no, policy.ReasonMalformed, "which is not read"},
		{"not a report at all", alone, all(noScan, reports(`"clean"`)), 0, no, policy.ReasonMalformed, "cannot be read"},
		{"beside a clean report one that cannot be read", alone, all(noScan, reports(grype(0)), reports(`{}`)), 0, yes, policy.ReasonMalformed, "beside a report that counts"},
		{"beside a clean report one that names one", alone, all(noScan, reports(grype(0)), reports(grype(time.Hour, openCritical))), 0, no, denied, "CVE-9"},
		{"the registry does not answer", alone, all(noScan, problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "503"},
		{"the registry does not answer for all of it", alone, all(noScan, reports(grype(0)), problem(policy.PartSignatures, "")), 0, unknown, policy.ReasonUnavailable, "503"},
		{"an index of whose platform nobody asked", alone, all(noScan, reports(grype(0)), func(_ keys, ev *policy.Evidence) { platform(ev).Digest = "sha256:" + strings.Repeat("ef", 32) }), wait, unknown, policy.ReasonUnavailable, "nobody looked"},
		{"another rule needs a scan", alone + systems, all(noScan, reports(grype(0))), 0, unknown, "", ""},

		// Ages.
		{"a scan as old as it may be", vulnerabilities("report: {from: [attestation], signedBy: [ci], scanMaxAge: 24h}", deniesFixed), all(noScan, reports(grype(dayAge))), 0, yes, "", ""},
		{"a scan a second too old", vulnerabilities("report: {from: [attestation], signedBy: [ci], scanMaxAge: 24h}", deniesFixed), all(noScan, reports(grype(dayAge))), time.Second, later, policy.ReasonTooOld, "longer ago than the 1d"},
		{"a scan that is too old, too late", vulnerabilities("report: {from: [attestation], signedBy: [ci], scanMaxAge: 24h}", deniesFixed), all(noScan, reports(grype(dayAge))), wait, no, policy.ReasonTooOld, "longer ago"},
		{"a database as old as it may be", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 3h}", deniesFixed), all(noScan, reports(grype(2*time.Hour))), 0, yes, "", ""},
		{"a database a second too old", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 3h}", deniesFixed), all(noScan, reports(grype(2*time.Hour))), time.Second, later, policy.ReasonTooOld, "the vulnerability database of grype"},
		{"without scanMaxAge, a scan may be as old as the database", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 3h, allowUndatedDatabase: true}", deniesFixed), all(noScan, reports(undated(3*time.Hour))), time.Second, later, policy.ReasonTooOld, "ended"},
		{"an old report that names one is past", alone, all(noScan, reports(grype(0)), reports(grype(3*dayAge, openCritical))), 0, yes, "", ""},
		{"a recent scan with an old database names one", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 2h, scanMaxAge: 24h}", deniesFixed), all(noScan, reports(grype(0)), reports(grype(4*time.Hour, openCritical))), 0, no, denied, "CVE-9"},
		{"a scan of the future", alone, all(noScan, reports(grype(-5*time.Minute-time.Second))), 0, no, policy.ReasonInvalid, "in the future"},
		{"a clock that is a little ahead", alone, all(noScan, reports(grype(-5*time.Minute))), 0, yes, "", ""},
		{"a database of no date", alone, all(noScan, reports(undated(0))), 0, no, policy.ReasonInvalid, "does not say how old"},
		{"a database of no date, allowed", vulnerabilities("report: {from: [attestation], signedBy: [ci], allowUndatedDatabase: true}", deniesFixed), all(noScan, reports(undated(0))), 0, yes, "", ""},

		// What a format cannot say is as bad as a rule asks for.
		{"how severe", vulnerabilities(reported, "deny: [{severity: critical}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody says how severe it is"},
		{"with a fix", vulnerabilities(reported, "deny: [{fixed: true}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody says whether there is a fix"},
		{"without a fix", vulnerabilities(reported, "deny: [{fixed: false}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody says whether there is a fix"},
		{"since when", vulnerabilities(reported, "deny: [{fixed: true, after: 14d}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody knows since when"},
		{"exploited", vulnerabilities(reported, "deny: [{knownExploited: true}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody says whether it is exploited"},
		{"likely", vulnerabilities(reported, "deny: [{epss: 0.9}]"), all(noScan, listed("CVE-9")), 0, no, denied, "no EPSS score"},
		{"in which package", vulnerabilities(reported, "deny: [{severity: low, types: [npm], packages: [lodash]}]"), all(noScan, listed("CVE-9")), 0, no, denied, "nobody says in which package"},
		{"counted", vulnerabilities(reported, `counts: [{severity: high, fixed: true, deny: "> 1"}]`), all(noScan, listed("CVE-8", "CVE-9")), 0, no, denied, "2 vulnerabilities"},
		{"a list of nothing", vulnerabilities(reported, "deny: [{severity: unknown}]"), all(noScan, listed()), 0, yes, "", ""},
		{"Grype says what is not exploited", vulnerabilities(reported, "deny: [{knownExploited: true}]"), all(noScan, reports(grype(0, openCritical))), 0, yes, "", ""},
		{"Grype says since when", vulnerabilities(reported, "deny: [{fixed: true, after: 30d}]"), all(noScan, reports(grype(0, openCritical))), 0, yes, policy.ReasonGrace, "2026-12-01"},

		// Exceptions.
		{"excused", vulnerabilities(reported, deniesFixed, excuse("CVE-9", "")), all(noScan, reports(grype(0, openCritical))), 0, yes, policy.ReasonExcepted, "excused by sec@acme.example"},
		{"excused in the package", vulnerabilities(reported, deniesFixed, excuse("CVE-9", "curl")), all(noScan, reports(grype(0, openCritical))), 0, yes, policy.ReasonExcepted, "excused"},
		{"excused in a package, and nobody says in which it is", vulnerabilities(reported, deniesFixed, excuse("CVE-9", "curl")), all(noScan, listed("CVE-9")), 0, no, denied, "a package that is not named"},

		// Both sources.
		{"both clean", united, reports(grype(0)), 0, yes, "", ""},
		{"the scanner names one", united, all(reports(grype(0)), cve(nil)), 0, no, denied, "CVE-1"},
		{"the report names one", united, reports(grype(0, openCritical)), 0, no, denied, "CVE-9"},
		{"the scanner alone", united, nil, 0, later, absent, "no report yet"},
		{"the scanner alone, too late", united, nil, wait, no, absent, "no report arrived"},
		{"the scanner alone names one: that is enough", united, cve(nil), 0, no, denied, "CVE-1"},
		{"the report alone", united, all(noScan, reports(grype(0))), 0, unknown, policy.ReasonUnavailable, "not scanned"},
		{"the report alone names one, and nobody can look", united, all(noScan, reports(grype(0, openCritical))), 0, unknown, policy.ReasonUnavailable, "not scanned"},
		{"the scanner knows what the report does not", vulnerabilities(bothSources, "deny: [{severity: high, knownExploited: true}]"), all(listed("CVE-1"), cve(nil)), 0, yes, "", ""},
		{"the scanner knows that it is exploited", vulnerabilities(bothSources, "deny: [{severity: high, knownExploited: true}]"), all(listed("CVE-1"), cve(func(v *policy.Vulnerability) { v.KnownExploited = true })), 0, no, denied, "CVE-1"},
		{"the report finds it worse", vulnerabilities(bothSources, "deny: [{severity: critical}]"), all(reports(grype(0, openCritical)), cve(func(v *policy.Vulnerability) {
			v.ID, v.Package, v.Version, v.Severity = "CVE-9", "curl", "1", policy.SeverityLow
		})), 0, no, denied, "CVE-9"},
		{"the scanner takes it for a false alarm, the report does not", united, all(reports(grype(0, openCritical)), cve(func(v *policy.Vulnerability) {
			v.ID, v.Package, v.Version, v.Suppressed = "CVE-9", "curl", "1", "a false alarm"
		})), 0, no, denied, "as grype reports"},
		{"the scanner takes it for a false alarm, a vague report does not", united, all(listed("CVE-1"), cve(func(v *policy.Vulnerability) { v.Suppressed = "a false alarm" })), 0, no, denied, "not named"},
		{"they disagree about what no rule refuses yet", vulnerabilities(bothSources, "deny: [{severity: critical, fixed: true, after: 30d}]"), all(reports(grype(0)), cve(func(v *policy.Vulnerability) { v.FixedAt = ago(dayAge) })), 0, yes, policy.ReasonDisagreement, "the scanner alone names CVE-1"},
		{"a list without packages agrees", vulnerabilities(bothSources, "deny: [{severity: critical, fixed: true}], "+excuse("CVE-1", "openssl")), all(listed("CVE-1"), cve(nil)), 0, yes, policy.ReasonExcepted, "CVE-1 (critical) in openssl 3.0.1, excused"},
		{"a false alarm that no report names is no disagreement", united, all(reports(grype(0)), cve(func(v *policy.Vulnerability) { v.Suppressed = "a false alarm" })), 0, yes, policy.ReasonExcepted, "false alarm"},
		{"counted once", vulnerabilities(bothSources, `counts: [{deny: "> 1"}]`), all(reports(grype(0, openCritical)), cve(func(v *policy.Vulnerability) { v.ID, v.Aliases = "GHSA-9", []string{"CVE-9"} })), 0, yes, "", ""},
		{"counted together", vulnerabilities(bothSources, `counts: [{deny: "> 1"}]`), all(reports(grype(0, openCritical)), cve(nil)), 0, no, denied, "2 vulnerabilities"},
		{"not counted before all is there", vulnerabilities(bothSources, `counts: [{deny: "< 1"}]`), nil, 0, later, absent, "no report yet"},

		{"what an old database knows is no help", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 2h, scanMaxAge: 24h}", "deny: [{severity: critical, knownExploited: true}]"), all(noScan, listed("CVE-9"), reports(grype(90*time.Minute, openCritical))), 0, no, denied, "nobody says whether it is exploited"},
		{"what a current one knows is", vulnerabilities("report: {from: [attestation], signedBy: [ci], maxAge: 3h}", "deny: [{severity: critical, knownExploited: true}]"), all(noScan, listed("CVE-9"), reports(grype(90*time.Minute, openCritical))), 0, yes, "", ""},

		// Several signers.
		{"one of two", two + vulnSection(reported, deniesFixed), all(noScan, reports(grype(0))), 0, later, absent, "only 1 of 2 signers"},
		{"two of two", two + vulnSection(reported, deniesFixed), all(noScan, reports(grype(0)), attests(nobody, vulnreport.PredicateCosign, grype(time.Minute))), 0, yes, "", ""},
		{"two of two, of whom one is too old", two + vulnSection(reported, deniesFixed), all(noScan, reports(grype(0)), attests(nobody, vulnreport.PredicateCosign, grype(9*dayAge))), 0, later, absent, "only 1 of 2 signers"},
		{"two of two, of whom one names one", two + vulnSection(reported, deniesFixed), all(noScan, reports(grype(0)), attests(nobody, vulnreport.PredicateCosign, grype(0, openCritical))), 0, no, denied, "CVE-9"},
	})
}

const two = "authorities: [{name: ci, threshold: 2, anyOf: [{keyFile: ci.pub}, {keyFile: other.pub}]}]\n"

func vulnSection(parts ...string) string {
	return strings.TrimPrefix(vulnerabilities(parts...), signed)
}

// undated is a report that does not say how old its database was.
func undated(age time.Duration) string {
	text := grype(age)
	from := strings.Index(text, `"db":{"lastUpdate"`)
	return text[:from] + text[from+strings.IndexByte(text[from:], '}')+2:]
}

func excuse(id, pkg string) string {
	return fmt.Sprintf("exceptions: [{id: %s, package: %q, expires: 2026-12-31, owner: sec@acme.example, reason: SEC-12}]", id, pkg)
}

func TestDeadlinesSinceAnAdvisory(t *testing.T) {
	t.Parallel()
	since := vulnerabilities("deny: [{severity: high, after: 14d, since: advisory}]")
	published := func(age time.Duration) edit {
		return cve(func(v *policy.Vulnerability) {
			v.FixState, v.FixedIn = "not-fixed", nil
			if age != 0 {
				v.PublishedAt = ago(age)
			}
		})
	}
	decide(t, []reportCase{
		{"a second before", since, published(14*dayAge - time.Second), 0, policy.VerdictPromoted, policy.ReasonGrace, "will be refused from 2026-11-20 08:00:01 on"},
		{"then", since, published(14 * dayAge), 0, policy.VerdictRejected, policy.ReasonDenied, "it was published 2026-11-06"},
		{"nobody knows when", since, published(0), 0, policy.VerdictRejected, policy.ReasonDenied, "nobody knows when it was published"},
		{"in the future, which cannot be", since, published(-2 * dayAge), 0, policy.VerdictRejected, policy.ReasonDenied, "nobody knows when it was published"},
		{"a fix counts by itself", vulnerabilities("deny: [{severity: high, fixed: true, after: 14d, since: fix}]"), fixedAt(13 * dayAge), 0, policy.VerdictPromoted, policy.ReasonGrace, "will be refused"},
		{"a fix of yesterday for what was published long ago", vulnerabilities("deny: [{severity: high, fixed: true, after: 14d, since: advisory}]"), cve(func(v *policy.Vulnerability) {
			v.FixedAt, v.PublishedAt = ago(dayAge), ago(99*dayAge)
		}), 0, policy.VerdictRejected, policy.ReasonDenied, "published"},
	})
}

func TestMistakesAboutReports(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for _, tt := range []struct{ name, section, want string }{
		{"a source that is none", "report: {from: [hearsay]}", `report.from[0]: "hearsay"; write attestation or scanner`},
		{"a source twice", "report: {from: [scanner, scanner]}", `report.from[1]: "scanner" is there twice`},
		{"reports by nobody", "report: {from: [attestation]}", "report.signedBy: missing"},
		{"reports by somebody unknown", "report: {from: [attestation], signedBy: [who]}", `no authority is named "who"`},
		{"signers of no reports", "report: {signedBy: [ci]}", "report.signedBy: is for signed reports"},
		{"an age of no reports", "report: {from: [scanner], scanMaxAge: 1h}", "report.scanMaxAge: is for signed reports"},
		{"a database of no reports", "report: {allowUndatedDatabase: true}", "report.allowUndatedDatabase: is for signed reports"},
		{"VEX by nobody", "vex: {}", "vex.signedBy: missing"},
		{"VEX by somebody unknown", "vex: {signedBy: [who]}", `no authority is named "who"`},
		{"since something else", "deny: [{severity: low, after: 1d, since: today}]", `deny[0].since: "today"; write fix or advisory`},
		{"since without after", "deny: [{severity: low, since: advisory}]", "since: says what after counts from"},
		{"after a fix without a fix", "deny: [{severity: low, after: 1d, since: fix}]", "write fixed: true beside it, or since: advisory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			section := tt.section
			if !strings.HasPrefix(section, "deny") {
				section += ", " + deniesFixed
			}
			text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n  from: staging\n" +
				"  match: {repositories: [\"**\"]}\n  promote: {to: golden, repository: x, tags: [y]}\n" + indent(vulnerabilities(section))
			_, err := policyfile.Parse("test.yaml", []byte(text), func(string) ([]byte, error) { return k.ci.PublicKey, nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// Reports alone need no look inside the layers; the scanner, and other rules,
// do.
func TestReportsAloneNeedNoScan(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for rules, want := range map[string]bool{
		vulnerabilities(reported, deniesFixed):           false,
		vulnerabilities(bothSources, deniesFixed):        true,
		vulnerabilities(deniesFixed):                     true,
		vulnerabilities(reported, deniesFixed) + openssl: true,
	} {
		if got := k.compile(t, rules).NeedsScan(); got != want {
			t.Errorf("%v for\n%s", got, rules)
		}
	}
}

// That sources differ is only said where they do.
func TestSourcesThatAgree(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, vulnerabilities(bothSources, deniesFixed))
	for name, tt := range map[string]struct {
		edit edit
		want []string
	}{
		"a list without packages":  {all(listed("CVE-1"), cve(nil)), nil},
		"an alias":                 {all(listed("GHSA-1"), cve(func(v *policy.Vulnerability) { v.Aliases = []string{"GHSA-1"} })), nil},
		"a false alarm":            {all(listed(), cve(func(v *policy.Vulnerability) { v.Suppressed = "a false alarm" })), nil},
		"what no rule is about":    {all(listed(), cve(func(v *policy.Vulnerability) { v.Severity = policy.SeverityLow })), nil},
		"one that one alone names": {all(listed("CVE-2", "CVE-3", "CVE-4", "CVE-5"), cve(nil)), []string{"the scanner alone names CVE-1; the signed reports alone name CVE-2, CVE-3, CVE-4 and 1 more"}},
	} {
		ev := k.good()
		platform(ev).Digest = ev.Subject.Digest
		tt.edit(k, ev)
		var found []string
		for _, f := range policy.Evaluate(c, ev, received()).Findings {
			if f.Reason == policy.ReasonDisagreement {
				found = append(found, f.Found)
			}
		}
		if !slices.Equal(found, tt.want) {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// Of two reports by the same scanner that differ in one date alone, which is
// shown does not depend on which was read first.
func TestReportsThatDifferInADate(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, vulnerabilities(reported, "deny: [{fixed: true, after: 60d}]"))
	other := strings.Replace(openCritical, "2026-11-01", "2026-11-02", 1)
	var results []string
	for _, edits := range []edit{all(reports(grype(0, openCritical)), reports(grype(0, other))), all(reports(grype(0, other)), reports(grype(0, openCritical)))} {
		ev := k.good()
		platform(ev).Digest = ev.Subject.Digest
		edits(k, ev)
		r := policy.Evaluate(c, ev, received())
		r.Inputs = nil // which name the manifests
		if len(r.Findings) != 1 || r.Verdict != policy.VerdictPromoted {
			t.Errorf("%+v", r)
		}
		results = append(results, string(marshal(t, r)))
	}
	if results[0] != results[1] {
		t.Errorf("%s\n%s", results[0], results[1])
	}
}
