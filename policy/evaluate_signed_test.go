package policy_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// byWorkflow is an authority that is one workflow, with more said about it.
func byWorkflow(more string) string {
	return `{name: ci, anyOf: [{keyless: {issuer: "` + githubIssuer + `", ` + more + "}}]}"
}

func threshold(n, anyOf string) string {
	return "{name: ci, threshold: " + n + ", anyOf: [" + anyOf + "]}"
}

const (
	keyA      = "{keyFile: a.pub}"
	keyB      = "{keyFile: b.pub}"
	keyC      = "{keyFile: c.pub}"
	loggedA   = "{keyFile: a.pub, trustRoot: sigstore}"
	anyAcme   = `{keyless: {issuer: "https://accounts.google.com", identity: "*@acme.example"}}`
	ann       = `{keyless: {issuer: "https://accounts.google.com", identity: ann@acme.example}}`
	annOrBen  = `{keyless: {issuer: "https://accounts.google.com", identityRegExp: "(ann|ben)@acme\\.example"}}`
	annOrCat  = `{keyless: {issuer: "https://accounts.google.com", identityRegExp: "(ann|cat)@acme\\.example"}}`
	annInTwo  = ann + `, {keyless: {trustRoot: private, issuer: "https://accounts.google.com", identity: ann@acme.example}}`
	notaryRed = `{notary: {certificateFile: notary.pem, identities: ["x509.subject: C=US, ST=WA, O=acme, OU=red"]}}`
	notaryAll = `{notary: {certificateFile: notary.pem, identities: ["x509.subject: C=US, ST=WA, O=acme"]}}`
)

// Each case is asked twice: of the image's signatures, and of its attestations.
func TestWhoSigned(t *testing.T) {
	t.Parallel()
	const (
		yes, no, later, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError
		absent, wrong           = policy.ReasonAbsent, policy.ReasonWrongSigner
	)
	f := newFiles(t)
	exact := byWorkflow(`identity: "` + githubSubject + `"`)
	acme := byWorkflow(`identity: "https://github.com/acme/*"`)
	tags := byWorkflow(`identity: "https://github.com/acme/*@refs/tags/*"`)
	acmeRE := byWorkflow(`identityRegExp: "https://github\\.com/acme/.+"`)
	claimed := byWorkflow(`identity: "https://github.com/acme/*", claims: {sourceRepositoryRef: "refs/tags/*", runnerEnvironment: github-hosted}`)
	for _, tt := range []struct {
		name        string
		authorities string
		signed      []by
		after       time.Duration
		want        policy.Verdict
		reason      policy.Reason
		says        string
	}{
		// Keys.
		{"the key", threshold("1", keyA), []by{key("a")}, 0, yes, "", ""},
		{"the key, where it has to be in a log", threshold("1", loggedA), []by{key("a", "sigstore")}, 0, yes, "", ""},
		{"the key without its log", "{name: ci, anyOf: [" + loggedA + "]}, {name: other, anyOf: [" + keyA + "]}", []by{key("a")}, 0, later, absent, "no "},
		{"the key in the log of another trust root", "{name: ci, anyOf: [" + loggedA + "]}, {name: other, anyOf: [{keyFile: a.pub, trustRoot: private}]}", []by{key("a", "private")}, 0, later, absent, "no "},
		{"the key in a log, where any will do", "{name: ci, anyOf: [" + keyA + "]}, {name: other, anyOf: [" + loggedA + "]}", []by{key("a", "", "sigstore")}, 0, yes, "", ""},
		{"an identifier that only begins like the key's", threshold("1", keyA), []by{who(), func(tb testing.TB, f files, c *policy.Compiled) piece {
			tb.Helper()
			p := key("a")(tb, f, c)
			p.verifiedBy[0] += "0"
			return p
		}}, 0, later, absent, "no "},

		// Identities: issuer, subject, trust root.
		{"the identity", exact, []by{github(nil)}, 0, yes, "", ""},
		{"another issuer", exact, []by{github(issuer("https://gitlab.com"))}, 0, no, wrong, "issued by https://gitlab.com"},
		{"an issuer that goes on", exact, []by{github(issuer(githubIssuer + ".evil.example"))}, 0, no, wrong, "somebody else"},
		{"an issuer with a path", exact, []by{github(issuer(githubIssuer + "/acme"))}, 0, no, wrong, "somebody else"},
		{"an issuer in front of it", exact, []by{github(issuer("https://evil.example/" + githubIssuer))}, 0, no, wrong, "somebody else"},
		{"no issuer", exact, []by{github(issuer(""))}, 0, no, wrong, "somebody else"},
		{"another tag", exact, []by{github(subject(strings.Replace(githubSubject, "v1.2.3", "v1.2.4", 1)))}, 0, no, wrong, "v1.2.4"},
		{"another case", exact, []by{github(subject(strings.Replace(githubSubject, "acme", "Acme", 1)))}, 0, no, wrong, "somebody else"},
		{"a dot is a dot", exact, []by{github(subject(strings.Replace(githubSubject, "github.com", "githubxcom", 1)))}, 0, no, wrong, "somebody else"},
		{"no subject", exact, []by{github(subject(""))}, 0, no, wrong, "somebody else"},
		{"another trust root", exact, []by{github(func(i *policy.Identity) { i.TrustRoot = "private" })}, 0, no, wrong, "certified by private)"},
		{"no trust root", exact, []by{github(func(i *policy.Identity) { i.TrustRoot = "" })}, 0, no, wrong, "somebody else"},
		{"the private trust root that was asked for", byWorkflow(`trustRoot: private, identity: "` + githubSubject + `"`), []by{github(func(i *policy.Identity) { i.TrustRoot = "private" })}, 0, yes, "", ""},
		{"the public one where a private was asked for", byWorkflow(`trustRoot: private, identity: "` + githubSubject + `"`), []by{github(nil)}, 0, no, wrong, "somebody else"},
		{"of two trust roots", exact, []by{who(policy.Identity{TrustRoot: "private", Issuer: githubIssuer, Subject: githubSubject}, policy.Identity{TrustRoot: "sigstore", Issuer: githubIssuer, Subject: githubSubject})}, 0, yes, "", ""},
		{"an identity that was not verified", exact, []by{func(tb testing.TB, f files, c *policy.Compiled) piece {
			tb.Helper()
			p := github(nil)(tb, f, c)
			p.result, p.reason = policy.Invalid, "its time is not proven"
			return p
		}}, 0, no, policy.ReasonInvalid, "its time is not proven"},

		// Globs and regular expressions hold the whole value.
		{"a glob", acme, []by{github(nil)}, 0, yes, "", ""},
		{"a name that begins like the organisation's", acme, []by{github(subject("https://github.com/acme-evil/app/.github/workflows/release.yml@refs/tags/v1"))}, 0, no, wrong, "acme-evil"},
		{"the organisation in a path elsewhere", acme, []by{github(subject("https://evil.example/https://github.com/acme/app"))}, 0, no, wrong, "evil.example"},
		{"the organisation with a user in front", acme, []by{github(subject("https://x@github.com/acme/app"))}, 0, no, wrong, "somebody else"},
		{"the organisation alone", acme, []by{github(subject("https://github.com/acme"))}, 0, no, wrong, "somebody else"},
		{"a * may be empty", acme, []by{github(subject("https://github.com/acme/"))}, 0, yes, "", ""},
		{"a * takes slashes", tags, []by{github(nil)}, 0, yes, "", ""},
		{"a branch", tags, []by{github(subject("https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"))}, 0, no, wrong, "refs/heads/main"},
		{"a branch that is named like a tag", tags, []by{github(subject("https://github.com/acme/app/.github/workflows/evil.yml@refs/heads/x@refs/tags/v1"))}, 0, no, wrong, "refs/heads/x"},
		{"a line break in the subject", acme, []by{github(subject("https://github.com/acme/\nhttps://evil.example/"))}, 0, no, wrong, "somebody else"},
		{"a line break after the subject", exact, []by{github(subject(githubSubject + "\n"))}, 0, no, wrong, "somebody else"},
		{"a NUL in the subject", acme, []by{github(subject("https://github.com/acme/\x00"))}, 0, no, wrong, "somebody else"},
		{"no UTF-8 in the subject", acme, []by{github(subject("https://github.com/acme/\xff"))}, 0, no, wrong, "somebody else"},
		{"a subject without end", acme, []by{github(subject("https://github.com/acme/" + strings.Repeat("a", 2048)))}, 0, no, wrong, "somebody else"},
		{"a regular expression", acmeRE, []by{github(nil)}, 0, yes, "", ""},
		{"a regular expression holds the beginning", acmeRE, []by{github(subject("https://evil.example/https://github.com/acme/app"))}, 0, no, wrong, "somebody else"},
		{"a regular expression holds the end", byWorkflow(`identityRegExp: "https://github\\.com/acme/app"`), []by{github(subject("https://github.com/acme/app-evil"))}, 0, no, wrong, "somebody else"},
		{"every branch of a regular expression is held", byWorkflow(`identityRegExp: "https://github\\.com/acme/app|https://github\\.com/acme/web"`), []by{github(subject("https://evil.example/https://github.com/acme/web"))}, 0, no, wrong, "somebody else"},
		{"and by its end", byWorkflow(`identityRegExp: "https://github\\.com/acme/app|https://github\\.com/acme/web"`), []by{github(subject("https://github.com/acme/app/evil"))}, 0, no, wrong, "somebody else"},
		{"lines are not ends", byWorkflow(`identityRegExp: "(?m)^https://github\\.com/acme/app$"`), []by{github(subject("https://github.com/acme/app\nhttps://evil.example"))}, 0, no, wrong, "somebody else"},
		{"not even where a dot takes lines", byWorkflow(`identityRegExp: "(?s)https://github\\.com/acme/.+"`), []by{github(subject("https://github.com/acme/app\nhttps://evil.example"))}, 0, no, wrong, "somebody else"},
		{"an issuer by regular expression", `{name: ci, anyOf: [{keyless: {issuerRegExp: "https://token\\.actions\\..+", identity: "https://github.com/acme/*"}}]}`, []by{github(nil)}, 0, yes, "", ""},
		{"another issuer by regular expression", `{name: ci, anyOf: [{keyless: {issuerRegExp: "https://token\\.actions\\..+", identity: "https://github.com/acme/*"}}]}`, []by{github(issuer("https://evil.example/https://token.actions.x"))}, 0, no, wrong, "somebody else"},
		{"an issuer by glob", `{name: ci, anyOf: [{keyless: {issuer: "https://*.githubusercontent.com", identity: "https://github.com/acme/*"}}]}`, []by{github(nil)}, 0, yes, "", ""},
		{"an address of the domain", threshold("1", anyAcme), []by{mail("ann@acme.example")}, 0, yes, "", ""},
		{"an address of a domain below", threshold("1", anyAcme), []by{mail("ann@evil.acme.example")}, 0, no, wrong, "somebody else"},
		{"an address with the domain in its name", threshold("1", anyAcme), []by{mail(`"ann@acme.example"@evil.example`)}, 0, no, wrong, "somebody else"},
		{"an address with two domains", threshold("1", anyAcme), []by{mail("ann@evil.example@acme.example")}, 0, no, wrong, "somebody else"},

		// Claims.
		{"with the claims", claimed, []by{github(nil)}, 0, yes, "", ""},
		{"another claim", claimed, []by{github(func(i *policy.Identity) { i.Claims["sourceRepositoryRef"] = "refs/heads/main" })}, 0, no, wrong, "(issued by https://token.actions.githubusercontent.com) with sourceRepositoryRef refs/heads/main"},
		{"the other claim", claimed, []by{github(func(i *policy.Identity) { i.Claims["runnerEnvironment"] = "self-hosted" })}, 0, no, wrong, "somebody else"},
		{"a claim that goes on", claimed, []by{github(func(i *policy.Identity) { i.Claims["runnerEnvironment"] += "-not" })}, 0, no, wrong, "somebody else"},
		{"a claim is missing", claimed, []by{github(func(i *policy.Identity) { delete(i.Claims, "runnerEnvironment") })}, 0, no, wrong, "without runnerEnvironment"},
		{"no claims", claimed, []by{github(func(i *policy.Identity) { i.Claims = nil })}, 0, no, wrong, "somebody else"},
		{"claims of two certificates do not add up", claimed, []by{
			github(func(i *policy.Identity) { delete(i.Claims, "runnerEnvironment") }), github(func(i *policy.Identity) { delete(i.Claims, "sourceRepositoryRef") }),
		}, 0, no, wrong, "2 "},

		// Several authorities by name.
		{"the first of two names", "{name: ci, anyOf: [" + keyA + "]}, {name: cd, anyOf: [" + keyB + "]}", []by{key("a")}, 0, yes, "", ""},
		{"the second of two names", "{name: ci, anyOf: [" + keyC + "]}, {name: cd, anyOf: [" + keyB + "]}", []by{key("b")}, 0, yes, "", ""},
		{"neither of two names", "{name: ci, anyOf: [" + keyA + "]}, {name: cd, anyOf: [" + keyB + "]}, {name: other, anyOf: [" + keyC + "]}", []by{key("c")}, 0, later, absent, "no "},
		{"half of each of two names", threshold("2", keyA+", "+keyB) + `, {name: cd, threshold: 2, anyOf: [` + keyC + `, {keyFile: d.pub}]}`, []by{key("a"), key("c")}, 0, later, absent, "only 1 of 2 signers"},
		{"all of the second of two names", threshold("2", keyA+", "+keyB) + `, {name: cd, threshold: 2, anyOf: [` + keyC + `, {keyFile: d.pub}]}`, []by{key("a"), key("c"), key("d")}, 0, yes, "", ""},

		// Thresholds.
		{"one of three", threshold("1", keyA+", "+keyB+", "+keyC), []by{key("c")}, 0, yes, "", ""},
		{"two of three", threshold("2", keyA+", "+keyB+", "+keyC), []by{key("c"), key("a")}, 0, yes, "", ""},
		{"three of three", threshold("3", keyA+", "+keyB+", "+keyC), []by{key("c"), key("a"), key("b")}, 0, yes, "", ""},
		{"two where three are wanted", threshold("3", keyA+", "+keyB+", "+keyC), []by{key("c"), key("a")}, 0, later, absent, "only 2 of 3 signers"},
		{"one twice", threshold("2", keyA+", "+keyB), []by{key("a"), key("a")}, 0, later, absent, "only 1 of 2 signers (the key "},
		{"one twice, at the deadline", threshold("2", keyA+", "+keyB), []by{key("a"), key("a")}, wait, no, absent, "within 1h"},
		{"one key that two authorities name", threshold("2", keyA+", "+loggedA), []by{key("a", "", "sigstore")}, wait, no, absent, "only 1 of 2 signers"},
		{"one key with its log and once without", threshold("2", keyA+", "+loggedA), []by{key("a"), key("a", "", "sigstore")}, wait, no, absent, "only 1 of 2 signers"},
		{"one identity that is two authorities", threshold("2", anyAcme+", "+ann), []by{mail("ann@acme.example")}, 0, later, absent, "only 1 of 2 signers"},
		{"one identity that is two authorities, twice", threshold("2", anyAcme+", "+ann), []by{mail("ann@acme.example"), mail("ann@acme.example")}, 0, later, absent, "only 1 of 2 signers"},
		{"one certificate of two trust roots", threshold("2", annInTwo), []by{who(
			policy.Identity{TrustRoot: "private", Issuer: "https://accounts.google.com", Subject: "ann@acme.example"},
			policy.Identity{TrustRoot: "sigstore", Issuer: "https://accounts.google.com", Subject: "ann@acme.example"},
		)}, 0, later, absent, "only 1 of 2 signers"},
		{"one person with a certificate of each trust root", threshold("2", annInTwo), []by{
			mail("ann@acme.example"), who(policy.Identity{TrustRoot: "private", Issuer: "https://accounts.google.com", Subject: "ann@acme.example"}),
		}, 0, later, absent, "only 1 of 2 signers"},
		{"one signature by a key and with a certificate", threshold("2", keyA+", "+ann), []by{func(tb testing.TB, f files, c *policy.Compiled) piece {
			tb.Helper()
			p := key("a")(tb, f, c)
			p.identities = mail("ann@acme.example")(tb, f, c).identities
			return p
		}}, 0, later, absent, "only 1 of 2 signers"},
		{"two identities that are one authority", threshold("2", anyAcme+", "+keyA), []by{mail("ann@acme.example"), mail("ben@acme.example")}, 0, later, absent, "only 1 of 2 signers"},
		{"two identities, one of them two authorities", threshold("2", anyAcme+", "+ann), []by{mail("ann@acme.example"), mail("ben@acme.example")}, 0, yes, "", ""},
		{"and in the other order", threshold("2", anyAcme+", "+ann), []by{mail("ben@acme.example"), mail("ann@acme.example")}, 0, yes, "", ""},
		{"three who have to move over", threshold("3", annOrBen+", "+annOrCat+", "+ann), []by{mail("ann@acme.example"), mail("ben@acme.example"), mail("cat@acme.example")}, 0, yes, "", ""},
		{"three who have to move over, one is missing", threshold("3", annOrBen+", "+annOrCat+", "+ann), []by{mail("ben@acme.example"), mail("cat@acme.example")}, 0, later, absent, "only 2 of 3 signers"},
		{"a key and an identity", threshold("2", keyA+", "+ann), []by{key("a"), mail("ann@acme.example")}, 0, yes, "", ""},
		{"one of two, and a stranger", threshold("2", keyA+", "+keyB), []by{key("a"), fails(policy.UnknownSigner, "")}, 0, later, absent, "only 1 of 2 signers"},
		{"one of two, and a stranger, at the deadline", threshold("2", keyA+", "+keyB), []by{key("a"), fails(policy.UnknownSigner, "")}, wait, no, absent, "only 1 of 2 signers"},
		{"one of two, and an invalid one", threshold("2", keyA+", "+keyB), []by{key("a"), fails(policy.Invalid, "x")}, 0, later, absent, "only 1 of 2 signers"},
		{"two of two, and a stranger", threshold("2", keyA+", "+keyB), []by{fails(policy.UnknownSigner, ""), key("a"), fails(policy.Malformed, ""), key("b")}, 0, yes, "", ""},

		// Five answers.
		{"nothing yet", exact, nil, 0, later, absent, "no "},
		{"nothing, at the deadline", exact, nil, wait, no, absent, "arrived within 1h"},
		{"somebody else", exact, []by{fails(policy.UnknownSigner, "")}, 0, no, wrong, "by somebody else"},
		{"somebody else with a certificate", exact, []by{mail("eve@evil.example")}, 0, no, wrong, "somebody else: eve@evil.example (issued by https://accounts.google.com)"},
		{"five others with certificates", exact, []by{mail("e@x.example"), mail("d@x.example"), mail("c@x.example"), mail("b@x.example"), mail("a@x.example")}, 0, no, wrong, "b@x.example (issued by https://accounts.google.com), c@x.example (issued by https://accounts.google.com) and 2 more"},
		{"invalid", exact, []by{fails(policy.Invalid, "it is about another image")}, 0, no, policy.ReasonInvalid, "it is about another image"},
		{"malformed", exact, []by{fails(policy.Malformed, "no JSON")}, 0, no, policy.ReasonMalformed, "no JSON"},
		{"invalid before malformed, with its own reason", exact, []by{fails(policy.Malformed, "a brace is missing"), fails(policy.Invalid, "it is about another image")}, 0, no, policy.ReasonInvalid, "it is about another image"},
		{"a stranger before invalid", exact, []by{fails(policy.Invalid, "x"), fails(policy.UnknownSigner, "")}, 0, no, wrong, "somebody else"},
		{"another authority of this policy", exact + ", {name: other, anyOf: [" + keyA + "]}", []by{key("a")}, 0, later, absent, "no "},
		{"an identity that is another authority of this policy", exact + ", {name: other, anyOf: [" + ann + "]}", []by{mail("ann@acme.example")}, 0, later, absent, "no "},
		{"the right one among all others", exact, []by{fails(policy.Malformed, "x"), fails(policy.Invalid, "x"), fails(policy.UnknownSigner, ""), mail("eve@evil.example"), github(nil)}, 0, yes, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			signedBy := "[ci]"
			if strings.Contains(tt.authorities, "{name: cd,") {
				signedBy = "[ci, cd]"
			}
			named := "authorities: [" + tt.authorities + "]\n"
			for _, kind := range []struct {
				rule         string
				attestations bool
				check        policy.Check
			}{
				{"signatures: [{name: rule, signedBy: " + signedBy + "}]", false, policy.CheckSignatures},
				{`attestations: [{name: rule, predicateType: "` + testResult + `", signedBy: ` + signedBy + "}]", true, policy.CheckAttestations},
			} {
				c := f.compile(t, named+kind.rule)
				ev := evidence(t, f, c, kind.attestations, tt.signed...)
				expect(t, policy.Evaluate(c, ev, received().Add(tt.after)), tt.want, kind.check, tt.reason, tt.says)

				// Where nobody knows what else there is, only enough signers decide.
				problem(policy.PartSignatures, "")(keys{}, ev)
				want, reason, says := unknown, policy.ReasonUnavailable, "503"
				if tt.want == yes {
					want, reason, says = yes, "", ""
				}
				expect(t, policy.Evaluate(c, ev, received().Add(tt.after)), want, kind.check, reason, says)
			}
		})
	}
}

// expect compares a result with a verdict and, unless it is a yes, with its
// only finding.
func expect(t *testing.T, got policy.Result, verdict policy.Verdict, check policy.Check, reason policy.Reason, says string) {
	t.Helper()
	if got.Verdict != verdict {
		t.Fatalf("%s %s, want %s: %+v", check, got.Verdict, verdict, got.Findings)
	}
	if verdict == policy.VerdictPromoted {
		if len(got.Findings) > 0 {
			t.Errorf("a yes with %+v", got.Findings)
		}
		return
	}
	if len(got.Findings) != 1 {
		t.Fatalf("%d findings: %+v", len(got.Findings), got.Findings)
	}
	f := got.Findings[0]
	if f.Check != check || f.Reason != reason || !strings.Contains(f.Found, says) || f.Expected == "" || f.Remedy == "" {
		t.Errorf("%+v\nwant %s, %s, %q", f, check, reason, says)
	}
}

// first is what the first finding says was found.
func first(r policy.Result) string {
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Findings[0].Found
}

// The Notary Project signs images, and no attestations.
func TestWhoSignedForTheNotaryProject(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for _, tt := range []struct {
		name        string
		authorities string
		signed      []by
		want        policy.Verdict
		says        string
	}{
		{"the subject", threshold("1", notaryAll), []by{notary("O=acme")}, policy.VerdictPromoted, ""},
		{"another subject", threshold("1", notaryRed) + ", {name: other, anyOf: [" + notaryAll + "]}", []by{notary("O=acme")}, policy.VerdictPending, "no signature yet"},
		{"a stranger", threshold("1", notaryRed), []by{fails(policy.UnknownSigner, "")}, policy.VerdictRejected, "somebody else"},
		{"one certificate that is two authorities", threshold("2", notaryAll+", "+notaryRed), []by{notary("O=acme", "OU=red")}, policy.VerdictPending, "only 1 of 2"},
		{"one certificate that is two authorities, twice", threshold("2", notaryAll+", "+notaryRed), []by{notary("O=acme", "OU=red"), notary("OU=red", "O=acme")}, policy.VerdictPending, "only 1 of 2"},
		{"two certificates, one of them two authorities", threshold("2", notaryAll+", "+notaryRed), []by{with("sha256:1", notary("O=acme", "OU=red")), with("sha256:2", notary("O=acme"))}, policy.VerdictPromoted, ""},
		{"one certificate, which is two authorities with a timestamp", threshold("2", notaryAll+", "+notaryRed), []by{with("sha256:1", notary("O=acme", "OU=red")), with("sha256:1", notary("O=acme"))}, policy.VerdictPending, "only 1 of 2"},
		{"one certificate, which is another authority with a timestamp", threshold("2", notaryAll+", "+notaryRed), []by{with("sha256:1", notary("OU=red")), with("sha256:1", notary("O=acme"))}, policy.VerdictPending, "only 1 of 2"},
		{"certificates of which nobody knows which they are", threshold("2", notaryAll+", "+notaryRed), []by{notary("OU=red"), notary("O=acme")}, policy.VerdictPending, "only 1 of 2"},
		{"a key, by itself and in a certificate", threshold("2", notaryAll+", "+keyA), []by{withKey("a", notary("O=acme")), key("a")}, policy.VerdictPending, "only 1 of 2"},
		{"a key, and another in a certificate", threshold("2", notaryAll+", "+keyA), []by{withKey("b", notary("O=acme")), key("a")}, policy.VerdictPromoted, ""},
		{"a certificate and a key", threshold("2", notaryAll+", "+keyA), []by{notary("O=acme"), key("a")}, policy.VerdictPromoted, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := f.compile(t, "authorities: ["+tt.authorities+"]\nsignatures: [{name: rule, signedBy: [ci]}]")
			got := policy.Evaluate(c, evidence(t, f, c, false, tt.signed...), received())
			if got.Verdict != tt.want || !strings.Contains(first(got), tt.says) {
				t.Errorf("%s: %+v; want %s, %q", got.Verdict, got.Findings, tt.want, tt.says)
			}
		})
	}
}

// Each of several signers has to say what the rule asks for.
func TestWhatSignersAttest(t *testing.T) {
	t.Parallel()
	const yes, no, later = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending
	const passed, failed = `{"result":"PASSED"}`, `{"result":"FAILED"}`
	f := newFiles(t)
	for _, tt := range []struct {
		name       string
		expression string
		threshold  string
		signed     []by
		after      time.Duration
		want       policy.Verdict
		says       string
	}{
		{"both say so", `predicate.result == "PASSED"`, "2", []by{saying(key("a"), passed), saying(key("b"), passed)}, 0, yes, ""},
		{"one says so", `predicate.result == "PASSED"`, "2", []by{saying(key("a"), passed)}, 0, later, "only 1 of 2"},
		{"one says so, at the deadline", `predicate.result == "PASSED"`, "2", []by{saying(key("a"), passed)}, wait, no, "only 1 of 2"},
		{"one says so, one does not", `predicate.result == "PASSED"`, "2", []by{saying(key("a"), passed), saying(key("b"), failed)}, 0, no, "does not hold"},
		{"one does not, then does", `predicate.result == "PASSED"`, "2", []by{saying(key("b"), failed), saying(key("a"), passed), saying(key("b"), passed)}, 0, yes, ""},
		{"a third is wrong", `predicate.result == "PASSED"`, "2", []by{saying(key("c"), failed), saying(key("a"), passed), saying(key("b"), passed)}, 0, yes, ""},
		{"a stranger says so", `predicate.result == "PASSED"`, "1", []by{saying(mail("eve@evil.example"), passed)}, 0, no, "somebody else"},
		{"a stranger says so and the signer does not", `predicate.result == "PASSED"`, "1", []by{saying(mail("eve@evil.example"), passed), saying(key("a"), failed)}, 0, no, "does not hold"},
		{"half of what is asked by each", `predicate.a && predicate.b`, "1", []by{saying(key("a"), `{"a":true,"b":false}`), saying(key("b"), `{"a":false,"b":true}`)}, 0, no, "does not hold"},

		{"young enough", `timestamp(predicate.at) > now - duration("24h")`, "1", []by{saying(key("a"), `{"at":"2026-11-19T08:00:01Z"}`)}, 0, yes, ""},
		{"a second older", `timestamp(predicate.at) > now - duration("24h")`, "1", []by{saying(key("a"), `{"at":"2026-11-19T08:00:01Z"}`)}, time.Second, no, "does not hold"},
		{"no time", `timestamp(predicate.at) > now - duration("24h")`, "1", []by{saying(key("a"), `{"at":"yesterday"}`)}, 0, no, "no answer"},
		{"about this subject", `predicate.digest == subject.digest && subject.repository == "team-a/app"`, "1", []by{saying(key("a"), `{"digest":"sha256:`+strings.Repeat("ab", 32)+`"}`)}, 0, yes, ""},
		{"about another subject", `predicate.digest == subject.digest`, "1", []by{saying(key("a"), `{"digest":"sha256:`+strings.Repeat("cd", 32)+`"}`)}, 0, no, "does not hold"},
		{"about this push", `predicate.tag == push.tag && timestamp(push.receivedAt) <= now`, "1", []by{saying(key("a"), `{"tag":"v1.2.3"}`)}, 0, yes, ""},
		{"a field that may be missing", `!has(predicate.failed) || predicate.failed == 0`, "1", []by{saying(key("a"), `{}`)}, 0, yes, ""},
		{"a field that may be missing, with a default", `predicate.?summary.?failed.orValue(0) == 0`, "1", []by{saying(key("a"), `{"summary":{"failed":1}}`)}, 0, no, "does not hold"},
		{"a number is a number", `predicate.n == 3 && predicate.n < 3.5`, "1", []by{saying(key("a"), `{"n":3}`)}, 0, yes, ""},
		{"what yields no yes is none", `predicate.result`, "1", []by{saying(key("a"), passed)}, 0, no, "not true or false"},
		{"an expression that never ends", `predicate.l.all(a, predicate.l.all(b, predicate.l.all(c, predicate.l.all(d, true))))`, "1", []by{saying(key("a"), `{"l":[`+strings.Repeat("1,", 99)+`1]}`)}, 0, no, "no answer"},
		{"nothing", `predicate.x == 1`, "1", []by{saying(key("a"), `null`)}, 0, no, "no answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := f.compile(t, "authorities: [{name: ci, threshold: "+tt.threshold+", anyOf: ["+keyA+", "+keyB+", "+keyC+"]}]\n"+
				`attestations: [{name: rule, predicateType: "`+testResult+`", signedBy: [ci], expression: '`+tt.expression+"'}]")
			got := policy.Evaluate(c, evidence(t, f, c, true, tt.signed...), received().Add(tt.after))
			if got.Verdict != tt.want || !strings.Contains(first(got), tt.says) {
				t.Errorf("%s: %+v; want %s, %q", got.Verdict, got.Findings, tt.want, tt.says)
			}
		})
	}
}

// Rules see as verified only what one of the policy's authorities stands
// behind, and yield no answer when nobody knows what there is.
func TestWhatRulesSeeOfSigners(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	f := newFiles(t)
	verified := `attestations.exists(a, a.result == "verified" && a.predicateType == "` + testResult + `")`
	ofType := `attestations.exists(a, a.predicateType == "` + testResult + `")`
	for _, tt := range []struct {
		name       string
		expression string
		signed     []by
		trouble    bool
		want       policy.Verdict
	}{
		{"an authority's", verified, []by{key("a")}, false, yes},
		{"a stranger's", verified, []by{mail("eve@evil.example")}, false, no},
		{"another policy's", verified, []by{func(testing.TB, files, *policy.Compiled) piece {
			return piece{result: policy.Verified, verifiedBy: []string{"sha256:other"}}
		}}, false, no},
		{"the type of an authority's", ofType, []by{key("a")}, false, yes},
		{"the type of a stranger's", ofType, []by{mail("eve@evil.example")}, false, no},
		{"the type of an unknown signer's", ofType, []by{fails(policy.UnknownSigner, "")}, false, no},
		{"the type of an invalid one", ofType, []by{fails(policy.Invalid, "")}, false, no},
		{"what a stranger says", `attestations.exists(a, a.predicate.x == 1)`, []by{saying(mail("eve@evil.example"), `{"x":1}`)}, false, no},
		{"who it is by name", `attestations.exists(a, "ci" in a.signedBy)`, []by{key("a")}, false, yes},
		{"who it is by identity", `attestations.exists(a, a.signedBy.size() == 1 && a.identities.exists(i, i.subject == "ann@acme.example" && i.claims.size() == 0))`, []by{key("a"), mail("ann@acme.example")}, false, yes},
		{"lists are there when they are empty", `attestations.all(a, a.identities.size() == 0 && a.verifiedBy.size() == 1)`, []by{key("a")}, false, yes},
		{"somebody when nobody knows", verified, nil, true, unknown},
		{"nobody when nobody knows", `attestations.size() == 0 && signatures.size() == 0`, nil, true, unknown},
		{"no signature when nobody knows", `signatures.all(s, s.result != "unknown_signer")`, nil, true, unknown},
		{"something else when nobody knows", `image.config.user != "root"`, nil, true, yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := f.compile(t, "authorities: [{name: ci, anyOf: ["+keyA+", "+ann+"]}]\nrules: [{name: rule, expression: '"+tt.expression+"'}]")
			ev := evidence(t, f, c, true, tt.signed...)
			if tt.trouble {
				problem(policy.PartSignatures, "")(keys{}, ev)
			}
			if got := policy.Evaluate(c, ev, received()); got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
		})
	}
}

// A remedy is a command that can be pasted: for whom is missing, quoted where a
// shell would read more into it.
func TestWhatToDoAboutSigners(t *testing.T) {
	t.Parallel()
	const image = "REGISTRY/team-a/app@sha256:abababababababababababababababababababababababababababababababab"
	const uri = "https://acme.example/a?b=1&c='d'"
	f := newFiles(t)
	for name, tt := range map[string]struct {
		authorities, rule string
		signed            []by
		want              string
	}{
		"a key":                        {threshold("1", keyA), "", nil, `sign the digest as "ci": cosign sign --key KEY ` + image},
		"an identity":                  {threshold("1", ann), "", nil, `sign the digest as "ci": cosign sign ` + image},
		"the Notary Project":           {threshold("1", notaryAll), "", nil, `sign the digest as "ci": notation sign ` + image},
		"a key among others":           {threshold("1", notaryAll+", "+ann+", "+keyA), "", nil, `sign the digest as "ci": cosign sign --key KEY ` + image},
		"an identity after a key":      {threshold("2", ann+", "+keyA), "", []by{key("a")}, `have another of the signers sign the digest as "ci": cosign sign ` + image},
		"a key after an identity":      {threshold("2", ann+", "+keyA), "", []by{mail("ann@acme.example")}, `have another of the signers sign the digest as "ci": cosign sign --key KEY ` + image},
		"the Notary Project after all": {threshold("3", ann+", "+keyA+", "+notaryAll), "", []by{mail("ann@acme.example"), key("a")}, `have another of the signers sign the digest as "ci": notation sign ` + image},
		"an attestation": {
			threshold("1", keyA+", "+notaryAll), `attestations: [{name: rule, predicateType: "` + uri + `", signedBy: [ci]}]`, nil,
			`attest it as "ci": cosign attest --key KEY --type 'https://acme.example/a?b=1&c='\''d'\''' --predicate FILE ` + image,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := f.compile(t, "authorities: ["+tt.authorities+"]\n"+cmp.Or(tt.rule, "signatures: [{name: rule, signedBy: [ci]}]"))
			got := policy.Evaluate(c, evidence(t, f, c, false, tt.signed...), received()).Findings
			if len(got) != 1 || got[0].Remedy != tt.want {
				t.Errorf("%+v\nwant %s", got, tt.want)
			}
		})
	}
}

// An image that could not be read is refused by nobody.
func TestAnImageThatCouldNotBeReadIsNoRefusal(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, signed)
	ev := k.good()
	problem(policy.PartImage, "linux/amd64")(k, ev)
	if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictError {
		t.Errorf("one platform: %s: %+v", got.Verdict, got.Findings)
	}
	ev.Image.Platforms = nil
	if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictError {
		t.Errorf("no platform: %s: %+v", got.Verdict, got.Findings)
	}
}

// A key has one name for people, by which they can tell that it is theirs.
func TestAKeyInALogIsCalledByItsOwnName(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	c := f.compile(t, "signatures: [{name: ci, anyOf: ["+loggedA+"]}]")
	a, err := policy.NewAuthority(f["a.pub"])
	if err != nil {
		t.Fatal(err)
	}
	a.Name = "a.pub"
	if got, want := c.Authorities()[0].String(), a.String()+", in the log of sigstore"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
