package worker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/format/cyclonedxjson"
	"github.com/anchore/syft/syft/format/spdxjson"
	"github.com/anchore/syft/syft/sbom"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// newSBOM is the document as an attestation brings it.
func newSBOM(t *testing.T, document string) policy.SBOM {
	t.Helper()
	s, ok := policy.NewSBOM(policy.Attestation{Manifest: "sha256:" + strings.Repeat("a", 64), Predicate: json.RawMessage(document)})
	if !ok {
		t.Fatalf("no JSON object: %.100s", document)
	}
	return s
}

// vulnerable has a package of a distribution with two advisories, known by its
// source package alone.
func vulnerable() sampleimage.Spec {
	return sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{
		{Name: "libexpat1", Source: "expat", Version: "2.5.0-1"}, {Name: "libc6", Source: "glibc", Version: "2.36-9+deb12u9"},
	}}
}

// catalogued is the SBOM that Syft makes of an image.
func catalogued(t *testing.T, spec sampleimage.Spec) *sbom.SBOM {
	t.Helper()
	img, err := sampleimage.Image(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	_, _, found, err := pkg.Provide(dir, pkg.ProviderConfig{SyftProviderConfig: pkg.SyftProviderConfig{
		SBOMOptions: syft.DefaultCreateSBOMConfig(), Sources: []string{"oci-dir"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func encode(t *testing.T, s *sbom.SBOM, encoderOf func(version string) (sbom.FormatEncoder, error), version string) string {
	t.Helper()
	encoder, err := encoderOf(version)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := encoder.Encode(&text, *s); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func cycloneDX(version string) (sbom.FormatEncoder, error) {
	cfg := cyclonedxjson.DefaultEncoderConfig()
	cfg.Version = version
	return cyclonedxjson.NewFormatEncoderWithConfig(cfg)
}

func spdx(version string) (sbom.FormatEncoder, error) {
	cfg := spdxjson.DefaultEncoderConfig()
	cfg.Version = version
	return spdxjson.NewFormatEncoderWithConfig(cfg)
}

// An SBOM of an image has what its layers have: the packages, the operating
// system and the vulnerabilities.
func TestAnSBOMStandsInForTheLayers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	layers, _, err := b.scan(t, s, b.pushSpec(t, vulnerable()))
	if err != nil {
		t.Fatal(err)
	}
	if layers.Catalogue != (policy.Catalogue{From: policy.CatalogueLayers}) || len(layers.Vulnerabilities) != 2 {
		t.Fatalf("%+v", layers)
	}
	found := catalogued(t, vulnerable())
	for _, tt := range []struct {
		format, version string
		encoder         func(string) (sbom.FormatEncoder, error)
	}{
		{"cyclonedx-json", "1.4", cycloneDX},
		{"cyclonedx-json", "1.5", cycloneDX},
		{"cyclonedx-json", "1.6", cycloneDX},
		{"spdx-json", "2.2", spdx},
		{"spdx-json", "2.3", spdx},
	} {
		t.Run(tt.format+" "+tt.version, func(t *testing.T) {
			document := newSBOM(t, encode(t, found, tt.encoder, tt.version))
			got, problem, err := s.ScanSBOM(t.Context(), document)
			if err != nil || problem != nil {
				t.Fatalf("%+v, %v", problem, err)
			}
			want := policy.Catalogue{From: policy.CatalogueSBOM, Attestation: document.Attestation, Document: document.Digest, Format: tt.format + " " + tt.version}
			if got.Catalogue != want {
				t.Errorf("catalogue %+v, want %+v", got.Catalogue, want)
			}
			if diff := cmp.Diff(layers.Vulnerabilities, got.Vulnerabilities); diff != "" {
				t.Errorf("vulnerabilities (-layers +SBOM):\n%s", diff)
			}
			if diff := cmp.Diff(layers.Packages, got.Packages); diff != "" {
				t.Errorf("packages (-layers +SBOM):\n%s", diff)
			}
			if got.OS == nil || got.OS.ID != "debian" || got.OS.Version != "12" || got.OS.EndOfLife == nil || got.Database == nil || got.Scanner != layers.Scanner {
				t.Errorf("%+v", got)
			}
		})
	}
	if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// component is one of CycloneDX.
func component(ref, kind, name, version, purl string) string {
	return fmt.Sprintf(`{"bom-ref":%q,"type":%q,"name":%q,"version":%q,"purl":%q}`, ref, kind, name, version, purl)
}

func bom(components ...string) string {
	return `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":[{"name":"syft","version":"0.0.0"}]},"components":[` + strings.Join(components, ",") + `]}`
}

const debian12 = `{"bom-ref":"os","type":"operating-system","name":"debian","version":"12"}`

func expat(ref string) string {
	return component(ref, "library", "expat", "2.5.0-1", "pkg:deb/debian/expat@2.5.0-1")
}

// Whatever would have vulnerabilities overlooked is an error, which leaves the
// verdict open; it is never a scan that found nothing.
func TestAnSBOMThatHidesSomethingIsNoCleanScan(t *testing.T) {
	t.Parallel()
	s := newBench(t).scanner(t, nil)
	lodash := component("l", "library", "lodash", "4.17.11", "pkg:npm/lodash@4.17.11")
	for _, tt := range []struct{ name, document, want string }{
		{"no SBOM at all", `{}`, "none that is read"},
		{"a version that is not read", strings.Replace(bom(lodash), "1.5", "1.3", 1), "none that is read"},
		{"a version of the future", strings.Replace(bom(lodash), "1.5", "9.9", 1), "none that is read"},
		{
			"Syft's own format, although it says CycloneDX",
			strings.Replace(bom(lodash), "{", `{"schema":{"version":"16.0.0","url":"https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-16.0.0.json"},`, 1),
			"none that is read",
		},
		{"no components", `{"bomFormat":"CycloneDX","specVersion":"1.5"}`, "no package"},
		{"components that are no list", `{"bomFormat":"CycloneDX","specVersion":"1.5","components":7}`, "decode"},
		{"no package", bom(), "no package"},
		{"only an operating system", bom(debian12), "no package"},
		{"only what cannot be looked up", bom(component("x", "library", "mine", "1", "")), "no package"},
		{"a package without a version", bom(component("l", "library", "lodash", "", "pkg:npm/lodash")), "no package"},
		{"no SPDX package", `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[]}`, "no package"},
		{"system packages and no operating system", bom(expat("e")), "no operating system"},
		{"a distribution nobody knows", bom(strings.Replace(debian12, `"debian"`, `"hannah-montana"`, 1), expat("e")), "no operating system"},
		{
			"a package of a distribution nobody knows",
			bom(debian12, component("e", "library", "expat", "2.5.0-1", "pkg:deb/debian/expat@2.5.0-1?distro=hannah-1")), `"hannah"`,
		},
		{
			"a package of another release",
			bom(debian12, component("e", "library", "expat", "2.5.0-1", "pkg:deb/debian/expat@2.5.0-1?distro=debian-99")), "in an image of debian 12",
		},
		{"no release", bom(strings.Replace(debian12, `"12"`, `""`, 1), expat("e")), "not named"},
		{"an operating system without a name", bom(strings.Replace(debian12, `"debian"`, `""`, 1), lodash), "without a name"},
		{
			"a system package without a version",
			bom(debian12, component("e", "library", "expat", "", "pkg:deb/debian/expat")), "without a version",
		},
		{"a package hidden behind another's identifier", bom(debian12, component("x", "library", "zlib1g", "1", "pkg:deb/debian/zlib1g@1"), expat("x")), "identifier"},
		{"a package in a list of files", bom(lodash, component("e", "file", "minimist", "1.0.0", "pkg:npm/minimist@1.0.0")), "minimist"},
		{"a package URL that is none", bom(lodash, component("e", "library", "minimist", "1.0.0", "minimist")), `package URL "minimist"`},
		{
			"two lists", strings.Replace(bom(lodash), `"components"`, `"components":[],"components"`, 1), "components",
		},
		{"nested too deep", bom(strings.Repeat(`{"type":"library","name":"x","components":[`, 40) + strings.Repeat("]}", 40)), "nested deeper"},
		{"too large", bom(component("l", "library", strings.Repeat("x", scan.MaxSBOM), "1", "pkg:npm/x@1")), "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, problem, err := s.ScanSBOM(t.Context(), newSBOM(t, tt.document))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q; scan %+v, problem %+v", err, tt.want, got, problem)
			}
			if got != nil {
				t.Errorf("scan %+v", got)
			}
		})
	}
}

// Other tools than Syft write SBOMs, too.
func TestAnSBOMFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newBench(t).scanner(t, nil)
	const relation = `,"relationships":[{"spdxElementId":"SPDXRef-a","relationshipType":"GENERATED_FROM","relatedSpdxElement":"SPDXRef-b"}]`
	built := func() string {
		one := func(id, purl string) string {
			return fmt.Sprintf(`{"SPDXID":%q,"name":"lodash","versionInfo":"4.17.11","downloadLocation":"NOASSERTION","externalRefs":[`+
				`{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":%q}]}`, id, purl)
		}
		return `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"x","packages":[` +
			one("SPDXRef-a", "pkg:npm/lodash@4.17.11") + "," + one("SPDXRef-b", "pkg:github/lodash/lodash@4.17.11") + "]" + relation + "}"
	}
	for _, tt := range []struct{ name, document, want, os string }{
		{"a system package in a nested list", bom(debian12, `{"type":"container","name":"app","components":[`+expat("e")+`]}`), "CVE-2024-45491 CVE-2024-45492", "debian 12"},
		{
			"the operating system named by the packages alone",
			bom(component("e", "library", "expat", "2.5.0-1", "pkg:deb/debian/expat@2.5.0-1?distro=debian-12")), "CVE-2024-45491 CVE-2024-45492", "debian 12",
		},
		{"no operating system and none needed", bom(component("l", "library", "minimist", "1.2.5", "pkg:npm/minimist@1.2.5")), "GHSA-xvch-5gv4-984h", ""},
		{
			"the application itself, which nobody knows",
			bom(component("app", "application", "app", "", ""), component("l", "library", "minimist", "1.2.5", "pkg:npm/minimist@1.2.5")), "GHSA-xvch-5gv4-984h", "",
		},
		{"what SPDX says a package was built from", built(), "GHSA-jf85-cpcp-j695", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, problem, err := s.ScanSBOM(t.Context(), newSBOM(t, tt.document))
			if err != nil || problem != nil {
				t.Fatalf("%+v, %v", problem, err)
			}
			var ids []string
			for _, v := range got.Vulnerabilities {
				ids = append(ids, v.ID)
			}
			system := ""
			if got.OS != nil {
				system = got.OS.ID + " " + got.OS.Version
			}
			if strings.Join(ids, " ") != tt.want || system != tt.os {
				t.Errorf("found %v on %q, want %q on %q", ids, system, tt.want, tt.os)
			}
			if len(got.Packages) != 1 {
				t.Errorf("packages %+v, want the one that can be looked up", got.Packages)
			}
			if strings.Contains(got.Scanner, "0.0.0") {
				t.Errorf("the scanner is %q, which is what the document claims", got.Scanner)
			}
		})
	}
}

// What was matched is remembered by document and database; each attestation
// of the document is named all the same.
func TestAnSBOMIsMatchedOncePerDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	document := newSBOM(t, bom(debian12, expat("e")))
	again := document
	again.Attestation = "sha256:" + strings.Repeat("b", 64)
	var scans []*policy.Scan
	for _, d := range []policy.SBOM{document, again} {
		got, problem, err := s.ScanSBOM(t.Context(), d)
		if err != nil || problem != nil {
			t.Fatalf("%+v, %v", problem, err)
		}
		if got.Catalogue.Attestation != d.Attestation {
			t.Errorf("attestation %s, want %s", got.Catalogue.Attestation, d.Attestation)
		}
		scans = append(scans, got)
	}
	if scans[0].Catalogue.Attestation != document.Attestation {
		t.Error("the second attestation is named in the first one's scan")
	}
	if &scans[0].Packages[0] != &scans[1].Packages[0] {
		t.Error("the same document was matched twice")
	}
	if err := os.RemoveAll(b.database); err != nil {
		t.Fatal(err)
	}
	got, problem, err := s.ScanSBOM(t.Context(), document)
	if err != nil || problem == nil || got.Database != nil || len(got.Vulnerabilities) > 0 {
		t.Errorf("without a database: %+v, %+v, %v", got, problem, err)
	}
}
