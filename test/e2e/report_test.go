package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

const reportPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: reported}
spec:
  from: staging
  match: {repositories: ["**"]}
  authorities: [{name: ci, anyOf: [{keyFile: "{{KEY}}"}]}]
  vulnerabilities:
    report: {from: [attestation], signedBy: [ci]}
    deny: [{severity: critical, fixed: true}]
    vex: {signedBy: [ci]}
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`

// What cosign attests about each platform of an index decides, and wakes the push
// of the index. All of it comes along.
func TestReportsAboutThePlatformsOfAnIndex(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, strings.Replace(reportPolicy, "  authorities", "  wait: 30m\n  authorities", 1))
	now := time.Now().UTC().Format(time.RFC3339)
	s.Write(t, "report.json", fmt.Sprintf(`{"scanner":{"uri":"grype","db":{"lastUpdate":%q},"result":{"matches":[],"source":{"type":"image"},"descriptor":{"name":"grype"}}},`+
		`"metadata":{"scanStartedOn":%q,"scanFinishedOn":%q}}`, now, now, now))
	for form, flags := range harness.Forms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			repository := "team-a/platforms-" + form
			var index v1.ImageIndex = empty.Index
			var platforms []string
			for _, architecture := range []string{"amd64", "arm64"} {
				img, err := random.Image(1024, 1)
				if err != nil {
					t.Fatal(err)
				}
				if img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: architecture, RootFS: rootFS(t, img)}); err != nil {
					t.Fatal(err)
				}
				digest, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				platforms = append(platforms, digest.String())
				index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
			}
			ref, err := name.ParseReference(s.Staging+"/"+repository+":v1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.WriteIndex(ref, index, remote.WithContext(t.Context())); err != nil {
				t.Fatal(err)
			}
			digest, err := index.Digest()
			if err != nil {
				t.Fatal(err)
			}
			s.Await(t, repository, digest, harness.Verdict("pending"))
			for _, platform := range platforms {
				args := []string{"attest", "--type", "https://cosign.sigstore.dev/attestation/vuln/v1", "--predicate", s.Path("report.json"), "--key", s.Keys.Private, "--tlog-upload=false", "--yes", "--allow-http-registry"}
				harness.Cosign(t, append(append(args, flags...), s.Staging+"/"+repository+"@"+platform)...)
			}
			s.Await(t, repository, digest, harness.Promoted)
			attested := func(registry string) int {
				t.Helper()
				found, err := attestationsOf(t, registry+"/"+repository+"@"+platforms[1])
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			if staging, golden := attested(s.Staging), attested(s.Golden); staging == 0 || golden < staging {
				t.Errorf("golden has %d attestations about a platform, staging %d", golden, staging)
			}
		})
	}
}

// rootFS is that of an image.
func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// attestationsOf counts what cosign left about a digest, in either form.
func attestationsOf(t *testing.T, reference string) (int, error) {
	t.Helper()
	ref, err := name.NewDigest(reference, name.Insecure)
	if err != nil {
		return 0, err
	}
	list, err := remote.Referrers(ref, remote.WithContext(t.Context()))
	if err != nil {
		return 0, err
	}
	manifest, err := list.IndexManifest()
	if err != nil {
		return 0, err
	}
	found := len(manifest.Manifests)
	tag := ref.Context().Tag(strings.Replace(ref.DigestStr(), ":", "-", 1) + ".att")
	if image, err := remote.Image(tag, remote.WithContext(t.Context())); err == nil {
		layers, err := image.Layers()
		if err != nil {
			return 0, err
		}
		found += len(layers)
	}
	return found, nil
}

// What cosign attests of a scan, and of what it found, decides.
func TestReportsAndVEXAsCosignAttestsThem(t *testing.T) {
	t.Parallel()
	registry := harness.StartRegistry(t, "", "")
	s := harness.NewServiceFor(t, registry, "127.0.0.1:1", reportPolicy)
	for form, flags := range harness.Forms() {
		name := registry + "/team-a/" + form + ":v1"
		digest := harness.Push(t, name).String()
		attest := func(predicateType, predicate string) {
			t.Helper()
			s.Write(t, "predicate.json", predicate)
			args := []string{"attest", "--type", predicateType, "--predicate", s.Path("predicate.json"), "--key", s.Keys.Private, "--tlog-upload=false", "--yes", "--allow-http-registry"}
			harness.Cosign(t, append(append(args, flags...), registry+"/team-a/"+form+"@"+digest)...)
		}
		says := func(want ...string) {
			t.Helper()
			answer := s.Judge(t, name+"@"+digest)
			for _, text := range want {
				if !strings.Contains(answer, text) {
					t.Fatalf("%s form: no %s in %s", form, text, answer)
				}
			}
		}
		now := time.Now().UTC().Format(time.RFC3339)
		report := fmt.Sprintf(`{"scanner":{"uri":"grype","db":{"lastUpdate":%q},"result":{"matches":[{"vulnerability":{"id":"CVE-2026-1","severity":"Critical",`+
			`"fix":{"versions":["2"],"state":"fixed"}},"artifact":{"name":"curl","version":"1","purl":"pkg:deb/debian/curl@1"}}],"source":{"type":"image"},`+
			`"descriptor":{"name":"grype"}}},"metadata":{"scanStartedOn":%q,"scanFinishedOn":%q}}`, now, now, now)

		says(`"verdict":"pending"`, "no report yet")
		attest("vuln", report) // cosign drops the database's age
		says(`"verdict":"rejected"`, "does not say how old its vulnerability database was")
		attest("https://cosign.sigstore.dev/attestation/vuln/v1", report)
		says(`"verdict":"rejected"`, "CVE-2026-1 (critical) in curl 1")
		attest("openvex", fmt.Sprintf(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex","author":"sec","timestamp":%q,"version":1,"statements":[`+
			`{"vulnerability":{"name":"CVE-2026-1"},"products":[{"@id":"pkg:oci/%s@%s"}],"status":"not_affected","justification":"component_not_present"}]}`,
			now, form, strings.Replace(digest, ":", "%3A", 1)))
		says(`"verdict":"promoted"`, "excused by the VEX statement")
	}
}
