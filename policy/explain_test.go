package policy_test

import (
	"strings"
	"testing"
	"time"
)

// Whatever a policy says is in its explanation.
func TestExplain(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, tt := range map[string]struct {
		rules string
		want  []string
		not   []string
	}{
		"everything": {strict, []string{
			"It is about: pushes to the registry staging", "of repositories **", "with any tag",
			"It asks for: ci: a signature of the image by the key ci.pub", "tests: an attestation of type " + testResult + " by the key ci.pub",
			`for which holds predicate.result == "PASSED"`, "a scan with a vulnerability database of the last 2d",
			"no vulnerability of severity critical or worse with a published fix", "no vulnerability that is known to be exploited",
			"created within the last 30d", "the operating system debian >= 12 or alpine >= 3.20", "whose support has not ended",
			"where deb openssl is installed, version 3.0.17-1~deb12u3 or newer", "a label team that is wholly of the form [a-z]+",
			`non-root: image.config.user != "root"`, "It excuses: CVE-1, until 2027-01-01 00:00:00, by sec@acme.example: SEC-12",
			"A yes: copies the image to the registry golden, repository {{ .Repository }}", "under the tags {{ .Tag }}", "comes 1h after the push",
		}, []string{"audit mode", "never move", "no more"}},
		"what an image is configured to do": {
			"authorities: [{name: one, anyOf: [{keyFile: ci.pub}]}]\nimage: {user: non-root, ports: {allow: [8080/tcp], denyPrivileged: true}, entrypoint: required, env: {deny: [\"*_TOKEN\"], require: [TZ]}, secrets: deny, " +
				"notSecret: [env DEMO_TOKEN], maxLayers: 40, maxSize: 2GiB}\npatchLevel: {maxAge: 30d, created: {from: [provenance, configuration], signedBy: [one]}, runtimes: {endOfLife: deny, allow: [\"nodejs >= 20\", go]}}\n" +
				"vulnerabilities: {counts: [{fixed: true, after: 30d, deny: \"> 3\"}]}",
			[]string{
				"runs as non-root", "no exposed ports but 8080/tcp", "no exposed ports below 1024", "an entry point: required", "no variable *_TOKEN", "the variables TZ",
				"no secrets in", "(what is in env DEMO_TOKEN is none)", "at most 40 layers", "layers of 2GiB at most", "within the last 30d, as its provenance by the key ci.pub",
				"and its configuration says", "no runtime but nodejs >= 20 or go", "no runtime whose support has ended", "at most 3 vulnerabilities",
			},
			nil,
		},
		"reports and VEX": {
			"authorities: [{name: one, anyOf: [{keyFile: ci.pub}]}]\nvulnerabilities: {report: {from: [attestation], signedBy: [one], maxAge: 24h, scanMaxAge: 12h, allowUndatedDatabase: true}, vex: {signedBy: [one], maxAge: 90d}, deny: [{severity: high}]}",
			[]string{
				"a report of vulnerabilities by the key ci.pub", "from a scan of the last 12h with a vulnerability database of the last 1d or of unknown age",
				"vulnerabilities that VEX statements of the last 90d by the key ci.pub",
			},
			[]string{"a scan with"},
		},
		"components and licences": {
			"components: {deny: [\"pkg:npm/a\", {purl: \"pkg:npm/b\", versions: \"< 2\", reason: old, repositories: [\"x/**\"]}], require: [\"pkg:deb/*/ca-certificates\"]}\n" +
				"licenses: {deny: [\"AGPL-*\"], allow: [MIT], types: [npm], exceptions: [{licenses: [AGPL-3.0-only], expires: 2026-12-31, owner: legal, reason: bought}, {licenses: [MIT], packages: [\"pkg:npm/a\"], expires: 2026-01-01, owner: legal, reason: bought, ticket: L-1}]}",
			[]string{
				"no package pkg:npm/a", "no package pkg:npm/b < 2 in repositories x/** (old)", "on each platform a package pkg:deb/*/ca-certificates",
				"no licence of packages of type npm but MIT", "AGPL-*", "a licence that is known of packages of type npm", "the licence AGPL-3.0-only, until 2027-01-01 00:00:00, by legal: bought",
				"the licence MIT of the package pkg:npm/a, no more: it ended 2026-01-02 00:00:00, by legal: bought (L-1)",
			},
			nil,
		},
		"a scan without an age of its own": {
			"authorities: [{name: one, anyOf: [{keyFile: ci.pub}]}]\nvulnerabilities: {report: {from: [attestation], signedBy: [one], maxAge: 24h}, deny: [{severity: high}]}",
			[]string{"from a scan of the last 1d with", "comes 1h after the push"},
			[]string{"0s"},
		},
		"nothing is awaited": {"wait: 0s\nsignatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]", []string{"a signature of the image"}, []string{"after the push"}},
		"no ports":           {"image: {ports: {allow: []}}", []string{"no exposed ports\n"}, nil},
		"audit mode, channels": {
			"mode: audit\nrules: [{name: a, expression: 'push.tag != \"\"', message: tag it}]\npromote: {to: golden, repository: x, tags: [a], channels: [b, c], immutable: true}\n",
			[]string{"A yes: has no effect", "Enforced, it would copy", "under the tags a, which then never move", "and moves the channels b, c", `a: push.tag != "" (tag it)`},
			[]string{"after the push", "It excuses"},
		},
		"several signers": {
			"authorities: [{name: both, threshold: 2, anyOf: [{keyFile: ci.pub}, {keyFile: other.pub}]}, {name: one, anyOf: [{keyFile: ci.pub}]}]\nsignatures: [{name: s, signedBy: [both, one]}]\n" +
				"sbom: {predicateTypes: [\"https://cyclonedx.org/bom\"], signedBy: [one], required: true}",
			[]string{"s: a signature of the image by 2 of: the key ci.pub", "; or the key ci.pub", "an SBOM of type https://cyclonedx.org/bom by the key ci.pub"},
			nil,
		},
		"an SBOM that may stand in": {
			"authorities: [{name: one, anyOf: [{keyFile: ci.pub}]}]\nsbom: {predicateTypes: [\"https://cyclonedx.org/bom\"], signedBy: [one]}\nvulnerabilities: {report: {allowSampleDatabase: true}, " +
				"counts: [{severity: high, deny: '> 3'}], deny: [{severity: high, fixed: true, after: 14d}], exceptions: [{id: CVE-2, package: a, repositories: [\"x/**\", \"!x/y\"], expires: 2026-11-01, owner: o, reason: r, ticket: T-1}]}",
			[]string{
				"nothing more where there is an SBOM", "or with the sample", "at most 3 vulnerabilities of severity high on each platform", "with a published fix for 2w",
				"CVE-2 in a in repositories x/**, but not x/y, no more: it ended 2026-11-02 00:00:00, by o: r (T-1)",
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			for _, s := range k.compile(t, tt.rules).Explain(received().Add(time.Second)) {
				b.WriteString(s.Title + ": " + strings.Join(s.Lines, "\n") + "\n")
			}
			for _, want := range tt.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in\n%s", want, b.String())
				}
			}
			for _, not := range tt.not {
				if strings.Contains(b.String(), not) {
					t.Errorf("%q in\n%s", not, b.String())
				}
			}
		})
	}
}
