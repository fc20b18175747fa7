package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// In Kyverno, subjectRegExp and issuerRegExp were read and not applied.
func TestAttack_CVE_2025_29778(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	var all []string
	for name, value := range claims() {
		all = append(all, name+": "+fmt.Sprintf("%q", value))
	}
	slices.Sort(all)
	everyClaim := ", claims: {" + strings.Join(all, ", ") + "}"
	type change = func(i *policy.Identity)
	wrong := map[string]change{
		"issuer": issuer("https://evil.example"), "identity": subject("https://evil.example/acme"), "trustRoot": func(i *policy.Identity) { i.TrustRoot = "private" },
	}
	for _, name := range policy.Claims() {
		wrong["claim "+name] = func(i *policy.Identity) { i.Claims[name] += "!" }
		wrong["no claim "+name] = func(i *policy.Identity) { delete(i.Claims, name) }
	}
	for form, identity := range map[string]string{
		"values":              fmt.Sprintf("issuer: %q, identity: %q", githubIssuer, githubSubject),
		"globs":               `issuer: "https://token.*", identity: "https://github.com/acme/*"`,
		"regular expressions": `issuerRegExp: "https://token\\..*", identityRegExp: "https://github\\.com/acme/.*"`,
	} {
		for _, kind := range []string{"signatures: [{name: ci, ", "authorities: [{name: ci, "} {
			rules := kind + "anyOf: [{keyless: {trustRoot: sigstore, " + identity + everyClaim + "}}]}]\n"
			attested := strings.HasPrefix(kind, "authorities")
			if attested {
				rules += `attestations: [{name: tests, predicateType: "` + testResult + `", signedBy: [ci]}]`
			}
			c := f.compile(t, rules)
			if got := policy.Evaluate(c, evidence(t, f, c, attested, github(nil)), received()); got.Verdict != policy.VerdictPromoted {
				t.Fatalf("%s: %s: %+v", form, got.Verdict, got.Findings)
			}
			for field, change := range wrong {
				if got := policy.Evaluate(c, evidence(t, f, c, attested, github(change)), received()); got.Verdict != policy.VerdictRejected {
					t.Errorf("%s, %s is wrong: %s: %+v", form, field, got.Verdict, got.Findings)
				}
			}
		}
	}
}

// A key that is misspelt, or known to another product only, is a mistake:
// wherever a policy can have a key.
func TestAttack_CVE_2025_29778_Fields(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	full := everyField(reflect.TypeFor[policy.Policy]())
	document := func() error {
		text, err := json.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		_, err = policyfile.Parse("test.yaml", text, f.read)
		return err
	}
	if err := document(); err == nil || strings.Contains(err.Error(), "unknown key") {
		t.Fatalf("the document with every key: %v", err)
	}
	n := 0
	walk(full, func(m map[string]any, name string) {
		for _, misspelt := range []string{name + "s", strings.ToUpper(name[:1]) + name[1:], strings.ToLower(name) + "_", "subjectRegExp"} {
			if _, known := m[misspelt]; known {
				continue
			}
			n++
			value := m[name]
			delete(m, name)
			m[misspelt] = value
			if err := document(); err == nil || !strings.Contains(err.Error(), misspelt+": unknown key") {
				t.Errorf("%s instead of %s: %v", misspelt, name, err)
			}
			delete(m, misspelt)
			m[name] = value
		}
	})
	if n < 200 {
		t.Errorf("only %d misspelt keys were tried", n)
	}
}

// everyField is a value for a type with every key that YAML can set.
func everyField(t reflect.Type) any {
	switch {
	case t == reflect.TypeFor[policy.Duration]():
		return "1h"
	case t == reflect.TypeFor[policy.Date]():
		return "2026-12-31"
	case t == reflect.TypeFor[policy.Threshold]():
		return "= 1"
	}
	switch t.Kind() { //nolint:exhaustive // a policy has no others
	case reflect.Pointer:
		return everyField(t.Elem())
	case reflect.Slice:
		return []any{everyField(t.Elem())}
	case reflect.Map:
		return map[string]any{}
	case reflect.Struct:
		all := map[string]any{}
		for field := range t.Fields() {
			all[field.Tag.Get("yaml")] = everyField(field.Type)
		}
		return all
	case reflect.Bool:
		return true
	case reflect.Int:
		return 1
	case reflect.Float64:
		return 0.5
	default:
		return "x"
	}
}

// walk visits every key of every mapping.
func walk(v any, visit func(m map[string]any, name string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], visit)
			visit(v, name)
		}
	case []any:
		for _, one := range v {
			walk(one, visit)
		}
	}
}

// In Kyverno, two exceptions, each harmless, opened the gate together.
func TestAttack_GHSA_gg4x_fgg2_h9w9(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	exceptions := func(all ...string) string {
		return "vulnerabilities: {deny: [{severity: critical, fixed: true}], exceptions: [" + strings.Join(all, ", ") + "]}\n"
	}
	one := func(fields string) string {
		return "{" + fields + ", owner: sec@acme.example, reason: SEC-12" + map[bool]string{true: "", false: ", expires: 2026-12-31"}[strings.Contains(fields, "expires")] + "}"
	}
	for name, tt := range map[string]struct {
		rules string
		edit  edit
		check policy.Check
	}{
		"the vulnerability of one, the package of the other": {exceptions(one("id: CVE-1, package: curl"), one("id: CVE-2, package: openssl")), cve(nil), policy.CheckVulnerabilities},
		"the package of one, the repository of the other": {
			exceptions(one(`id: CVE-1, package: openssl, repositories: ["team-b/**"]`), one(`id: CVE-1, package: curl, repositories: ["team-a/**"]`)), cve(nil), policy.CheckVulnerabilities,
		},
		"the scope of one, the expiry of the other": {
			exceptions(one("id: CVE-1, expires: 2026-11-01"), one("id: CVE-2, expires: 2026-12-31")), cve(nil), policy.CheckVulnerabilities,
		},
		"one for each of two, where there are three": {exceptions(one("id: CVE-1"), one("id: CVE-2")), func(k keys, ev *policy.Evidence) {
			for _, id := range []string{"CVE-1", "CVE-2", "CVE-3"} {
				cve(func(v *policy.Vulnerability) { v.ID = id })(k, ev)
			}
		}, policy.CheckVulnerabilities},
		"both, and another rule": {exceptions(one("id: CVE-1"), one("id: CVE-1, package: openssl")) + openssl, func(k keys, ev *policy.Evidence) {
			cve(nil)(k, ev)
			platform(ev).Scan.Packages[0].Version = "3.0.1"
		}, policy.CheckPackages},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			tt.edit(k, ev)
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received())
			if got.Verdict != policy.VerdictRejected || got.Findings[0].Check != tt.check {
				t.Errorf("%s: %+v", got.Verdict, got.Findings)
			}
		})
	}
}

// In Kyverno, an error in looking something up meant that no rule matched.
func TestAttack_CVE_2025_46342(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	rule := func(expression string) string { return "rules: [{name: x, expression: '" + expression + "'}]\n" }
	for part, policies := range map[policy.Part][]string{
		policy.PartSignatures: {
			signed, attested, rule("signatures.size() == 0"), rule("signatures.size() > 0"), rule("attestations.size() == 0"), rule("attestations.all(a, a.result == \"verified\")"),
			rule("!attestations.exists(a, a.predicate.bad)"), rule("true || signatures.size() == 0"),
		},
		policy.PartScan: {
			critical, systems, openssl, rule("packages.size() == 0"), rule("packages.all(p, p.name != \"evil\")"), rule("vulnerabilities.size() == 0"), rule("os.id != \"debian\""),
		},
		policy.PartVulnerabilities: {critical, rule("vulnerabilities.size() == 0"), rule("!vulnerabilities.exists(v, v.severity == \"critical\")")},
		policy.PartImage:           {signed, young, labelled, nonRoot, critical},
		policy.PartLineage:         {onBase, newest, freshBase},
	} {
		for _, rules := range policies {
			for i, where := range []string{"", "linux/amd64", "linux/amd64"} {
				if where != "" && part == policy.PartSignatures {
					continue
				}
				ev := k.good()
				switch part {
				case policy.PartSignatures:
					ev.Signatures, ev.Attestations = nil, nil
				case policy.PartScan:
					if i == 2 { // it got half of the way
						platform(ev).Scan.Packages, platform(ev).Scan.OS = nil, nil
						break
					}
					platform(ev).Scan = nil
				case policy.PartVulnerabilities:
					platform(ev).Scan.Vulnerabilities = nil
				case policy.PartLineage:
					builtOn(debian())(k, ev)
				case policy.PartImage:
				}
				problem(part, where)(k, ev)
				if strings.HasPrefix(rules, "attestations") || rules == attested {
					ev.Signatures = k.good().Signatures
				}
				for _, after := range []time.Duration{0, 2 * wait} {
					if got := policy.Evaluate(k.compile(t, rules), ev, received().Add(after)); got.Verdict != policy.VerdictError {
						t.Errorf("%s failed; %s: %s %+v", part, rules, got.Verdict, got.Findings)
					}
				}
			}
		}
	}
}

// In cosign, an attestation of any type did for one of the type asked for.
func TestAttack_CVE_2022_35929_Policy(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	const wanted = "https://cosign.sigstore.dev/attestation/vuln/v1"
	c := f.compile(t, `signatures: [{name: ci, anyOf: [`+keyA+`]}]
attestations: [{name: scan, predicateType: "`+wanted+`", signedBy: [ci]}]`)
	for name, predicateType := range map[string]string{
		"an SBOM": "https://cyclonedx.org/bom", "a type that goes on": wanted + "/x", "a type that ends before": wanted[:len(wanted)-1],
		"another case": strings.Replace(wanted, "vuln", "Vuln", 1), "a space": wanted + " ", "no type": "", "a signature": "https://sigstore.dev/cosign/sign/v1",
	} {
		ev := evidence(t, f, c, false, key("a"))
		ev.Attestations = evidence(t, f, c, true, key("a"), key("a")).Attestations
		for i := range ev.Attestations {
			ev.Attestations[i].PredicateType = predicateType
		}
		got := policy.Evaluate(c, ev, received().Add(wait))
		expect(t, got, policy.VerdictRejected, policy.CheckAttestations, policy.ReasonAbsent, "no attestation of type "+wanted)
		if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictPending {
			t.Errorf("%s, before the deadline: %s", name, got.Verdict)
		}
	}
}

// In Connaisseur, a name from outside met a regular expression that took for
// ever.
func TestAttack_CVE_2023_7279(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for _, pattern := range []string{"(a+)+b", "(a|aa)+b", "(a|a?)+b", "(.*a){20}b", "((a*)*)*b"} {
		c := f.compile(t, "signatures: ["+byWorkflow(`identityRegExp: "`+pattern+`"`)+"]")
		// An engine that goes back would not be done before the test is ended.
		ev := evidence(t, f, c, false, github(subject(strings.Repeat("a", 2048))))
		if got := policy.Evaluate(c, ev, received()); got.Verdict != policy.VerdictRejected {
			t.Errorf("%s: %s", pattern, got.Verdict)
		}
	}
	long := strings.Repeat("a", 2049)
	for what, rules := range map[string]string{
		"identity": byWorkflow("identity: " + long), "identityRegExp": byWorkflow("identityRegExp: " + long), "issuer": "{name: ci, anyOf: [{keyless: {identity: x, issuer: " + long + "}}]}",
		"claim": byWorkflow("identity: x, claims: {buildTrigger: " + long + "}"), "notary": `{name: ci, anyOf: [{notary: {certificateFile: notary.pem, identities: ["x509.subject: C=US, ST=WA, O=` + long + `"]}}]}`,
		"repeats": byWorkflow(`identityRegExp: "((a{100}){100}){100}"`),
	} {
		if _, err := f.parse("signatures: [" + rules + "]"); err == nil {
			t.Errorf("a policy with too much of %s was taken", what)
		}
	}
	// A value beyond the limit fits nothing, not even what would take it.
	c := f.compile(t, "signatures: ["+byWorkflow(`identity: "a*", claims: {buildTrigger: "p*"}`)+"]")
	for what, change := range map[string]func(i *policy.Identity){
		"identity": subject(long), "issuer": issuer(githubIssuer + long),
		"claim": func(i *policy.Identity) { i.Subject, i.Claims["buildTrigger"] = "a", "p"+long },
	} {
		if got := policy.Evaluate(c, evidence(t, f, c, false, github(change)), received()); got.Verdict != policy.VerdictRejected {
			t.Errorf("an endless %s: %s", what, got.Verdict)
		}
	}
}

// In Helm, a chart without its provenance file passed.
func TestAttack_CVE_2026_35205_Policy(t *testing.T) {
	t.Parallel()
	const no, unknown = policy.VerdictRejected, policy.VerdictError
	k := newKeys(t)
	for name, tt := range map[string]struct {
		rules string
		edit  edit
		want  policy.Verdict // at the deadline
	}{
		"signature":           {signed, noSignature, no},
		"signer of signature": {signed, func(_ keys, ev *policy.Evidence) { ev.Signatures[0].VerifiedBy = nil }, no},
		"attestation":         {attested, func(_ keys, ev *policy.Evidence) { ev.Attestations = nil }, no},
		"predicate":           {attested, func(_ keys, ev *policy.Evidence) { ev.Attestations[0].Predicate = nil }, no},
		"predicate type":      {attested, func(_ keys, ev *policy.Evidence) { ev.Attestations[0].PredicateType = "" }, no},
		"field of predicate":  {attested, func(_ keys, ev *policy.Evidence) { ev.Attestations[0].Predicate = json.RawMessage("{}") }, no},
		"scan":                {critical, noScan, unknown},
		"database":            {critical, scanIs(func(s *policy.Scan) { s.Database = nil }), unknown},
		"packages":            {critical, scanIs(func(s *policy.Scan) { s.Packages = nil }), unknown},
		"release":             {critical, scanIs(func(s *policy.Scan) { s.OS = nil }), unknown},
		"scan for systems":    {systems, noScan, unknown},
		"operating system":    {systems, scanIs(func(s *policy.Scan) { s.OS = nil }), no},
		"scan for packages":   {openssl, noScan, unknown},
		"creation time":       {young, createdAt(nil), no},
		"label":               {labelled, func(_ keys, ev *policy.Evidence) { platform(ev).Labels = nil }, no},
		"scan for rules":      {"rules: [{name: x, expression: 'packages.size() == 0'}]\n", noScan, unknown},
		"platforms":           {signed, func(_ keys, ev *policy.Evidence) { ev.Image.Platforms = nil }, no},
		"everything":          {signed, func(_ keys, ev *policy.Evidence) { *ev = policy.Evidence{Push: ev.Push, Subject: ev.Subject} }, no},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := k.good()
			tt.edit(k, ev)
			c := k.compile(t, tt.rules)
			if got := policy.Evaluate(c, ev, received().Add(wait)); got.Verdict != tt.want {
				t.Errorf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			if got := policy.Evaluate(c, ev, received()); got.Verdict == policy.VerdictPromoted {
				t.Error("promoted before the deadline")
			}
		})
	}
}

// In Harbor, a signature by anybody did.
func TestAttack_Harbor_18808(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	c := f.compile(t, "signatures: ["+byWorkflow(`identity: "https://github.com/acme/*"`)+"]")
	for _, stranger := range strange() {
		got := policy.Evaluate(c, evidence(t, f, c, false, stranger), received().Add(wait))
		if got.Verdict != policy.VerdictRejected {
			t.Errorf("%s: %+v", got.Verdict, got.Findings)
		}
	}
}
