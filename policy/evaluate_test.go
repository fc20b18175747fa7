package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// received is when every push in these tests arrives; policies wait an hour.
func received() time.Time { return time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC) }

const (
	wait   = time.Hour
	dayAge = 24 * time.Hour
)

// keys are two public keys: ci, which the policies name, and other.
type keys struct{ ci, other policy.Authority }

func newKeys(tb testing.TB) keys {
	tb.Helper()
	one := func() policy.Authority {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		if err != nil {
			tb.Fatal(err)
		}
		a, err := policy.NewAuthority(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if err != nil {
			tb.Fatal(err)
		}
		return a
	}
	return keys{one(), one()}
}

// compile makes a policy of the given rules.
func (k keys) compile(tb testing.TB, rules string) *policy.Compiled {
	tb.Helper()
	text := `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: test}
spec:
  from: staging
  match: {repositories: ["**"]}
` + indent(rules)
	if !strings.Contains(rules, "wait:") {
		text += "  wait: 1h\n"
	}
	if !strings.Contains(rules, "promote:") {
		text += `  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}` + "\n"
	}
	parsed, err := policyfile.Parse("test.yaml", []byte(text), func(name string) ([]byte, error) {
		switch name {
		case "ci.pub":
			return k.ci.PublicKey, nil
		case "other.pub":
			return k.other.PublicKey, nil
		}
		return nil, fmt.Errorf("no file %s", name)
	})
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return parsed[0].Compiled
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		b.WriteString("  " + line)
	}
	return b.String()
}

// good is evidence that every rule in these tests is content with.
func (k keys) good() *policy.Evidence {
	created := received().Add(-2 * dayAge)
	end := time.Date(2028, 7, 1, 0, 0, 0, 0, time.UTC)
	return &policy.Evidence{
		Subject:    policy.Subject{Registry: "staging", Repository: "team-a/app", Digest: "sha256:" + strings.Repeat("ab", 32)},
		Push:       policy.Push{Tag: "v1.2.3", Actor: "dev", ReceivedAt: received()},
		Signatures: []policy.Signature{{Form: "tag", Result: policy.Verified, VerifiedBy: []string{k.ci.ID}}},
		Attestations: []policy.Attestation{{
			Form: "bundle", Result: policy.Verified, VerifiedBy: []string{k.ci.ID}, PredicateType: testResult, Predicate: json.RawMessage(`{"result":"PASSED"}`),
		}},
		Image: policy.Image{Platforms: []policy.Platform{{
			Name: "linux/amd64", OS: "linux", Architecture: "amd64", Created: &created, Labels: map[string]string{"team": "a"},
			Config: policy.Config{User: "65532"},
			Scan: &policy.Scan{
				Database: &policy.Database{Built: received().Add(-time.Hour), Checksum: "xxh64:1"},
				OS:       &policy.OperatingSystem{ID: "debian", Version: "12", EndOfLife: &end},
				Packages: []policy.Package{
					{Type: "deb", Name: "openssl", Version: "3.0.17-1~deb12u3"}, {Type: "npm", Name: "lodash", Version: "4.17.21"},
				},
				Vulnerabilities: []policy.Vulnerability{},
			},
		}}},
	}
}

const testResult = "https://in-toto.io/attestation/test-result/v0.1"

// The rules that the tables use.
const (
	signed   = "signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\n"
	attested = signed + `attestations: [{name: tests, predicateType: "` + testResult + `", signedBy: [ci], expression: 'predicate.result == "PASSED"'}]` + "\n"
	critical = "vulnerabilities: {deny: [{severity: critical, fixed: true}]}\n"
	systems  = `patchLevel: {operatingSystems: {endOfLife: deny, allow: ["debian >= 12", "alpine >= 3.20"]}}` + "\n"
	noEnd    = "patchLevel: {operatingSystems: {endOfLife: deny}}\n"
	young    = "patchLevel: {maxAge: 30d}\n"
	openssl  = "patchLevel: {packages: [{type: deb, name: openssl, minimum: 3.0.17-1~deb12u3}]}\n"
	labelled = `patchLevel: {labels: {team: "[a-z]+"}}` + "\n"
	nonRoot  = `rules: [{name: non-root, expression: 'image.config.user != "" && image.config.user != "root"', message: "run as a non-root user"}]` + "\n"
)

const (
	deadline = "vulnerabilities: {deny: [{severity: high, fixed: true, after: 14d}]}\n"
	likely   = "vulnerabilities: {deny: [{epss: 0.1}]}\n"
)

// counts is a policy with one threshold.
func counts(threshold string) string { return "vulnerabilities: {counts: [" + threshold + "]}\n" }

// several adds vulnerabilities of a severity.
func several(severity policy.Severity, n int) edit {
	return func(k keys, ev *policy.Evidence) {
		for i := range n {
			cve(func(v *policy.Vulnerability) { v.ID, v.Severity = fmt.Sprintf("CVE-%d", i), severity })(k, ev)
		}
	}
}

// fixedAt adds a critical vulnerability whose fix is that old; 0: nobody knows.
func fixedAt(age time.Duration) edit {
	return cve(func(v *policy.Vulnerability) {
		if age != 0 {
			v.FixedAt = ago(age)
		}
	})
}

func excepted(more string) string {
	return "vulnerabilities: {deny: [{severity: critical, fixed: true}], exceptions: [{id: CVE-1, expires: 2026-12-31, owner: sec@acme.example, reason: SEC-12" + more + "}]}\n"
}

// edit changes the good evidence.
type edit func(k keys, ev *policy.Evidence)

func platform(ev *policy.Evidence) *policy.Platform { return &ev.Image.Platforms[0] }

func noSignature(_ keys, ev *policy.Evidence) { ev.Signatures = nil }

func signatureIs(result policy.Verification, reason string) edit {
	return func(_ keys, ev *policy.Evidence) {
		ev.Signatures = []policy.Signature{{Form: "tag", Result: result, Reason: reason}}
	}
}

func attestationIs(change func(a *policy.Attestation, k keys)) edit {
	return func(k keys, ev *policy.Evidence) {
		if len(ev.Attestations) > 0 {
			change(&ev.Attestations[0], k)
		}
	}
}

func problem(part policy.Part, platform string) edit {
	return func(_ keys, ev *policy.Evidence) {
		ev.Problems = append(ev.Problems, policy.Problem{Part: part, Platform: platform, Reason: "the registry answers 503"})
	}
}

func scanIs(change func(s *policy.Scan)) edit {
	return func(_ keys, ev *policy.Evidence) { change(platform(ev).Scan) }
}

func cve(change func(v *policy.Vulnerability)) edit {
	return scanIs(func(s *policy.Scan) {
		v := policy.Vulnerability{ID: "CVE-1", Severity: policy.SeverityCritical, Package: "openssl", Version: "3.0.1", Type: "deb", FixState: "fixed", FixedIn: []string{"3.0.17"}}
		if change != nil {
			change(&v)
		}
		s.Vulnerabilities = append(s.Vulnerabilities, v)
	})
}

func systemIs(id, version string, end time.Time) edit {
	return scanIs(func(s *policy.Scan) {
		s.OS = &policy.OperatingSystem{ID: id, Version: version}
		if !end.IsZero() {
			s.OS.EndOfLife = &end
		}
	})
}

func createdAt(at *time.Time) edit {
	return func(_ keys, ev *policy.Evidence) { platform(ev).Created = at }
}

func ago(d time.Duration) *time.Time {
	t := received().Add(-d)
	return &t
}

func noScan(_ keys, ev *policy.Evidence) { platform(ev).Scan = nil }

// secondPlatform adds a platform that differs.
func secondPlatform(change func(p *policy.Platform)) edit {
	return func(_ keys, ev *policy.Evidence) {
		second := *platform(ev)
		scan := *second.Scan
		second.Name, second.Architecture, second.Scan = "linux/arm64", "arm64", &scan
		change(&second)
		ev.Image.Platforms = append(ev.Image.Platforms, second)
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	const (
		yes, no, later, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError
	)
	k := newKeys(t)
	for _, tt := range []struct {
		name  string
		rules string
		edit  edit
		after time.Duration // since the push
		want  policy.Verdict
		check policy.Check // of the first finding
		says  string       // in the first finding
	}{
		{"signed by the key", signed, nil, 0, yes, "", ""},
		{"signed by one of two keys", "signatures: [{name: ci, anyOf: [{keyFile: other.pub}, {keyFile: ci.pub}]}]\n", nil, 0, yes, "", ""},
		{"two signatures wanted, one there", "signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}, {name: release, anyOf: [{keyFile: other.pub}]}]\n", nil, 0, later, policy.CheckSignatures, "no signature yet"},
		{"no signature yet", signed, noSignature, 0, later, policy.CheckSignatures, "no signature yet"},
		{"no signature a second before the deadline", signed, noSignature, wait - time.Second, later, policy.CheckSignatures, "no signature"},
		{"no signature at the deadline", signed, noSignature, wait, no, policy.CheckSignatures, "no signature arrived within 1h"},
		{"no signature long after", signed, noSignature, 48 * wait, no, policy.CheckSignatures, "no signature"},
		{"signed by a stranger", signed, signatureIs(policy.UnknownSigner, ""), 0, no, policy.CheckSignatures, "by somebody else"},
		{"an invalid signature", signed, signatureIs(policy.Invalid, "another image's"), 0, no, policy.CheckSignatures, "another image's"},
		{"a malformed signature", signed, signatureIs(policy.Malformed, "no JSON"), 0, no, policy.CheckSignatures, "no JSON"},
		{"signed by a key of another policy only", signed, func(k keys, ev *policy.Evidence) { ev.Signatures[0].VerifiedBy = []string{k.other.ID} }, 0, later, policy.CheckSignatures, "no signature"},
		{"verified by nobody", signed, func(_ keys, ev *policy.Evidence) { ev.Signatures[0].VerifiedBy = nil }, 0, later, policy.CheckSignatures, ""},
		{"signatures cannot be read", signed, func(k keys, ev *policy.Evidence) {
			noSignature(k, ev)
			problem(policy.PartSignatures, "")(k, ev)
		}, 48 * wait, unknown, policy.CheckSignatures, "503"},
		{"a good signature beside trouble", signed, problem(policy.PartSignatures, ""), 0, yes, "", ""},
		{"an attestation is no signature", signed, noSignature, wait, no, policy.CheckSignatures, ""},

		{"attested", attested, nil, 0, yes, "", ""},
		{"no attestation yet", attested, func(_ keys, ev *policy.Evidence) { ev.Attestations = nil }, 0, later, policy.CheckAttestations, "no attestation of type " + testResult},
		{"no attestation at the deadline", attested, func(_ keys, ev *policy.Evidence) { ev.Attestations = nil }, wait, no, policy.CheckAttestations, "arrived within"},
		{"another type only", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.PredicateType = "https://slsa.dev/provenance/v1" }), 0, later, policy.CheckAttestations, "no attestation"},
		{"a type that only begins alike", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.PredicateType += ".1" }), 0, later, policy.CheckAttestations, ""},
		{"attested by a stranger", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.Result, a.VerifiedBy = policy.UnknownSigner, nil }), 0, no, policy.CheckAttestations, "somebody else"},
		{"attested by a key that is not asked for", attested, attestationIs(func(a *policy.Attestation, k keys) { a.VerifiedBy = []string{k.other.ID} }), 0, later, policy.CheckAttestations, ""},
		{"tests failed", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`{"result":"FAILED"}`) }), 0, no, policy.CheckAttestations, "does not hold"},
		{"the predicate lacks the field", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`{}`) }), 0, no, policy.CheckAttestations, "no answer"},
		{"the predicate is of another shape", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`[1]`) }), 0, no, policy.CheckAttestations, "no answer"},
		{"the predicate is no JSON", attested, attestationIs(func(a *policy.Attestation, _ keys) { a.Predicate = json.RawMessage(`{`) }), 0, no, policy.CheckAttestations, "not JSON"},
		{"failed first, passed later", attested, func(_ keys, ev *policy.Evidence) {
			failed := ev.Attestations[0]
			failed.Predicate = json.RawMessage(`{"result":"FAILED"}`)
			ev.Attestations = append([]policy.Attestation{failed}, ev.Attestations...)
		}, 0, yes, "", ""},
		{"malformed attestation without a type", attested, attestationIs(func(a *policy.Attestation, _ keys) {
			*a = policy.Attestation{Result: policy.Malformed, Reason: "no envelope"}
		}), 0, no, policy.CheckAttestations, "no envelope"},

		{"no vulnerability", critical, nil, 0, yes, "", ""},
		{"a critical one with a fix", critical, cve(nil), 0, no, policy.CheckVulnerabilities, "CVE-1 (critical) in openssl 3.0.1"},
		{"a critical one without a fix", critical, cve(func(v *policy.Vulnerability) { v.FixState, v.FixedIn = "wont-fix", nil }), 0, yes, "", ""},
		{"a high one with a fix", critical, cve(func(v *policy.Vulnerability) { v.Severity = policy.SeverityHigh }), 0, yes, "", ""},
		{"severity is at or above", "vulnerabilities: {deny: [{severity: medium}]}\n", cve(func(v *policy.Vulnerability) { v.Severity = policy.SeverityHigh }), 0, no, policy.CheckVulnerabilities, ""},
		{"an unknown severity is below all", "vulnerabilities: {deny: [{severity: negligible}]}\n", cve(func(v *policy.Vulnerability) { v.Severity = policy.SeverityUnknown }), 0, yes, "", ""},
		{"unknown severities can be denied", "vulnerabilities: {deny: [{severity: unknown}]}\n", cve(func(v *policy.Vulnerability) { v.Severity = "invented" }), 0, no, policy.CheckVulnerabilities, ""},
		{"without a fix can be denied", "vulnerabilities: {deny: [{severity: low, fixed: false}]}\n", cve(func(v *policy.Vulnerability) { v.FixState = "not-fixed" }), 0, no, policy.CheckVulnerabilities, ""},
		{"known exploited", "vulnerabilities: {deny: [{knownExploited: true}]}\n", cve(func(v *policy.Vulnerability) { v.Severity, v.KnownExploited = policy.SeverityLow, true }), 0, no, policy.CheckVulnerabilities, ""},
		{"not known exploited", "vulnerabilities: {deny: [{knownExploited: true}]}\n", cve(nil), 0, yes, "", ""},
		{"a second before the deadline", deadline, fixedAt(14*dayAge - time.Second), 0, yes, policy.CheckVulnerabilities, "will be refused from 2026-11-20 08:00:01 on"},
		{"at the deadline", deadline, fixedAt(14 * dayAge), 0, no, policy.CheckVulnerabilities, "a fix since 2026-11-06"},
		{"a second after the deadline", deadline, fixedAt(14*dayAge + time.Second), 0, no, policy.CheckVulnerabilities, "a fix since"},
		{"the deadline passes", deadline, fixedAt(14*dayAge - time.Second), time.Second, no, policy.CheckVulnerabilities, "a fix since"},
		{"nobody knows since when", deadline, fixedAt(0), 0, no, policy.CheckVulnerabilities, "nobody knows since when"},
		{"a fix of tomorrow", deadline, fixedAt(-dayAge + time.Second), 0, yes, policy.CheckVulnerabilities, "will be refused from"},
		{"a fix from the future", deadline, fixedAt(-dayAge), 0, no, policy.CheckVulnerabilities, "nobody knows since when"},
		{"no fix has no deadline", deadline, cve(func(v *policy.Vulnerability) { v.FixState, v.FixedIn = "not-fixed", nil }), 0, yes, "", ""},
		{"a stricter rule beside a deadline", "vulnerabilities: {deny: [{severity: high, fixed: true, after: 14d}, {severity: critical}]}\n", fixedAt(dayAge), 0, no, policy.CheckVulnerabilities, "CVE-1"},
		{"the first of two deadlines", "vulnerabilities: {deny: [{severity: high, fixed: true, after: 14d}, {severity: critical, fixed: true, after: 7d}]}\n", fixedAt(6 * dayAge), 0, yes, policy.CheckVulnerabilities, "from 2026-11-21 08:00:00 on"},
		{"an exception and a deadline", strings.Replace(excepted(""), "fixed: true", "fixed: true, after: 14d", 1), fixedAt(dayAge), 0, yes, policy.CheckVulnerabilities, "excused by"},
		{"likely to be exploited", likely, cve(func(v *policy.Vulnerability) { v.EPSS = 0.1 }), 0, no, policy.CheckVulnerabilities, ""},
		{"a little less likely", likely, cve(func(v *policy.Vulnerability) { v.EPSS = 0.0999 }), 0, yes, "", ""},
		{"nobody knows how likely", likely, cve(nil), 0, no, policy.CheckVulnerabilities, "no EPSS score"},
		{"of a type", "vulnerabilities: {deny: [{severity: low, types: [npm, deb]}]}\n", cve(nil), 0, no, policy.CheckVulnerabilities, ""},
		{"of another type", "vulnerabilities: {deny: [{severity: low, types: [npm]}]}\n", cve(nil), 0, yes, "", ""},
		{"in a package", `vulnerabilities: {deny: [{severity: low, packages: ["curl", "open*"]}]}` + "\n", cve(nil), 0, no, policy.CheckVulnerabilities, ""},
		{"in another package", `vulnerabilities: {deny: [{severity: low, packages: ["ssl", "open", "*", "!openssl"]}]}` + "\n", cve(nil), 0, yes, "", ""},
		{"all conditions but one", `vulnerabilities: {deny: [{severity: low, fixed: true, epss: 0.5, packages: ["openssl"], types: [deb]}]}` + "\n", cve(func(v *policy.Vulnerability) { v.EPSS = 0.4 }), 0, yes, "", ""},
		{"as many as are allowed", counts(`{severity: high, deny: "> 2"}`), several("high", 2), 0, yes, "", ""},
		{"one too many", counts(`{severity: high, deny: "> 2"}`), several("high", 3), 0, no, policy.CheckVulnerabilities, "3 vulnerabilities of severity high"},
		{"worse ones are not counted", counts(`{severity: high, deny: "> 2"}`), several("critical", 3), 0, yes, "", ""},
		{"all are counted", counts(`{deny: ">= 3"}`), several("low", 3), 0, no, policy.CheckVulnerabilities, "3 vulnerabilities"},
		{"invented severities are unknown", counts(`{severity: unknown, deny: ">= 3"}`), several("grave", 3), 0, no, policy.CheckVulnerabilities, ""},
		{"one in several packages counts once", counts(`{deny: "> 1"}`), func(k keys, ev *policy.Evidence) {
			cve(nil)(k, ev)
			cve(func(v *policy.Vulnerability) { v.Package = "libssl3" })(k, ev)
		}, 0, yes, "", ""},
		{"with a fix", counts(`{fixed: true, deny: "> 1"}`), several("low", 2), 0, no, policy.CheckVulnerabilities, "2 vulnerabilities with a published fix"},
		{"without a fix", counts(`{fixed: false, deny: "> 1"}`), several("low", 2), 0, yes, "", ""},
		{"none at all", counts(`{deny: "= 0"}`), nil, 0, no, policy.CheckVulnerabilities, "0 vulnerabilities"},
		{"not the number", counts(`{deny: "!= 2"}`), several("low", 2), 0, yes, "", ""},
		{"another number", counts(`{deny: "!= 2"}`), several("low", 3), 0, no, policy.CheckVulnerabilities, "3 vulnerabilities"},
		{"less than that", counts(`{deny: "< 2"}`), several("low", 1), 0, no, policy.CheckVulnerabilities, ""},
		{"at most that", counts(`{deny: "<= 2"}`), several("low", 2), 0, no, policy.CheckVulnerabilities, ""},
		{"more than that", counts(`{deny: "<= 2"}`), several("low", 3), 0, yes, "", ""},
		{"what is excused does not count", strings.Replace(excepted(""), "deny: [{severity: critical, fixed: true}]", `counts: [{deny: "> 0"}]`, 1), cve(nil), 0, yes, "", ""},
		{"what is a false alarm does not count", counts(`{deny: "> 0"}`), cve(func(v *policy.Vulnerability) { v.Suppressed = "not built" }), 0, yes, "", ""},
		{"what was not scanned cannot be counted", counts(`{deny: "> 0"}`), noScan, 0, unknown, policy.CheckVulnerabilities, ""},
		{"the ticket of an exception", excepted(", ticket: SEC-99"), cve(nil), 0, yes, policy.CheckVulnerabilities, "SEC-12 (SEC-99)"},
		{"a false alarm of the scanner", critical, cve(func(v *policy.Vulnerability) { v.Suppressed = "not built" }), 0, yes, policy.CheckVulnerabilities, "false alarm: not built"},
		{"no scan", critical, noScan, 0, unknown, policy.CheckVulnerabilities, ""},
		{"the scan failed", critical, func(k keys, ev *policy.Evidence) {
			noScan(k, ev)
			problem(policy.PartScan, "linux/amd64")(k, ev)
		}, 0, unknown, policy.CheckVulnerabilities, "503"},
		{"another platform's scan failed", critical, problem(policy.PartScan, "linux/s390x"), 0, yes, "", ""},
		{"no database", critical, scanIs(func(s *policy.Scan) { s.Database = nil }), 0, unknown, policy.CheckVulnerabilities, "no vulnerability database"},
		{"matching was impossible", critical, problem(policy.PartVulnerabilities, "linux/amd64"), 0, unknown, policy.CheckVulnerabilities, "503"},
		{"a sample database", critical, scanIs(func(s *policy.Scan) { s.Database.Sample = true }), 0, unknown, policy.CheckVulnerabilities, "sample"},
		{"a sample database that is allowed", "vulnerabilities: {report: {allowSampleDatabase: true}, deny: [{severity: critical}]}\n", scanIs(func(s *policy.Scan) { s.Database.Sample = true }), 0, yes, "", ""},
		{"a database of exactly the allowed age", critical, scanIs(func(s *policy.Scan) { s.Database.Built = received().Add(-48 * time.Hour) }), 0, yes, "", ""},
		{"a database older by a second", critical, scanIs(func(s *policy.Scan) { s.Database.Built = received().Add(-48 * time.Hour) }), time.Second, unknown, policy.CheckVulnerabilities, "older than"},
		{"packages without a distribution", critical, scanIs(func(s *policy.Scan) { s.OS = nil }), 0, unknown, policy.CheckVulnerabilities, "os-release"},
		{"a distribution without packages", critical, scanIs(func(s *policy.Scan) { s.Packages = nil }), 0, unknown, policy.CheckVulnerabilities, "no package was found"},
		{"nothing at all: a static binary", critical, scanIs(func(s *policy.Scan) { s.Packages, s.OS = nil, nil }), 0, yes, "", ""},
		{"no without a scan stays no", signed + critical, func(k keys, ev *policy.Evidence) {
			noScan(k, ev)
			signatureIs(policy.UnknownSigner, "")(k, ev)
		}, 0, no, policy.CheckSignatures, ""},

		{"an exception", excepted(""), cve(nil), 0, yes, policy.CheckVulnerabilities, "excused by sec@acme.example"},
		{"an exception by alias", excepted(""), cve(func(v *policy.Vulnerability) { v.ID, v.Aliases = "GHSA-1", []string{"CVE-1"} }), 0, yes, policy.CheckVulnerabilities, ""},
		{"an exception for another vulnerability", excepted(""), cve(func(v *policy.Vulnerability) { v.ID = "CVE-11" }), 0, no, policy.CheckVulnerabilities, ""},
		{"an exception for another package", excepted(", package: curl"), cve(nil), 0, no, policy.CheckVulnerabilities, ""},
		{"an exception for the package", excepted(", package: openssl"), cve(nil), 0, yes, policy.CheckVulnerabilities, ""},
		{"an exception for another repository", excepted(`, repositories: ["team-b/**"]`), cve(nil), 0, no, policy.CheckVulnerabilities, ""},
		{"an exception for the repository", excepted(`, repositories: ["team-a/**"]`), cve(nil), 0, yes, policy.CheckVulnerabilities, ""},
		{"an exception for the repository but one", excepted(`, repositories: ["team-a/**", "!team-a/app"]`), cve(nil), 0, no, policy.CheckVulnerabilities, ""},
		{"an exception on its last second", excepted(""), cve(nil), time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC).Sub(received()), unknown, "", ""}, // the database is old by then
		{"an exception that ended", strings.Replace(excepted(""), "2026-12-31", "2026-11-19", 1), cve(nil), 0, no, policy.CheckVulnerabilities, "ended"},
		{"an exception ends with its day", strings.Replace(excepted(""), "2026-12-31", "2026-11-20", 1), cve(nil), 16*time.Hour - time.Second, yes, policy.CheckVulnerabilities, ""},
		{"and not later", strings.Replace(excepted(""), "2026-12-31", "2026-11-20", 1), cve(nil), 16 * time.Hour, no, policy.CheckVulnerabilities, "ended"},
		{"an exception excuses only what it names", excepted(""), func(k keys, ev *policy.Evidence) {
			cve(nil)(k, ev)
			cve(func(v *policy.Vulnerability) { v.ID = "CVE-2" })(k, ev)
		}, 0, no, policy.CheckVulnerabilities, "CVE-2"},

		{"young enough", young, nil, 0, yes, "", ""},
		{"of exactly the allowed age", young, createdAt(ago(30 * dayAge)), 0, yes, "", ""},
		{"older by a second", young, createdAt(ago(30 * dayAge)), time.Second, no, policy.CheckMaxAge, "created"},
		{"without a date", young, createdAt(nil), 0, no, policy.CheckMaxAge, ""},
		{"from the year 1970", young, createdAt(ago(received().Sub(time.Unix(0, 0)))), 0, no, policy.CheckMaxAge, ""},
		{"from the future", young, createdAt(ago(-48 * time.Hour)), 0, no, policy.CheckMaxAge, ""},

		{"a system on the list", systems, nil, 0, yes, "", ""},
		{"another release", systems, systemIs("debian", "11", time.Time{}), 0, no, policy.CheckOperatingSystems, "debian 11"},
		{"a newer release", systems, systemIs("debian", "13", time.Time{}), 0, yes, "", ""},
		{"a patch release", systems, systemIs("alpine", "3.20.3", time.Time{}), 0, yes, "", ""},
		{"an older minor release", systems, systemIs("alpine", "3.9.6", time.Time{}), 0, no, policy.CheckOperatingSystems, "alpine 3.9.6"},
		{"another system", systems, systemIs("ubuntu", "24.04", time.Time{}), 0, no, policy.CheckOperatingSystems, "not on the list"},
		{"a system without a version", systems, systemIs("debian", "", time.Time{}), 0, no, policy.CheckOperatingSystems, ""},
		{"no system where a list is", systems, scanIs(func(s *policy.Scan) { s.OS = nil }), 0, no, policy.CheckOperatingSystems, "os-release"},
		{"no scan where a list is", systems, noScan, 0, unknown, policy.CheckOperatingSystems, ""},
		{"a second before its end", noEnd, systemIs("debian", "10", received().Add(time.Second)), 0, yes, "", ""},
		{"at its end", noEnd, systemIs("debian", "10", received().Add(time.Second)), time.Second, no, policy.CheckOperatingSystems, "support ended"},
		{"an end that nobody knows", noEnd, systemIs("debian", "99", time.Time{}), 0, no, policy.CheckOperatingSystems, "not known"},
		{"an end that nobody knows, but on the list", systems, systemIs("debian", "99", time.Time{}), 0, yes, "", ""},
		{"a rolling distribution", noEnd, scanIs(func(s *policy.Scan) { s.OS = &policy.OperatingSystem{ID: "wolfi", Rolling: true} }), 0, yes, "", ""},
		{"on the list but past its end", systems, systemIs("debian", "12", received()), 0, no, policy.CheckOperatingSystems, "support ended"},
		{"scratch", noEnd, scanIs(func(s *policy.Scan) { s.OS, s.Packages = nil, nil }), 0, yes, "", ""},
		{"packages of a system that hides", noEnd, scanIs(func(s *policy.Scan) { s.OS = nil }), 0, no, policy.CheckOperatingSystems, "os-release"},

		{"the minimum version", openssl, nil, 0, yes, "", ""},
		{"an older version", openssl, scanIs(func(s *policy.Scan) { s.Packages[0].Version = "3.0.17-1~deb12u2" }), 0, no, policy.CheckPackages, "openssl 3.0.17-1~deb12u2"},
		{"a newer version in the order of the ecosystem", openssl, scanIs(func(s *policy.Scan) { s.Packages[0].Version = "3.0.17-1" }), 0, yes, "", ""},
		{"an epoch", openssl, scanIs(func(s *policy.Scan) { s.Packages[0].Version = "1:1.0" }), 0, yes, "", ""},
		{"not installed", openssl, scanIs(func(s *policy.Scan) { s.Packages[0] = policy.Package{Type: "deb", Name: "base-files", Version: "12"} }), 0, yes, "", ""},
		{"the name in another ecosystem", openssl, scanIs(func(s *policy.Scan) { s.Packages[1] = policy.Package{Type: "npm", Name: "openssl", Version: "1.0.0"} }), 0, yes, "", ""},
		{"a toolchain as binaries name it", "patchLevel: {packages: [{type: golang, name: stdlib, minimum: 1.24.4}]}\n", scanIs(func(s *policy.Scan) {
			s.Packages = append(s.Packages, policy.Package{Type: "golang", Name: "stdlib", Version: "go1.24.4"})
		}), 0, yes, "", ""},
		{"an older toolchain", "patchLevel: {packages: [{type: golang, name: stdlib, minimum: 1.24.4}]}\n", scanIs(func(s *policy.Scan) {
			s.Packages = append(s.Packages, policy.Package{Type: "golang", Name: "stdlib", Version: "go1.24.3"})
		}), 0, no, policy.CheckPackages, "stdlib go1.24.3"},
		{"no scan where packages are asked for", openssl, noScan, 0, unknown, policy.CheckPackages, ""},
		{"installed twice, once too old", openssl, scanIs(func(s *policy.Scan) {
			s.Packages = append(s.Packages, policy.Package{Type: "deb", Name: "openssl", Version: "1.1.1"})
		}), 0, no, policy.CheckPackages, "1.1.1"},

		{"the label", labelled, nil, 0, yes, "", ""},
		{"no label", labelled, func(_ keys, ev *policy.Evidence) { platform(ev).Labels = nil }, 0, no, policy.CheckLabels, "team"},
		{"a label that only contains a match", labelled, func(_ keys, ev *policy.Evidence) { platform(ev).Labels["team"] = "a7" }, 0, no, policy.CheckLabels, "a7"},
		{"an empty label", labelled, func(_ keys, ev *policy.Evidence) { platform(ev).Labels["team"] = "" }, 0, no, policy.CheckLabels, ""},

		{"a rule that holds", nonRoot, nil, 0, yes, "", ""},
		{"a rule that does not", nonRoot, func(_ keys, ev *policy.Evidence) { platform(ev).Config.User = "root" }, 0, no, policy.CheckRules, ""},
		{"a rule about packages without a scan", "rules: [{name: few, expression: 'packages.size() < 100'}]\n", noScan, 0, unknown, policy.CheckRules, "not scanned"},
		{"a rule about vulnerabilities without a database", "rules: [{name: few, expression: 'vulnerabilities.size() == 0'}]\n", scanIs(func(s *policy.Scan) { s.Database = nil }), 0, unknown, policy.CheckRules, "database"},
		{"a rule about a label that is not there", "rules: [{name: x, expression: 'image.labels[\"absent\"] == \"x\"'}]\n", nil, 0, no, policy.CheckRules, "no answer"},
		{"a rule about time", "rules: [{name: x, expression: 'now < timestamp(\"2027-01-01T00:00:00Z\")'}]\n", nil, 0, yes, "", ""},
		{"a rule about the push", "rules: [{name: x, expression: 'push.tag.startsWith(\"v\") && subject.repository == \"team-a/app\"'}]\n", nil, 0, yes, "", ""},

		{"every platform counts", critical, secondPlatform(func(p *policy.Platform) {
			p.Scan.Vulnerabilities = []policy.Vulnerability{{ID: "CVE-1", Severity: policy.SeverityCritical, Package: "openssl", FixState: "fixed", FixedIn: []string{"1"}}}
		}), 0, no, policy.CheckVulnerabilities, "CVE-1"},
		{"every platform is young", young, secondPlatform(func(p *policy.Platform) { p.Created = ago(99 * dayAge) }), 0, no, policy.CheckMaxAge, ""},
		{"every platform is scanned", critical, secondPlatform(func(p *policy.Platform) { p.Scan = nil }), 0, unknown, policy.CheckVulnerabilities, ""},
		{"an index without a platform", signed, func(_ keys, ev *policy.Evidence) { ev.Image.Platforms = nil }, 0, no, policy.CheckImage, ""},

		{"a tag that is no golden tag", signed + `promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}+x"]}` + "\n", nil, 0, no, policy.CheckPromote, "v1.2.3+x"},
		{"a tag that looks like a signature", signed + `promote: {to: golden, repository: "{{ .Repository }}", tags: ["sha256-{{ .ShortDigest }}"]}` + "\n", nil, 0, no, policy.CheckPromote, "kept for signatures"},
		{"a repository that leads elsewhere", signed + `promote: {to: golden, repository: "../{{ .Repository }}", tags: [x]}` + "\n", nil, 0, no, policy.CheckPromote, "no valid name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received().Add(tt.after))
			if got.Verdict != tt.want {
				t.Fatalf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			if (got.Verdict == later) != (got.Deadline != nil) {
				t.Errorf("verdict %s with the deadline %v", got.Verdict, got.Deadline)
			}
			if tt.check == "" {
				return
			}
			if len(got.Findings) == 0 {
				t.Fatal("no finding")
			}
			f := got.Findings[0]
			if f.Check != tt.check || !strings.Contains(f.Found, tt.says) {
				t.Errorf("the first finding is %+v, want one of %s that says %q", f, tt.check, tt.says)
			}
			for _, f := range got.Findings {
				if f.Found == "" || f.Expected == "" || f.Remedy == "" {
					t.Errorf("a finding lacks words: %+v", f)
				}
			}
		})
	}
}

func TestPromotionIsRendered(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, signed+`promote: {to: golden, repository: "prod/{{ .Repository }}", tags: ["{{ .Tag }}", "{{ .Tag }}-golden.{{ .Date }}", "{{ .Tag }}"], channels: [stable], immutable: true}`)
	got := policy.Evaluate(c, k.good(), received())
	p := got.Promotion
	if p == nil || p.Repository != "prod/team-a/app" || strings.Join(p.Tags, " ") != "v1.2.3 v1.2.3-golden.20261120" || p.Channels[0] != "stable" || !p.Immutable {
		t.Errorf("%+v", p)
	}
}

func TestFindingsAreBoundedAndSafeToShow(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := k.good()
	for i := range 1000 {
		cve(func(v *policy.Vulnerability) {
			v.ID, v.Package = fmt.Sprintf("CVE-%04d", i), "\x1b[31m\u202eevil"+strings.Repeat("x", 5000)
		})(k, ev)
	}
	got := policy.Evaluate(k.compile(t, critical), ev, received())
	if n := len(got.Findings); n != 100 {
		t.Errorf("%d findings", n)
	}
	if last := got.Findings[99].Found; !strings.Contains(last, "and 900 more") {
		t.Errorf("the last finding is %q", last)
	}
	for _, f := range got.Findings {
		if strings.ContainsAny(f.Found+f.Remedy, "\x1b\u202e") || len(f.Found) > 4096 {
			t.Fatalf("%d bytes: %q", len(f.Found), f.Found)
		}
	}
}
