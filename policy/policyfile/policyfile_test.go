package policyfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

func publicKey(tb testing.TB) []byte {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func newCertificate(tb testing.TB) []byte {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const complete = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["team-*/**", "!team-*/scratch/**"], tags: ["v*"]}
  mode: audit
  wait: 10m
  signatures:
    - name: ci
      anyOf: [{keyFile: keys/ci.pub}]
  attestations:
    - {name: tests, predicateType: "https://in-toto.io/attestation/test-result/v0.1", signedBy: [ci], expression: 'predicate.result == "PASSED"'}
  vulnerabilities:
    report: {maxAge: 24h}
    deny:
      - {severity: critical, fixed: true}
      - {knownExploited: true}
    exceptions:
      - {id: CVE-2026-1234, package: openssl, repositories: ["team-a/**"], expires: 2026-12-31, owner: sec@acme.example, reason: "not reachable, SEC-12"}
  patchLevel:
    maxAge: 30d
    operatingSystems: {endOfLife: deny, allow: ["debian >= 12", "alpine >= 3.20"]}
    packages: [{type: deb, name: openssl, minimum: 3.0.17-1~deb12u3}]
    labels: {org.opencontainers.image.revision: "^[0-9a-f]{40}$"}
  rules:
    - {name: non-root, expression: 'image.config.user != "" && image.config.user != "root"', message: "run as a non-root user"}
  promote:
    to: golden
    repository: "{{ .Repository }}"
    tags: ["{{ .Tag }}", "{{ .Tag }}-golden.{{ .Date }}"]
    channels: ["stable"]
    immutable: true
`

func reader(files map[string][]byte) policyfile.ReadFile {
	return func(name string) ([]byte, error) {
		data, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("open %s: no such file", name)
		}
		return data, nil
	}
}

func TestACompletePolicyIsRead(t *testing.T) {
	policies, err := policyfile.Parse("p/services.yaml", []byte(complete), reader(map[string][]byte{"p/keys/ci.pub": publicKey(t)}))
	if err != nil {
		t.Fatal(err)
	}
	p := policies[0]
	if !p.Matches("staging", "team-a/app", "v1") || p.Matches("staging", "team-a/scratch/app", "v1") || p.Matches("staging", "team-a/app", "latest") || p.Matches("other", "team-a/app", "v1") {
		t.Error("match does not choose what it says")
	}
	if len(p.Authorities()) != 1 || !p.NeedsScan() || p.File != "p/services.yaml" {
		t.Errorf("got %d authorities, scan %v, file %s", len(p.Authorities()), p.NeedsScan(), p.File)
	}
}

// Every mistake is found, and named with its place and what to write instead.
func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	key := publicKey(t)
	private := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("x")})
	tests := map[string]struct{ old, new, want string }{
		"unknown field":              {"  wait: 10m", "  waitFor: 10m", `p.yaml:8:3: waitFor: unknown key; write "wait" instead`},
		"field of a later version":   {"deny:\n", "reachable: {}\n    deny:\n", "p.yaml:16:5: reachable: unknown key"},
		"keyless without identity":   {"{keyFile: keys/ci.pub}", "{keyless: {issuer: x}}", "p.yaml:11:26: spec.signatures[0].anyOf[0].keyless.identity: missing"},
		"keyless for anybody":        {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: "*"}}`, `p.yaml:11:47: spec.signatures[0].anyOf[0].keyless.identity: "*" takes anything`},
		"an expression for anybody":  {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identityRegExp: ".+"}}`, `p.yaml:11:53: spec.signatures[0].anyOf[0].keyless.identityRegExp: ".+" takes anything`},
		"a subject as cosign has it": {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, subjectRegExp: "a"}}`, "p.yaml:11:37: subjectRegExp: unknown key"},
		"an unknown claim":           {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: y, claims: {workflow: z}}}`, `p.yaml:11:59: spec.signatures[0].anyOf[0].keyless.claims: "workflow" is no claim`},
		"two kinds in one entry":     {"{keyFile: keys/ci.pub}", `{keyFile: keys/ci.pub, keyless: {issuer: x, identity: y}}`, "p.yaml:11:16: spec.signatures[0].anyOf[0]: 2 authorities; write exactly one"},
		"an unknown key system":      {"{keyFile: keys/ci.pub}", `{kms: "evil://x"}`, `p.yaml:11:21: spec.signatures[0].anyOf[0].kms: "evil://x" is no key of a key management system that is known`},
		"a key system as a file":     {"{keyFile: keys/ci.pub}", `{keyFile: "awskms://x"}`, `p.yaml:11:25: spec.signatures[0].anyOf[0].keyFile: "awskms://x" is no file`},
		"an expression without ends": {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identityRegExp: "a)|(?:b"}}`, `p.yaml:11:53: spec.signatures[0].anyOf[0].keyless.identityRegExp: no regular expression`},
		"every URL":                  {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: "https://*"}}`, `p.yaml:11:47: spec.signatures[0].anyOf[0].keyless.identity: "https://*" takes anything`},
		"every issuer":               {"{keyFile: keys/ci.pub}", `{keyless: {issuer: "https://*", identity: x}}`, `p.yaml:11:34: spec.signatures[0].anyOf[0].keyless.issuer: "https://*" takes anything`},
		"every address":              {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: "*@*"}}`, `p.yaml:11:47: spec.signatures[0].anyOf[0].keyless.identity: "*@*" takes anything`},
		"a claim that may be any":    {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: y, claims: {buildTrigger: "*"}}}`, `p.yaml:11:59: spec.signatures[0].anyOf[0].keyless.claims: buildTrigger: "*" takes anything`},
		"a value and an expression":  {"{keyFile: keys/ci.pub}", `{keyless: {issuer: x, identity: y, identityRegExp: y}}`, `p.yaml:11:47: spec.signatures[0].anyOf[0].keyless.identity: both a value and a regular expression`},
		"an empty key file":          {"keys/ci.pub", "empty.pub", `p.yaml:11:25: spec.signatures[0].anyOf[0].keyFile: empty.pub is empty`},
		"a Notary subject for all":   {"{keyFile: keys/ci.pub}", `{notary: {certificateFile: ca.pem, identities: ["*"]}}`, `p.yaml:11:62: spec.signatures[0].anyOf[0].notary.identities: "*": x509.subject: is not what it begins with`},
		"half a Notary subject":      {"{keyFile: keys/ci.pub}", `{notary: {certificateFile: ca.pem, identities: ["x509.subject: O=acme"]}}`, `p.yaml:11:62: spec.signatures[0].anyOf[0].notary.identities: "x509.subject: O=acme": one of C, ST and O is missing`},
		"an attribute twice":         {"{keyFile: keys/ci.pub}", `{notary: {certificateFile: ca.pem, identities: ["x509.subject: C=US, ST=WA, S=WA, O=acme"]}}`, `p.yaml:11:62: spec.signatures[0].anyOf[0].notary.identities: "x509.subject: C=US, ST=WA, S=WA, O=acme": ST is there twice`},
		"a key as certificates":      {"{keyFile: keys/ci.pub}", `{notary: {certificateFile: keys/ci.pub, identities: ["x509.subject: C=US, ST=WA, O=acme"]}}`, `p.yaml:11:42: spec.signatures[0].anyOf[0].notary.certificateFile: a PEM block of type PUBLIC KEY among the certificates`},
		"Notary for attestations":    {"{keyFile: keys/ci.pub}", `{notary: {certificateFile: ca.pem, identities: ["x509.subject: C=US, ST=WA, O=acme"]}}`, `p.yaml:13:98: spec.attestations[0].signedBy[0]: "ci" can never attest`},
		"one name twice":             {"signedBy: [ci]", "signedBy: [ci, ci]", `p.yaml:13:102: spec.attestations[0].signedBy[1]: "ci" is there twice`},
		"two rules of one name":      {"    - name: ci\n", "    - {name: ci, signedBy: [ci]}\n    - name: ci\n", `p.yaml:11:13: spec.signatures[1].name: "ci" is there twice`},
		"a type that is no URI":      {"test-result/v0.1", "test-result/v0.1; rm -rf .", `p.yaml:13:36: spec.attestations[0].predicateType: "https://in-toto.io/attestation/test-result/v0.1; rm -rf ." is no URI`},
		"too high a threshold":       {"anyOf: [{keyFile: keys/ci.pub}]", "threshold: 2\n      anyOf: [{keyFile: keys/ci.pub}]", "p.yaml:11:18: spec.signatures[0].threshold: 2 of 1"},
		"one key twice":              {"{keyFile: keys/ci.pub}", "{keyFile: keys/ci.pub}, {keyFile: keys/ci.pub}", "p.yaml:11:40: spec.signatures[0].anyOf[1]: the same authority is there twice"},
		"no duration":                {"10m", "soon", "p.yaml:8:9: spec.wait: "},
		"no date":                    {"2026-12-31", "tomorrow", "p.yaml:20:85: spec.vulnerabilities.exceptions[0].expires: \"tomorrow\" is no date"},
		"unknown mode":               {"audit", "dry-run", `p.yaml:7:9: spec.mode: "dry-run"; write enforce or audit`},
		"no condition":               {"{knownExploited: true}", "{types: [deb]}", "p.yaml:18:10: spec.vulnerabilities.deny[1]: no condition; write severity, fixed, knownExploited or epss"},
		"a deadline without a fix":   {"{knownExploited: true}", "{severity: high, after: 14d}", "p.yaml:18:33: spec.vulnerabilities.deny[1].after: it counts from when a fix was published; write fixed: true"},
		"a deadline before the fix":  {"{knownExploited: true}", "{severity: high, fixed: true, after: -14d}", `p.yaml:18:46: spec.vulnerabilities.deny[1].after: "-14d" is no duration`},
		"no probability":             {"{knownExploited: true}", "{epss: 10}", "p.yaml:18:16: spec.vulnerabilities.deny[1].epss: 10; write a probability"},
		"a type in capitals":         {"{knownExploited: true}", "{severity: high, types: [Debian]}", `p.yaml:18:34: spec.vulnerabilities.deny[1].types[0]: "Debian" is no package URL type; write one of alpm`},
		"a broken glob":              {"{knownExploited: true}", `{severity: high, packages: ["a["]}`, "p.yaml:18:37: spec.vulnerabilities.deny[1].packages[0]"},
		"a count without a number":   {"    exceptions:", "    counts: [{severity: high}]\n    exceptions:", "p.yaml:19:15: spec.vulnerabilities.counts[0].deny: missing; write which numbers are refused"},
		"a count of no severity":     {"    exceptions:", "    counts: [{severity: grave, deny: \"> 1\"}]\n    exceptions:", "p.yaml:19:25: spec.vulnerabilities.counts[0].severity"},
		"no comparison":              {"    exceptions:", "    counts: [{deny: many}]\n    exceptions:", `p.yaml:19:21: spec.vulnerabilities.counts[0].deny: "many" is no comparison; write > 10`},
		"unknown severity":           {"critical", "severe", `p.yaml:17:20: spec.vulnerabilities.deny[0].severity: "severe"; write critical, high`},
		"exception without owner":    {"owner: sec@acme.example, ", "", "p.yaml:20:10: spec.vulnerabilities.exceptions[0].owner: missing"},
		"exception without expiry":   {"expires: 2026-12-31, ", "", "p.yaml:20:10: spec.vulnerabilities.exceptions[0].expires: missing"},
		"expression does not parse":  {`predicate.result == "PASSED"`, `predicate.result ==`, "p.yaml:13:"},
		"expression is not boolean":  {`image.config.user != "" && image.config.user != "root"`, `"x" + "y"`, "p.yaml:27:36: spec.rules[0].expression: the expression yields string"},
		"unknown variable":           {`image.config.user != ""`, `picture.user != ""`, "p.yaml:27:36: spec.rules[0].expression: undeclared reference to 'picture'"},
		"unknown signer":             {"signedBy: [ci]", "signedBy: [cd]", `p.yaml:13:98: spec.attestations[0].signedBy[0]: no authority is named "cd"; known here: ci`},
		"key file that is not there": {"keys/ci.pub", "keys/other.pub", "p.yaml:11:25: spec.signatures[0].anyOf[0].keyFile: cannot be read"},
		"private key":                {"keys/ci.pub", "private.key", "p.yaml:11:16: spec.signatures[0].anyOf[0]: this is a private key"},
		"bad glob":                   {`"team-*/**", `, `"team-[", `, `p.yaml:6:26: spec.match.repositories[0]: "team-[" is no glob`},
		"only negative globs":        {`"team-*/**", `, ``, "p.yaml:6:"},
		"bad operating system":       {"debian >= 12", "Debian 12", `p.yaml:23:49: spec.patchLevel.operatingSystems.allow[0]: "Debian 12"; write the ID of os-release`},
		"unknown package type":       {"type: deb", "type: exe", "p.yaml:24:17: spec.patchLevel.packages[0]: versions of type \"exe\" cannot be ordered; write"},
		"bad label pattern":          {"[0-9a-f]{40}$", "[0-9", "p.yaml:25:"},
		"unknown template field":     {"{{ .Tag }}-golden", "{{ .Nothing }}-golden", "p.yaml:31:26: spec.promote.tags[1]: "},
		"wrong version":              {"v1alpha1", "v2", `p.yaml:1:13: apiVersion: "gatekeeper/v2"; write gatekeeper/v1alpha1`},
		"bad name":                   {"name: services", "name: Services!", "p.yaml:3:18: metadata.name: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(complete, tt.old, tt.new, 1)
			if text == complete {
				t.Fatalf("the policy does not contain %q", tt.old)
			}
			_, err := policyfile.Parse("p.yaml", []byte(text), reader(map[string][]byte{"keys/ci.pub": key, "private.key": private, "empty.pub": {}, "ca.pem": newCertificate(t)}))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s…", err, tt.want)
			}
		})
	}
}

func TestAPolicyThatAsksForNothingIsRefused(t *testing.T) {
	const text = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: all}
spec:
  from: staging
  match: {repositories: ["**"]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`
	_, err := policyfile.Parse("p.yaml", []byte(text), reader(nil))
	if err == nil || !strings.Contains(err.Error(), "asks for nothing") {
		t.Errorf("got %v", err)
	}
}

func TestAFolderOfPoliciesIsRead(t *testing.T) {
	files := map[string][]byte{"policies/keys/ci.pub": publicKey(t)}
	fsys := fstest.MapFS{
		"a.yaml":        {Data: []byte(complete)},
		"b.yml":         {Data: []byte(strings.Replace(complete, "services", "other", 1))},
		"..data/a.yaml": {Data: []byte(complete)},
		"notes.txt":     {Data: []byte("not a policy")},
		"keys/ci.pub":   {Data: files["policies/keys/ci.pub"]},
	}
	policies, err := policyfile.Load(fsys, "policies", reader(files))
	if err != nil {
		t.Fatal(err)
	}
	if len(policies) != 2 || policies[0].Name() != "services" || policies[1].Name() != "other" {
		t.Errorf("got %v", policies)
	}

	fsys["b.yml"] = &fstest.MapFile{Data: []byte(complete)}
	_, err = policyfile.Load(fsys, "policies", reader(files))
	if err == nil || !strings.Contains(err.Error(), `policies/b.yml:1:1: metadata.name: "services" is also the name of a policy in policies/a.yaml`) {
		t.Errorf("the same name twice: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(complete))
	f.Add([]byte(lists))
	f.Add([]byte(withLists + "---\n" + lists))
	for _, file := range []string{"../../docs/policy.md", "../../docs/trust-roots.md", "../../docs/attestations.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if block, ok := completed(block); ok {
				f.Add([]byte(block))
			}
		}
	}
	key := publicKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := policyfile.ParseSet([]policyfile.File{{Name: "p.yaml", Data: data}}, func(string) ([]byte, error) { return key, nil })
		if err == nil && len(set.Policies)+len(set.Lists) == 0 {
			t.Error("neither a policy nor an error")
		}
	})
}
