package worker_test

import (
	"archive/tar"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// filesLayer is a layer with these files.
func filesLayer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	return tarLayer(t, func(w *tar.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			text := files[name]
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
				return err
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return nil
	})
}

const debianRelease = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n"

func licensesIn(s *policy.Scan) map[string][]string {
	found := map[string][]string{}
	for _, p := range s.Packages {
		found[strings.TrimSpace(p.Type+" "+p.Name+" "+p.Version)] = p.Licenses
	}
	return found
}

// What the packages of each ecosystem say of their licences is in the evidence.
func TestLicensesAreFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  map[string][]string
	}{
		{
			"Debian, npm and Python",
			map[string]string{
				"etc/os-release":                                                   debianRelease,
				"var/lib/dpkg/status":                                              "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7.88.1-10\nMaintainer: Debian\nDescription: sample\n\nPackage: mute\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nMaintainer: Debian\nDescription: sample\n\n",
				"usr/share/doc/curl/copyright":                                     "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: somebody\nLicense: curl\n\nFiles: lib/*\nCopyright: somebody\nLicense: ISC\n",
				"app/node_modules/left-pad/package.json":                           `{"name":"left-pad","version":"1.3.0","license":"(WTFPL OR MIT)"}`,
				"app/node_modules/bare/package.json":                               `{"name":"bare","license":"AGPL-3.0-or-later"}`,
				"usr/lib/python3/site-packages/requests-2.31.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\nLicense: Apache 2.0\n",
				"usr/lib/python3/site-packages/requests-2.31.0.dist-info/RECORD":   "",
			},
			map[string][]string{
				"deb curl 7.88.1-10": {"ISC", "curl"}, "deb mute 1": nil, "npm left-pad 1.3.0": {"(WTFPL OR MIT)"}, "npm bare": {"AGPL-3.0-or-later"},
				"pypi requests 2.31.0": {"Apache 2.0"},
			},
		},
		{
			"Alpine",
			map[string]string{
				"etc/os-release":       "PRETTY_NAME=\"Alpine Linux v3.20\"\nNAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\n",
				"lib/apk/db/installed": "P:busybox\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\no:busybox\n\nP:zlib\nV:1.3.1-r1\nA:x86_64\nL:Zlib AND MIT\no:zlib\n\n",
			},
			map[string][]string{"apk busybox 1.36.1-r29": {"GPL-2.0-only"}, "apk zlib 1.3.1-r1": {"Zlib AND MIT"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, problem, err := b.scan(t, s, b.push(t, withLayers(t, filesLayer(t, tt.files))))
			if err != nil || problem != nil {
				t.Fatalf("%+v, %v", problem, err)
			}
			if diff := cmp.Diff(tt.want, licensesIn(got)); diff != "" || !got.LicensesRead {
				t.Errorf("read %v (-want +got):\n%s", got.LicensesRead, diff)
			}
		})
	}
}

// What an image says of its licences is bounded, and what is cut is no licence.
func TestLicensesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := "MIT" + strings.Repeat(" OR MIT", 1000)
	var many strings.Builder
	many.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
	for i := range 300 {
		many.WriteString("\nFiles: a\nCopyright: a\nLicense: acme-" + strings.Repeat("x", i+1) + "\n")
	}
	got, _, err := b.scan(t, b.scanner(t, nil), b.push(t, withLayers(t, filesLayer(t, map[string]string{
		"etc/os-release":                     debianRelease,
		"var/lib/dpkg/status":                "Package: many\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nMaintainer: Debian\nDescription: sample\n\n",
		"usr/share/doc/many/copyright":       many.String(),
		"app/node_modules/long/package.json": `{"name":"long","version":"1.0.0","license":"` + long + `"}`,
	}))))
	if err != nil {
		t.Fatal(err)
	}
	licenses := licensesIn(got)
	if l := licenses["deb many 1"]; len(l) != 101 || l[100] != "… and 200 more" {
		t.Errorf("%d licences, the last %q", len(l), l[len(l)-1])
	}
	if l := licenses["npm long 1.0.0"]; len(l) != 1 || len(l[0]) > 1010 || !strings.HasSuffix(l[0], "…") {
		t.Errorf("%.2000q", l)
	}
}

// Licences come from SBOMs, too, and what has no version is listed.
func TestLicensesOfAnSBOM(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	for name, document := range map[string]string{
		"CycloneDX": bom(debian12, expat("1"),
			`{"bom-ref":"2","type":"library","name":"a","version":"1.0.0","purl":"pkg:npm/a@1.0.0","licenses":[{"expression":"MIT OR AGPL-3.0-only"}]}`,
			`{"bom-ref":"3","type":"library","name":"b","purl":"pkg:npm/b","licenses":[{"license":{"id":"AGPL-3.0-only"}},{"license":{"name":"Acme License"}}]}`),
		"SPDX": `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://x.example/1","dataLicense":"CC0-1.0",
			"creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: syft-1.0.0"]},"packages":[
			{"SPDXID":"SPDXRef-1","name":"expat","versionInfo":"2.5.0-1","downloadLocation":"NOASSERTION","licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION",
			 "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/expat@2.5.0-1?distro=debian-12"}]},
			{"SPDXID":"SPDXRef-2","name":"a","versionInfo":"1.0.0","downloadLocation":"NOASSERTION","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT OR AGPL-3.0-only",
			 "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/a@1.0.0"}]},
			{"SPDXID":"SPDXRef-3","name":"b","downloadLocation":"NOASSERTION","licenseConcluded":"AGPL-3.0-only","licenseDeclared":"LicenseRef-Acme-License",
			 "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/b"}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, problem, err := s.ScanSBOM(t.Context(), newSBOM(t, document))
			if err != nil || problem != nil {
				t.Fatalf("%+v, %v", problem, err)
			}
			licenses := licensesIn(got)
			if l := licenses["npm a 1.0.0"]; !got.LicensesRead || !slices.Equal(l, []string{"MIT OR AGPL-3.0-only"}) {
				t.Errorf("%v: %+v", got.LicensesRead, licenses)
			}
			if l := licenses["npm b"]; !slices.Contains(l, "AGPL-3.0-only") || len(l) != 2 {
				t.Errorf("%+v", licenses)
			}
			if l, there := licenses["deb expat 2.5.0-1"]; !there || len(l) > 0 {
				t.Errorf("%+v", licenses)
			}
		})
	}
}
