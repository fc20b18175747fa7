package vex_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/policy/vex"
)

const abab = "sha256:abababababababababababababababababababababababababababababababab"

func sample(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func samples() map[string]string {
	return map[string]string{
		"openvex.json": vex.PredicateOpenVEX + "/v0.2.0", "openvex-v001.json": vex.PredicateOpenVEX, "cyclonedx.json": vex.PredicateCycloneDX + "/v1.6",
	}
}

func day(d, hour int) time.Time { return time.Date(2026, time.November, d, hour, 0, 0, 0, time.UTC) }

func TestDocumentsAreRead(t *testing.T) {
	t.Parallel()
	digest := "pkg:oci/app@" + strings.Replace(abab, ":", "%3A", 1)
	for name, want := range map[string]vex.Document{
		"openvex.json": {Author: "sec@acme.example", Statements: []vex.Statement{
			{
				Vulnerabilities: []string{"CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"}, Status: vex.NotAffected, Why: "vulnerable_code_not_in_execute_path", Timestamp: day(19, 7),
				Products: []vex.Product{{
					Identifiers: []string{digest + "?repository_url=registry.example%2Fteam-a%2Fapp"}, Packages: [][]string{{"pkg:deb/debian/openssl@3.0.1"}},
				}},
			},
			{
				Vulnerabilities: []string{"CVE-2026-0002"}, Status: vex.UnderInvestigation, Timestamp: day(18, 10),
				Products: []vex.Product{{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/team-a/app"}, Hashes: map[string]string{"sha-256": "abab"}}},
			},
			{Vulnerabilities: []string{"CVE-2026-0003"}, Status: vex.Fixed, Inherits: true, Timestamp: day(19, 7)},
		}},
		"openvex-v001.json": {Author: "sec@acme.example", Statements: []vex.Statement{{
			Vulnerabilities: []string{"CVE-2026-0001"}, Status: vex.NotAffected, Why: "we do not call it", Timestamp: day(19, 8),
			Products: []vex.Product{{Identifiers: []string{"pkg:oci/app@sha256%3Aabab"}, Packages: [][]string{{"pkg:deb/debian/openssl@3.0.1"}}}},
		}}},
		"cyclonedx.json": {Author: "Acme Security", Statements: []vex.Statement{
			{
				Vulnerabilities: []string{"CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"}, Status: vex.NotAffected, Why: "code_not_reachable", Timestamp: day(18, 0),
				Products: []vex.Product{{
					Identifiers: []string{digest}, Hashes: map[string]string{"sha-256": strings.TrimPrefix(abab, "sha256:")}, Packages: [][]string{{"pkg:deb/debian/libssl3@3.0.1"}},
				}},
			},
			{
				Vulnerabilities: []string{"CVE-2026-0002"}, Status: vex.UnderInvestigation, Timestamp: day(19, 7),
				Products: []vex.Product{{Identifiers: []string{digest}, Hashes: map[string]string{"sha-256": strings.TrimPrefix(abab, "sha256:")}}},
			},
			{
				Vulnerabilities: []string{"CVE-2026-0003"}, Status: vex.Fixed, Timestamp: day(19, 7),
				Products: []vex.Product{{Identifiers: []string{"pkg:oci/app@sha256%3Aabab"}}},
			},
		}},
	} {
		got, err := vex.Parse(samples()[name], []byte(sample(t, name)))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestDocumentsThatAreNotRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sample, from, to, want string }{
		{"no JSON", "openvex.json", `{`, ``, "read the OpenVEX document"},
		{"another context", "openvex.json", "https://openvex.dev/ns/v0.2.0", "https://openvex.dev/nsx", "@context"},
		{"no statements", "openvex.json", `"statements"`, `"x"`, "states nothing"},
		{"an unknown status", "openvex.json", `"fixed"`, `"harmless"`, `"harmless" is none of VEX`},
		{"an unknown justification", "openvex.json", "vulnerable_code_not_in_execute_path", "trust_me", `"trust_me" is none of VEX`},
		{"no vulnerability", "openvex.json", `"name": "CVE-2026-0003"`, `"x": ""`, "0 names"},
		{"no time at all", "openvex.json", "2026-11-19T08:00:00+01:00", "today", "no time"},
		{"subcomponents of nothing", "openvex-v001.json", `"products": ["pkg:oci/app@sha256%3Aabab"],`, ``, "subcomponents of no product"},
		{"no CycloneDX", "cyclonedx.json", `"CycloneDX"`, `"SPDX"`, "no CycloneDX"},
		{"a later CycloneDX", "cyclonedx.json", `"1.6"`, `"2.0"`, "no CycloneDX"},
		{"an unknown state", "cyclonedx.json", `"resolved"`, `"gone"`, `"gone" is none of CycloneDX`},
		{"a name without end", "openvex.json", "CVE-2026-0001", strings.Repeat("C", 5000), "4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := sample(t, tt.sample)
			if !strings.Contains(text, tt.from) {
				t.Fatalf("%s has no %s", tt.sample, tt.from)
			}
			d, err := vex.Parse(samples()[tt.sample], []byte(strings.ReplaceAll(text, tt.from, tt.to)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q: %+v", err, tt.want, d)
			}
		})
	}
	many := strings.Repeat(`{"vulnerability":"CVE-1","status":"fixed"},`, 10_000) + `{"vulnerability":"CVE-1","status":"fixed"}`
	if _, err := vex.Parse(vex.PredicateOpenVEX, []byte(`{"@context":"https://openvex.dev/ns","statements":[`+many+`]}`)); err == nil {
		t.Error("any number of statements is read")
	}
	if _, err := vex.Parse("https://openvex.dev/nsx", []byte(sample(t, "openvex.json"))); err == nil {
		t.Error("another predicate type is read")
	}
}

func TestStatusesThatExcuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    vex.Statement
		want bool
	}{
		{vex.Statement{Status: vex.NotAffected, Why: "x", Timestamp: day(1, 0)}, true},
		{vex.Statement{Status: vex.NotAffected, Timestamp: day(1, 0)}, false},
		{vex.Statement{Status: vex.NotAffected, Why: "x"}, false},
		{vex.Statement{Status: vex.Fixed, Timestamp: day(1, 0)}, true},
		{vex.Statement{Status: vex.Fixed}, false},
		{vex.Statement{Status: vex.Affected, Why: "x", Timestamp: day(1, 0)}, false},
		{vex.Statement{Status: vex.UnderInvestigation, Why: "x", Timestamp: day(1, 0)}, false},
		{vex.Statement{Why: "x", Timestamp: day(1, 0)}, false},
	} {
		if got := tt.s.Excuses(); got != tt.want {
			t.Errorf("%+v: %v", tt.s, got)
		}
	}
}

func TestProductsThatAreTheImage(t *testing.T) {
	t.Parallel()
	image := vex.Image{Digests: []string{abab}, Repository: "team-a/app", Tag: "v1", Architecture: "amd64"}
	digest, other := strings.Replace(abab, ":", "%3A", 1), "sha256%3A"+strings.Repeat("cd", 32)
	sum := strings.TrimPrefix(abab, "sha256:")
	for _, tt := range []struct {
		name string
		p    vex.Product
		want bool
	}{
		{"nothing", vex.Product{}, false},
		{"the digest", vex.Product{Identifiers: []string{"pkg:oci/app@" + digest}}, true},
		{"the digest, whatever it is called", vex.Product{Identifiers: []string{"pkg:oci/other@" + digest + "?repository_url=golden.example/x/other"}}, true},
		{"another digest", vex.Product{Identifiers: []string{"pkg:oci/app@" + other + "?repository_url=registry.example/team-a/app"}}, false},
		{"the repository", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/team-a/app"}}, true},
		{"the repository without the name", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example:5000%2Fteam-a"}}, true},
		{"the repository with a scheme", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=https://localhost/team-a/app"}}, true},
		{"another repository", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/team-b/app"}}, false},
		{"a repository that ends like it", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/x/team-a/app"}}, false},
		{"a repository without a host", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=x/team-a/app"}}, false},
		{"the name alone", vex.Product{Identifiers: []string{"pkg:oci/app"}}, false},
		{"the tag", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/team-a/app&tag=v1"}}, true},
		{"another tag", vex.Product{Identifiers: []string{"pkg:oci/app?repository_url=registry.example/team-a/app&tag=v2"}}, false},
		{"the architecture", vex.Product{Identifiers: []string{"pkg:oci/app@" + digest + "?arch=amd64"}}, true},
		{"another architecture", vex.Product{Identifiers: []string{"pkg:oci/app@" + digest + "?arch=arm64"}}, false},
		{"a package", vex.Product{Identifiers: []string{"pkg:deb/debian/openssl@3.0.1"}}, false},
		{"the hash", vex.Product{Hashes: map[string]string{"SHA-256": strings.ToUpper(sum)}}, true},
		{"another hash", vex.Product{Hashes: map[string]string{"sha-256": strings.Repeat("cd", 32)}}, false},
		{"another kind of hash", vex.Product{Hashes: map[string]string{"sha-512": sum}}, false},
		{"a hash that contradicts", vex.Product{Identifiers: []string{"pkg:oci/app@" + digest}, Hashes: map[string]string{"sha-256": strings.Repeat("cd", 32)}}, false},
		{"an identifier that contradicts", vex.Product{Identifiers: []string{"pkg:oci/app@" + other}, Hashes: map[string]string{"sha-256": sum}}, false},
		{"a reference", vex.Product{Identifiers: []string{"registry.example/team-a/app@" + abab}}, true},
		{"a digest", vex.Product{Identifiers: []string{abab}}, true},
		{"a reference to another", vex.Product{Identifiers: []string{"registry.example/team-a/app@sha256:" + strings.Repeat("cd", 32)}}, false},
		{"an address beside the digest", vex.Product{Identifiers: []string{"https://acme.example/app", "pkg:oci/app@" + digest}}, true},
		{"no package URL", vex.Product{Identifiers: []string{"pkg:"}}, false},
	} {
		if got := tt.p.Is(image); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestPackagesThatAreCovered(t *testing.T) {
	t.Parallel()
	openssl := vex.Package{Type: "deb", Name: "openssl", Version: "3.0.1"}
	for _, tt := range []struct {
		name  string
		purls []string
		found vex.Package
		want  bool
	}{
		{"every package", nil, openssl, true},
		{"every package, also an unknown one", nil, vex.Package{}, true},
		{"the version", []string{"pkg:deb/debian/openssl@3.0.1?arch=amd64"}, openssl, true},
		{"every version", []string{"pkg:deb/debian/openssl"}, openssl, true},
		{"another version", []string{"pkg:deb/debian/openssl@3.0.2"}, openssl, false},
		{"another package", []string{"pkg:deb/debian/curl@3.0.1"}, openssl, false},
		{"another type", []string{"pkg:rpm/redhat/openssl@3.0.1"}, openssl, false},
		{"one of two", []string{"pkg:deb/debian/curl", "pkg:deb/debian/openssl"}, openssl, true},
		{"no package URL", []string{"openssl"}, openssl, false},
		{"no name at all", []string{""}, openssl, false},
		{"an unknown package", []string{"pkg:deb/debian/openssl@3.0.1"}, vex.Package{}, false},
		{"a name of several parts", []string{"pkg:golang/golang.org/x/crypto@v0.1.0"}, vex.Package{Type: "golang", Name: "golang.org/x/crypto", Version: "v0.1.0"}, true},
		{"a scope", []string{"pkg:npm/%40acme/lib@1.0.0"}, vex.Package{Type: "npm", Name: "@acme/lib", Version: "1.0.0"}, true},
		{"another scope", []string{"pkg:npm/%40other/lib@1.0.0"}, vex.Package{Type: "npm", Name: "@acme/lib", Version: "1.0.0"}, false},
		{"a Maven artifact", []string{"pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"}, vex.Package{Type: "maven", Name: "log4j-core", Version: "2.14.1"}, true},
	} {
		p := vex.Product{}
		for _, purl := range tt.purls {
			p.Packages = append(p.Packages, []string{purl})
		}
		if got := p.Covers(tt.found); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func FuzzOpenVEX(f *testing.F) { fuzz(f, vex.PredicateOpenVEX, "openvex.json", "openvex-v001.json") }

func FuzzCycloneDX(f *testing.F) { fuzz(f, vex.PredicateCycloneDX, "cyclonedx.json") }

// fuzz checks that whatever a document says, it is an error, or each of its
// statements has what a statement has to have.
func fuzz(f *testing.F, predicateType string, names ...string) {
	f.Helper()
	for _, name := range names {
		f.Add(sample(f, name))
	}
	image := vex.Image{Digests: []string{abab}, Repository: "team-a/app", Tag: "v1", Architecture: "amd64"}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := vex.Parse(predicateType, []byte(text))
		if err != nil {
			return
		}
		for _, s := range d.Statements {
			if len(s.Vulnerabilities) == 0 || s.Status == "" || s.Inherits && len(s.Products) > 0 {
				t.Errorf("%+v", s)
			}
			if s.Excuses() && s.Status != vex.Fixed && s.Status != vex.NotAffected {
				t.Errorf("%s excuses", s.Status)
			}
			for _, p := range s.Products {
				if p.Is(image) && len(p.Identifiers)+len(p.Hashes) == 0 {
					t.Errorf("%+v is the image", p)
				}
				p.Covers(vex.Package{Type: "deb", Name: "openssl", Version: "1"})
			}
		}
	})
}
