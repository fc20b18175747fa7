package sampledb

// advisory is one published security advisory.
type advisory struct {
	id        string
	cve       string // when the id is another database's
	provider  string
	ecosystem string // as Grype names it
	release   string // of the distribution; empty: a language's package
	pkg       string // the source package of a distribution
	fixed     string // the first version without the vulnerability; empty: none
	severity  string
	exploited bool // in CISA's catalogue of known exploited vulnerabilities
	date      string
}

const (
	deb = "deb"
	apk = "apk"
)

// advisories are real, and few. Severities are those of the National
// Vulnerability Database or of GitHub; fixed versions those of the Debian
// security tracker, Alpine's secdb and GitHub's advisory database.
//
//nolint:gochecknoglobals // a table
var advisories = []advisory{
	{id: "CVE-2023-38545", provider: "debian", ecosystem: deb, release: "12", pkg: "curl", fixed: "7.88.1-10+deb12u4", severity: "critical", date: "2023-10-11"},
	{id: "CVE-2023-4911", provider: "debian", ecosystem: deb, release: "12", pkg: "glibc", fixed: "2.36-9+deb12u3", severity: "high", exploited: true, date: "2023-10-03"},
	{id: "CVE-2023-6246", provider: "debian", ecosystem: deb, release: "12", pkg: "glibc", fixed: "2.36-9+deb12u4", severity: "high", date: "2024-01-30"},
	{id: "CVE-2023-5363", provider: "debian", ecosystem: deb, release: "12", pkg: "openssl", fixed: "3.0.11-1~deb12u2", severity: "high", date: "2023-10-24"},
	{id: "CVE-2023-44487", provider: "debian", ecosystem: deb, release: "12", pkg: "nghttp2", fixed: "1.52.0-1+deb12u1", severity: "high", exploited: true, date: "2023-12-01"},
	{id: "CVE-2023-4863", provider: "debian", ecosystem: deb, release: "12", pkg: "libwebp", fixed: "1.2.4-0.2+deb12u1", severity: "high", exploited: true, date: "2023-09-13"},
	{id: "CVE-2024-37371", provider: "debian", ecosystem: deb, release: "12", pkg: "krb5", fixed: "1.20.1-2+deb12u2", severity: "critical", date: "2024-07-05"},
	{id: "CVE-2024-45491", provider: "debian", ecosystem: deb, release: "12", pkg: "expat", fixed: "2.5.0-1+deb12u1", severity: "critical", date: "2024-09-11"},
	{id: "CVE-2024-45492", provider: "debian", ecosystem: deb, release: "12", pkg: "expat", fixed: "2.5.0-1+deb12u1", severity: "critical", date: "2024-09-11"},
	{id: "CVE-2024-6387", provider: "debian", ecosystem: deb, release: "12", pkg: "openssh", fixed: "1:9.2p1-2+deb12u3", severity: "high", date: "2024-07-01"},
	{id: "CVE-2023-45853", provider: "debian", ecosystem: deb, release: "12", pkg: "zlib", severity: "critical", date: "2023-10-14"},
	{id: "CVE-2005-2541", provider: "debian", ecosystem: deb, release: "12", pkg: "tar", severity: "high", date: "2005-08-10"},
	{id: "CVE-2024-45491", provider: "alpine", ecosystem: apk, release: "3.22", pkg: "expat", fixed: "2.6.3-r0", severity: "critical", date: "2024-09-05"},
	{id: "CVE-2024-45492", provider: "alpine", ecosystem: apk, release: "3.22", pkg: "expat", fixed: "2.6.3-r0", severity: "critical", date: "2024-09-05"},
	{id: "GHSA-jfh8-c2jp-5v3r", cve: "CVE-2021-44228", provider: "github", ecosystem: "java-archive", pkg: "org.apache.logging.log4j:log4j-core", fixed: "2.15.0", severity: "critical", exploited: true, date: "2021-12-10"},
	{id: "GHSA-xvch-5gv4-984h", cve: "CVE-2021-44906", provider: "github", ecosystem: "npm", pkg: "minimist", fixed: "1.2.6", severity: "critical", date: "2022-03-18"},
	{id: "GHSA-jf85-cpcp-j695", cve: "CVE-2019-10744", provider: "github", ecosystem: "npm", pkg: "lodash", fixed: "4.17.12", severity: "critical", date: "2019-07-10"},
	{id: "GHSA-8q59-q68h-6hv4", cve: "CVE-2020-14343", provider: "github", ecosystem: "python", pkg: "pyyaml", fixed: "5.4", severity: "critical", date: "2021-03-25"},
	{id: "GHSA-v778-237x-gjrc", cve: "CVE-2024-45337", provider: "github", ecosystem: "go-module", pkg: "golang.org/x/crypto", fixed: "0.31.0", severity: "critical", date: "2024-12-11"},
}
