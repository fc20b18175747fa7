package vulnreport_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

func sample(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// samples are the predicate types of the files in testdata.
func samples() map[string]string {
	return map[string]string{
		"intoto-v01.json": vulnreport.PredicateInTotoV01, "intoto-v02.json": vulnreport.PredicateInTotoV02,
		"trivy.json": vulnreport.PredicateCosign, "grype.json": vulnreport.PredicateCosign,
		"trivy-sarif.json": vulnreport.PredicateCosign, "grype-sarif.json": vulnreport.PredicateCosign,
	}
}

func TestReportsAreRead(t *testing.T) {
	t.Parallel()
	vague := vulnreport.Unsaid{Package: true, Type: true, Fix: true, Exploited: true}
	grypeURL := "https://security-tracker.debian.org/tracker/CVE-2026-0001"
	for name, want := range map[string]vulnreport.Report{
		"intoto-v01.json": {
			Scanner: "pkg:github/example/scanner@1.2.3", Finished: at("2026-11-20T06:00:00Z"), Database: at("2026-11-20T00:00:00Z"),
			Vulnerabilities: []vulnreport.Vulnerability{{ID: "CVE-2026-0001", Severity: "high", Unsaid: vague}},
		},
		"intoto-v02.json": {
			Scanner: "pkg:github/example/scanner@1.2.3 1.2.3", Finished: at("2026-11-20T06:00:00.5Z"), Database: at("2026-11-20T00:00:00Z"),
			Vulnerabilities: []vulnreport.Vulnerability{
				{ID: "CVE-2026-0001", Severity: "critical", Unsaid: vague},
				{ID: "GHSA-aaaa-bbbb-cccc", Unsaid: vulnreport.Unsaid{Severity: true, Package: true, Type: true, Fix: true, Exploited: true}},
			},
		},
		"trivy.json": { // no database; made an hour before it was wrapped
			Scanner: "pkg:github/aquasecurity/trivy@0.66.0 0.66.0", Finished: at("2026-11-20T04:58:00.123456789Z"),
			Vulnerabilities: []vulnreport.Vulnerability{
				{
					ID: "CVE-2026-0001", Severity: "critical", Package: "openssl", Version: "3.0.1", Type: "deb", FixState: "fixed", FixedIn: []string{"3.0.17"},
					PublishedAt: at("2026-01-02T03:04:05.678Z"), URL: "https://avd.aquasec.com/nvd/cve-2026-0001", Unsaid: vulnreport.Unsaid{Exploited: true},
				},
				{ID: "CVE-2005-2541", Severity: "low", Package: "tar", Version: "1.34", Type: "deb", FixState: "wont-fix", Unsaid: vulnreport.Unsaid{Exploited: true}},
				{ID: "CVE-2026-0003", Severity: "high", Package: "curl", Version: "8", Type: "deb", FixState: "not-fixed", Unsaid: vulnreport.Unsaid{Exploited: true}},
				{
					ID: "CVE-2021-44228", Severity: "critical", Package: "log4j-core", Version: "2.14.1", Type: "maven", FixState: "fixed",
					FixedIn: []string{"2.15.0", "2.12.2", "2.3.1"}, Unsaid: vulnreport.Unsaid{Exploited: true},
				},
			},
		},
		"grype.json": { // the earliest of what it says of each time
			Scanner: "https://github.com/anchore/grype 0.120.1", Finished: at("2026-11-20T05:30:00.1Z"), Database: at("2026-11-20T01:00:00Z"),
			Vulnerabilities: []vulnreport.Vulnerability{
				{
					ID: "CVE-2026-0001", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Severity: "critical", Package: "openssl", Version: "3.0.1", Type: "deb",
					FixState: "fixed", FixedIn: []string{"3.0.17"}, FixedAt: at("2026-01-03T00:00:00Z"), KnownExploited: true, EPSS: 0.42, URL: grypeURL,
				},
				{ID: "CVE-2026-0003", Severity: "negligible", Package: "lodash", Version: "4.17.20", Type: "npm", FixState: "wont-fix"},
			},
		},
		"trivy-sarif.json": {
			Scanner: "pkg:github/aquasecurity/trivy@0.66.0 0.66.0", Finished: at("2026-11-20T06:00:00Z"), Database: at("2026-11-20T00:00:00Z"),
			Vulnerabilities: []vulnreport.Vulnerability{{
				ID: "CVE-2026-0001", Severity: "critical", Package: "openssl", Version: "3.0.1", FixState: "fixed", FixedIn: []string{"3.0.17"},
				URL: "https://avd.aquasec.com/nvd/cve-2026-0001", Unsaid: vulnreport.Unsaid{Type: true, Exploited: true},
			}},
		},
		"grype-sarif.json": { // the help is about the first version alone
			Scanner: "https://github.com/anchore/grype 0.120.1", Finished: at("2026-11-20T06:00:00Z"), Database: at("2026-11-20T00:00:00Z"),
			Vulnerabilities: []vulnreport.Vulnerability{
				{
					ID: "CVE-2026-0001", Severity: "critical", Package: "openssl", Version: "3.0.1", Type: "deb", FixState: "fixed", FixedIn: []string{"3.0.17"},
					URL: grypeURL, Unsaid: vulnreport.Unsaid{Exploited: true},
				},
				{ID: "CVE-2026-0001", Severity: "critical", Package: "openssl", Version: "3.0.2", Type: "deb", URL: grypeURL, Unsaid: vulnreport.Unsaid{Fix: true, Exploited: true}},
			},
		},
	} {
		got, err := vulnreport.Parse(samples()[name], []byte(sample(t, name)))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// What is not understood is never a report without vulnerabilities.
func TestReportsThatAreNotRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sample, from, to, want string }{
		{"no JSON", "grype.json", `{`, ``, "read the predicate"},
		{"nobody scanned", "intoto-v02.json", `"uri": "pkg:github/example/scanner@1.2.3"`, `"uri": ""`, "which scanner"},
		{"nobody knows when", "intoto-v02.json", "scanFinishedOn", "finished", "when the scan ended"},
		{"a time that is none", "intoto-v02.json", "2026-11-20T06:00:00.5Z", "yesterday", "no time"},
		{"a time before there were scanners", "intoto-v02.json", "2026-11-20T06:00:00.5Z", "0001-01-01T00:00:00Z", "cannot be"},
		{"a database of no time", "intoto-v02.json", "2026-11-20T00:00:00Z", "lately", "lastUpdate"},
		{"no list", "intoto-v02.json", `"result"`, `"results"`, "no list of vulnerabilities"},
		{"a list that is an object", "intoto-v02.json", `"result": [`, `"result": {}, "x": [`, "scanner.result"},
		{"a vulnerability without a name", "intoto-v02.json", `"id": "CVE-2026-0001", `, ``, "no identifier"},
		{"two names at once", "intoto-v01.json", `{"vulnerability": {`, `{"id": "CVE-1", "vulnerability": {`, "two identifiers"},
		{"a scanner without end", "intoto-v02.json", "pkg:github/example/scanner@1.2.3", strings.Repeat("x", 2000), "at most 1024"},
		{"a name without end", "intoto-v02.json", "CVE-2026-0001", strings.Repeat("C", 2000), "at most 1024"},
		{"an unknown scanner", "grype.json", `"descriptor"`, `"describer"`, "no scanner that is read"},
		{"two formats at once", "grype.json", `"matches"`, `"SchemaVersion": 2, "matches"`, "no scanner that is read"},
		{"another scanner with a descriptor", "grype.json", `"name": "grype"`, `"name": "syft"`, `"syft", which is not read`},
		{"no matches", "grype.json", `"matches": [`, `"found": [`, "no list of matches"},
		{"a folder", "grype.json", `"type": "image"`, `"type": "directory"`, "not about an image"},
		{"an invalid database", "grype.json", `"valid": true`, `"valid": false`, "not valid"},
		{"trouble with the database", "grype.json", `"valid": true`, `"error": "broken"`, "trouble"},
		{"a package without a name", "grype.json", `"name": "openssl"`, `"name": ""`, "in no package"},
		{"an impossible probability", "grype.json", `"epss": 0.42`, `"epss": 42`, "EPSS"},
		{"another schema", "trivy.json", `"SchemaVersion": 2`, `"SchemaVersion": 3`, "schema version 3"},
		{"a repository", "trivy.json", "container_image", "repository", "not about a container_image"},
		{"only secrets were looked for", "trivy.json", `"Class": "`, `"Class": "secret-`, "no packages that were looked at"},
		{"another SARIF", "trivy-sarif.json", `"version": "2.1.0"`, `"version": "2.0.0"`, "version 2.1.0 is read"},
		{"SARIF of another tool", "trivy-sarif.json", `"name": "Trivy"`, `"name": "Lint"`, `"Lint", which is not read`},
		{"SARIF without runs", "trivy-sarif.json", `"runs": [{`, `"runs": [], "x": [{`, "0 runs"},
		{"SARIF without results", "trivy-sarif.json", `"results": [`, `"x": [`, "nothing was scanned"},
		{"a scan that failed", "trivy-sarif.json", `"columnKind"`, `"invocations": [{"executionSuccessful": false}], "columnKind"`, "did not succeed"},
		{"a result of no rule", "trivy-sarif.json", `"ruleId": "CVE-2026-0001"`, `"ruleId": "CVE-2"`, "not there"},
		{"a rule about nothing", "trivy-sarif.json", `["vulnerability", `, `[`, "what it is about"},
		{"a message without a package", "trivy-sarif.json", "Package: ", "Paket: ", "Package"},
		{"a message of Grype's that is another", "grype-sarif.json", "was found", "was seen", "not understood"},
		{"a rule about another package", "grype-sarif.json", `package: openssl`, `package: libssl3`, "another package"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := sample(t, tt.sample)
			if !strings.Contains(text, tt.from) {
				t.Fatalf("%s has no %s", tt.sample, tt.from)
			}
			text = strings.ReplaceAll(text, tt.from, tt.to)
			if r, err := vulnreport.Parse(samples()[tt.sample], []byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q: %+v", err, tt.want, r)
			}
		})
	}
}

func TestReportsHaveLimits(t *testing.T) {
	t.Parallel()
	few, many := `{"id":"CVE-1"}`, strings.Repeat(`{"id":"CVE-1"},`, 50_000)+`{"id":"CVE-1"}`
	text := func(list string) []byte {
		return []byte(`{"scanner":{"uri":"x","result":[` + list + `]},"metadata":{"scanFinishedOn":"2026-11-20T06:00:00Z"}}`)
	}
	if _, err := vulnreport.Parse(vulnreport.PredicateInTotoV02, text(few)); err != nil {
		t.Error(err)
	}
	if _, err := vulnreport.Parse(vulnreport.PredicateInTotoV02, text(many)); err == nil || !strings.Contains(err.Error(), "at most 50000") {
		t.Errorf("too many: %v", err)
	}
	if _, err := vulnreport.Parse(vulnreport.PredicateInTotoV02, append(text(few), strings.Repeat(" ", 16<<20)...)); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("too large: %v", err)
	}
	if _, err := vulnreport.Parse("https://example.com/scan", text(few)); err == nil {
		t.Error("another predicate type is read")
	}
}

// Grype's databases say what is exploited since their schema version 6.
func TestOldGrypeDatabasesLeaveOpenWhatIsExploited(t *testing.T) {
	t.Parallel()
	text := strings.Replace(sample(t, "grype.json"), `"status": {"schemaVersion": "v6.1.0"`, `"schemaVersion": 5, "x": {"schemaVersion": "v5"`, 1)
	r, err := vulnreport.Parse(vulnreport.PredicateCosign, []byte(text))
	if err != nil || len(r.Vulnerabilities) != 2 {
		t.Fatalf("%v: %+v", err, r)
	}
	if r.Vulnerabilities[0].Unsaid.Exploited || !r.Vulnerabilities[1].Unsaid.Exploited {
		t.Errorf("%+v", r.Vulnerabilities)
	}
}

// A number is only a severity on a scale that is known.
func TestSeveritiesOfInToto(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		``: "", `{"method":"nvd","score":"high"}`: "high", `{"method":"vendor","score":"Important"}`: "high", `{"method":"CVSSv3","score":"9.0"}`: "critical",
		`{"method":"cvss_score","score":"8.9"}`: "high", `{"method":"cvss","score":"6.9"}`: "medium", `{"method":"cvss","score":"3.9"}`: "low", `{"method":"cvss","score":"0"}`: "negligible",
		`{"method":"cvss","score":"11"}`: "", `{"method":"cvss","score":"NaN"}`: "", `{"method":"percent","score":"1"}`: "", `{"method":"vendor","score":"dreadful"}`: "",
		`{"method":"epss","score":"0.01"}`: "", `{"method":"epss","score":"0.01"},{"method":"nvd","score":"low"}`: "low",
		`{"method":"nvd","score":"low"},{"method":"vendor","score":"?"}`: "", `{"method":"nvd","score":"low"},{"method":"cvss","score":"9.8"}`: "critical",
	} {
		text := `{"scanner":{"uri":"x","result":[{"id":"CVE-1","severity":[` + list + `]}]},"metadata":{"scanFinishedOn":"2026-11-20T06:00:00Z"}}`
		r, err := vulnreport.Parse(vulnreport.PredicateInTotoV02, []byte(text))
		if err != nil || len(r.Vulnerabilities) != 1 {
			t.Fatalf("%s: %v, %+v", list, err, r)
		}
		if v := r.Vulnerabilities[0]; v.Severity != want || v.Unsaid.Severity != (want == "") {
			t.Errorf("%s: %q, want %q", list, v.Severity, want)
		}
	}
}
