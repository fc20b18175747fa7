// Package bench_test compares the gatekeeper with what people write without
// it: a script around cosign, a scanner and crane. Everything runs in one run
// on one machine, so that only the ratios mean something.
package bench_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

const (
	craneModule = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
	grypeModule = "github.com/anchore/grype/cmd/grype@v0.120.1"
)

const policyText = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: bench}
spec:
  from: staging
  match: {repositories: ["**"]}
  wait: 30m
  signatures:
    - name: ci
      anyOf: [{keyFile: "{{KEY}}"}]
%s  promote:
    to: golden
    repository: "{{ .Repository }}"
    tags: ["{{ .Tag }}"]
`

// withScan asks for what the script's scanner is asked.
const withScan = `  vulnerabilities:
    deny: [{severity: critical, fixed: true}]
`

// stack is the gatekeeper between two registries, with a database.
func stack(b *testing.B, rules string) *harness.Stack {
	b.Helper()
	s := harness.NewStack(b, fmt.Sprintf(policyText, rules))
	if rules == "" {
		return s
	}
	file := database(b)
	run(b, nil, harness.Gatekeeper(b), "db", "import", "--config", s.Path("gatekeeper.yaml"), file)
	return s
}

// database writes a small vulnerability database with Grype's own writer.
func database(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	w, err := v6.NewWriter(v6.Config{DBDirPath: dir})
	if err != nil {
		b.Fatal(err)
	}
	published := time.Date(2023, 10, 11, 0, 0, 0, 0, time.UTC)
	v := &v6.VulnerabilityHandle{
		Name: "CVE-2023-38545", Status: v6.VulnerabilityActive, PublishedDate: &published, ProviderID: "debian",
		Provider:  &v6.Provider{ID: "debian", Version: "1", Processor: "bench", DateCaptured: &published},
		BlobValue: &v6.VulnerabilityBlob{ID: "CVE-2023-38545", Severities: []v6.Severity{{Scheme: v6.SeveritySchemeCHMLN, Value: "critical", Rank: 1}}},
	}
	affected := &v6.AffectedPackageHandle{
		Vulnerability: v, OperatingSystem: &v6.OperatingSystem{Name: "debian", MajorVersion: "12"}, Package: &v6.Package{Ecosystem: "deb", Name: "curl"},
		BlobValue: &v6.PackageBlob{Ranges: []v6.Range{{
			Version: v6.Version{Type: "dpkg", Constraint: "< 7.88.1-10+deb12u4"}, Fix: &v6.Fix{Version: "7.88.1-10+deb12u4", State: v6.FixedStatus},
		}}},
	}
	err = errors.Join(w.AddVulnerabilities(v), w.AddAffectedPackages(affected), w.SetDBMetadata(), w.Close())
	if err == nil {
		err = v6.Hydrater()(dir)
	}
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(dir, v6.VulnerabilityDBFileName)
}

// image is a small Debian image, different each time.
func image(b *testing.B, content string) v1.Image {
	b.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct{ name, text string }{
		{"etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"},
		{"var/lib/dpkg/status", "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7.88.1-10+deb12u12\n\n"},
		{"srv/content", content + strings.Repeat("x", 200<<10)},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		b.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Created: v1.Time{Time: time.Now()}, RootFS: v1.RootFS{Type: "layers"}})
	if err == nil {
		img, err = mutate.AppendLayers(img, layer)
	}
	if err != nil {
		b.Fatal(err)
	}
	return img
}

// prepared is an image in staging, signed, without its tag.
type prepared struct {
	repository string
	image      v1.Image
	digest     string
}

// prepare pushes n signed images by digest.
func prepare(b *testing.B, s *harness.Stack, kind string, n int) []prepared {
	b.Helper()
	var all []prepared
	for i := range n {
		p := prepared{repository: fmt.Sprintf("bench/%s-%d", kind, i), image: image(b, fmt.Sprintf("%s %d %d", kind, i, time.Now().UnixNano()))}
		digest, err := p.image.Digest()
		if err != nil {
			b.Fatal(err)
		}
		p.digest = digest.String()
		ref, err := name.NewDigest(s.Staging+"/"+p.repository+"@"+p.digest, name.Insecure)
		if err != nil {
			b.Fatal(err)
		}
		if err := remote.Write(ref, p.image); err != nil {
			b.Fatal(err)
		}
		harness.Sign(b, "tag", s.Keys.Private, ref.String())
		all = append(all, p)
	}
	return all
}

// tag is the push that the registry reports.
func (p prepared) tag(b *testing.B, s *harness.Stack) {
	b.Helper()
	ref, err := name.NewTag(s.Staging+"/"+p.repository+":v1", name.Insecure)
	if err == nil {
		err = remote.Tag(ref, p.image)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// awaitGolden waits until the golden tag is there.
func (p prepared) awaitGolden(b *testing.B, s *harness.Stack) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for harness.DigestOf(b, s.Golden+"/"+p.repository+":v1") != p.digest {
		select {
		case <-ctx.Done():
			b.Fatalf("%s does not become golden", p.repository)
		case <-tick.C:
		}
	}
}

// script does by hand what the gatekeeper does for one image.
func script(b *testing.B, scan bool) string {
	b.Helper()
	text := `set -eu
image="$1"
"$COSIGN" verify --key "$KEY" --insecure-ignore-tlog --allow-http-registry "$STAGING/$image:v1" >/dev/null 2>&1
`
	if scan {
		text += `"$GRYPE" -q --only-fixed --fail-on critical "registry:$STAGING/$image:v1" >/dev/null
`
	}
	text += `"$CRANE" copy --insecure "$STAGING/$image:v1" "$GOLDEN/script/$image:v1" >/dev/null 2>&1
sig="$("$CRANE" digest --insecure "$STAGING/$image:v1" | tr : -).sig"
"$CRANE" copy --insecure "$STAGING/$image:$sig" "$GOLDEN/script/$image:$sig" >/dev/null 2>&1
`
	path := filepath.Join(b.TempDir(), "promote.sh")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		b.Fatal(err)
	}
	return path
}

func scriptEnv(b *testing.B, s *harness.Stack, scan bool) []string {
	b.Helper()
	env := append(os.Environ(), "KEY="+s.Keys.Public, "STAGING="+s.Staging, "GOLDEN="+s.Golden,
		"COSIGN="+harness.Tool(b, harness.CosignModule), "CRANE="+harness.Tool(b, craneModule),
		"GRYPE_DB_CACHE_DIR="+s.Path("vulnerability-database"), "GRYPE_DB_AUTO_UPDATE=false", "GRYPE_DB_VALIDATE_AGE=false",
		"GRYPE_REGISTRY_INSECURE_USE_HTTP=true", "GRYPE_CHECK_FOR_APP_UPDATE=false")
	if scan {
		env = append(env, "GRYPE="+harness.Tool(b, grypeModule))
	}
	return env
}

func run(b *testing.B, env []string, program string, args ...string) {
	b.Helper()
	c := exec.CommandContext(b.Context(), program, args...)
	c.Env = env
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// requests counts the gatekeeper's requests to a registry so far.
func requests(b *testing.B, s *harness.Stack, registry string) float64 {
	b.Helper()
	status, body := harness.Get(b, s.Admin+"/metrics")
	if status != http.StatusOK {
		b.Fatalf("/metrics: %d", status)
	}
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^gatekeeper_registry_requests_total\{[^}]*registry="`+registry+`"\} (\S+)$`).FindAllSubmatch(body, -1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += v
	}
	return sum
}

// BenchmarkPushToGolden measures one small signed image at a time: from the
// end of the push to the golden tag, against the script on the same images.
func BenchmarkPushToGolden(b *testing.B) {
	for _, rules := range []struct {
		name, text string
		scan       bool
	}{{"verify and copy", "", false}, {"verify scan and copy", withScan, true}} {
		b.Run(rules.name, func(b *testing.B) {
			const n = 9
			s := stack(b, rules.text)
			images := prepare(b, s, "latency", n)
			before := map[string]float64{"staging": requests(b, s, "staging"), "golden": requests(b, s, "golden")}
			var ours, theirs []time.Duration
			for _, p := range images {
				start := time.Now()
				p.tag(b, s)
				p.awaitGolden(b, s)
				ours = append(ours, time.Since(start))
			}
			for registry, count := range before {
				b.ReportMetric((requests(b, s, registry)-count)/n, registry+"-requests/image")
			}
			env, path := scriptEnv(b, s, rules.scan), script(b, rules.scan)
			// The script has a place of its own in golden, so that it finds
			// nothing there, as the gatekeeper did.
			for _, p := range images {
				start := time.Now()
				run(b, env, "/bin/sh", path, p.repository)
				theirs = append(theirs, time.Since(start))
			}
			report(b, median(ours), median(theirs))
		})
	}
}

func report(b *testing.B, ours, theirs time.Duration) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours.Milliseconds()), "gatekeeper-ms")
	b.ReportMetric(float64(theirs.Milliseconds()), "script-ms")
	b.ReportMetric(float64(theirs)/float64(ours), "times-faster")
}

// BenchmarkSustainedPushes measures many signed images whose tags are pushed at
// once, against the script four at a time.
func BenchmarkSustainedPushes(b *testing.B) {
	for _, rules := range []struct {
		name, text string
		scan       bool
		n          int
	}{{"verify and copy", "", false, 50}, {"verify scan and copy", withScan, true, 20}} {
		b.Run(rules.name, func(b *testing.B) {
			s := stack(b, rules.text)
			images := prepare(b, s, "sustained", rules.n)
			start := time.Now()
			for _, p := range images {
				p.tag(b, s)
			}
			for _, p := range images {
				p.awaitGolden(b, s)
			}
			ours := time.Since(start)
			env, path := scriptEnv(b, s, rules.scan), script(b, rules.scan)
			start = time.Now()
			var names []string
			for _, p := range images {
				names = append(names, p.repository)
			}
			run(b, env, "/bin/sh", "-c", `printf '%s\n' `+strings.Join(names, " ")+` | xargs -P 4 -n 1 /bin/sh `+path)
			report(b, ours, time.Since(start))
			b.ReportMetric(float64(rules.n)/ours.Seconds(), "images/s")
		})
	}
}
