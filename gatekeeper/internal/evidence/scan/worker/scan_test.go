// The scanner is tested from here, the only package below it that links the
// libraries: the test binary is its own worker, as the product's is.
package worker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/database"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/sampledb"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == scan.WorkerArgument {
		status, _ := workerMain(os.Args, os.Stdin, os.Stdout)
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// bench is a registry with images, a database and a scanner.
type bench struct {
	host     string
	database string
	dir      string // where the scanner works
	source   *registry.Registries
}

type silent struct{}

func (silent) RegistryRequest(string, int)     {}
func (silent) BlobBytes(string, string, int64) {}

func newBench(t *testing.T) *bench {
	t.Helper()
	server := httptest.NewServer(ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	source, err := registry.New([]registry.Settings{{Name: "staging", URL: target}}, registry.Deps{Observer: silent{}, UserAgent: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{host: target.Host, database: t.TempDir(), dir: t.TempDir(), source: source}
	if err := sampledb.Write(b.database); err != nil {
		t.Fatal(err)
	}
	return b
}

// push uploads an image and returns its digest.
func (b *bench) push(t *testing.T, img v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(b.host+"/app:v1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func (b *bench) pushSpec(t *testing.T, s sampleimage.Spec) string {
	t.Helper()
	img, err := sampleimage.Image(s)
	if err != nil {
		t.Fatal(err)
	}
	return b.push(t, img)
}

func (b *bench) scanner(t *testing.T, change func(*scan.Options)) *scan.Scanner {
	t.Helper()
	o := scan.Options{Database: b.database, Dir: b.dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&o)
	}
	s, err := scan.New(b.source, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bench) scan(t *testing.T, s *scan.Scanner, digest string) (*policy.Scan, *policy.Problem, error) {
	t.Helper()
	found, problem, err := s.Scan(t.Context(), policy.Subject{Registry: "staging", Repository: "app", Digest: digest},
		policy.Platform{Digest: digest, Name: "linux/amd64"})
	if left, readErr := os.ReadDir(b.dir); readErr != nil || len(left) > 0 {
		t.Errorf("the scan left %v behind (%v)", left, readErr)
	}
	return found, problem, err
}

func TestScanFindsWhatTheAdvisoriesSay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	type found struct{ id, pkg, severity, state, fixed string }
	for _, tt := range []struct {
		name string
		spec sampleimage.Spec
		want []found
	}{
		{
			"a vulnerable Debian package, found by its source",
			sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "libcurl4", Source: "curl", Version: "7.88.1-10+deb12u1"}}},
			[]found{{"CVE-2023-38545", "libcurl4", "critical", "fixed", "7.88.1-10+deb12u4"}},
		},
		{
			"the fixed version",
			sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "libcurl4", Source: "curl", Version: "7.88.1-10+deb12u4"}}},
			nil,
		},
		{
			"an advisory without a fix",
			sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "tar", Version: "1.34+dfsg-1.2+deb12u1"}}},
			[]found{{"CVE-2005-2541", "tar", "high", "wont-fix", ""}},
		},
		{
			"an advisory that the scanner knows for a false alarm is on record",
			sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "zlib1g", Source: "zlib", Version: "1:1.2.13.dfsg-1"}}},
			[]found{{"CVE-2023-45853", "zlib1g", "critical", "suppressed", ""}},
		},
		{
			"two advisories of one Alpine package",
			sampleimage.Spec{OS: "alpine", Version: "3.22.1", Packages: []sampleimage.Package{{Name: "libexpat", Source: "expat", Version: "2.6.2-r0"}}},
			[]found{
				{"CVE-2024-45491", "libexpat", "critical", "fixed", "2.6.3-r0"},
				{"CVE-2024-45492", "libexpat", "critical", "fixed", "2.6.3-r0"},
			},
		},
		{
			"another release of the distribution",
			sampleimage.Spec{OS: "debian", Version: "11", Packages: []sampleimage.Package{{Name: "libcurl4", Source: "curl", Version: "7.74.0-1.3"}}},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, problem, err := b.scan(t, s, b.pushSpec(t, tt.spec))
			if err != nil || problem != nil {
				t.Fatalf("%v, %v", problem, err)
			}
			var all []found
			for _, v := range got.Vulnerabilities {
				if v.Suppressed != "" {
					v.FixState = "suppressed"
				}
				all = append(all, found{v.ID, v.Package, string(v.Severity), v.FixState, strings.Join(v.FixedIn, " ")})
			}
			if !slices.Equal(all, tt.want) {
				t.Errorf("got %+v, want %+v", all, tt.want)
			}
			if got.OS == nil || got.OS.ID != tt.spec.OS || got.OS.Version != tt.spec.Version || got.OS.EndOfLife == nil {
				t.Errorf("operating system %+v", got.OS)
			}
			if len(got.Packages) != 1 || got.Packages[0].Version != tt.spec.Packages[0].Version {
				t.Errorf("packages %+v", got.Packages)
			}
			if got.Database == nil || !got.Database.Sample || got.Database.Checksum == "" {
				t.Errorf("database %+v", got.Database)
			}
		})
	}
}

func TestScanNotesTheFixOfAPackage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got, _, err := b.scan(t, b.scanner(t, nil), b.pushSpec(t, sampleimage.Spec{
		OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "libc6", Source: "glibc", Version: "2.36-9"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if fix := got.Packages[0].FixedIn; fix != "2.36-9+deb12u4" {
		t.Errorf("fixed in %q, want the newest of two fixes", fix)
	}
	exploited := map[string]bool{}
	for _, v := range got.Vulnerabilities {
		exploited[v.ID] = v.KnownExploited
	}
	if !exploited["CVE-2023-4911"] || exploited["CVE-2023-6246"] {
		t.Errorf("known exploited: %v", exploited)
	}
}

// What cannot be matched is a problem beside the packages, never a clean scan.
func TestScanWithoutAnAnswerIsNoCleanScan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	debian := sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "curl", Version: "7.88.1-10"}}}
	for _, tt := range []struct {
		name, dir string
		damage    func(t *testing.T, dir string)
		spec      sampleimage.Spec
		problem   string
	}{
		{"no database", t.TempDir(), nil, debian, "there is no vulnerability database"},
		{"a database cut off", t.TempDir(), func(t *testing.T, dir string) {
			t.Helper()
			if err := sampledb.Write(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(scan.DatabaseFile(dir), 4096); err != nil {
				t.Fatal(err)
			}
		}, debian, "vulnerability database"},
		{
			"a distribution nobody knows", b.database, nil,
			sampleimage.Spec{OS: "hannah-montana", Version: "1", Packages: []sampleimage.Package{{Name: "curl", Version: "7"}}},
			"hannah-montana",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.damage != nil {
				tt.damage(t, tt.dir)
			}
			s := b.scanner(t, func(o *scan.Options) { o.Database = tt.dir })
			got, problem, err := b.scan(t, s, b.pushSpec(t, tt.spec))
			if err != nil {
				t.Fatal(err)
			}
			if problem == nil || problem.Part != policy.PartVulnerabilities || !strings.Contains(problem.Reason, tt.problem) {
				t.Errorf("problem %+v, want one with %q", problem, tt.problem)
			}
			if got == nil || got.Database != nil || len(got.Vulnerabilities) > 0 {
				t.Errorf("scan %+v", got)
			}
		})
	}
}

// tarLayer is a layer with the given files.
func tarLayer(t *testing.T, write func(w *tar.Writer) error) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := errors.Join(write(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func withLayers(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// zeros is a layer of n bytes that compresses to almost nothing.
func zeros(t *testing.T, n int64) v1.Layer {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			archive := tar.NewWriter(w)
			err := archive.WriteHeader(&tar.Header{Name: "bomb", Mode: 0o644, Size: n, Typeflag: tar.TypeReg})
			if err == nil {
				_, err = io.CopyN(archive, zero{}, n)
			}
			w.CloseWithError(errors.Join(err, archive.Close()))
		}()
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHostileLayersEndOnlyTheirOwnScan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	outside := filepath.Join(t.TempDir(), "outside")
	escape := tarLayer(t, func(w *tar.Writer) error {
		for _, h := range []*tar.Header{
			{Name: "../../../../../../../../" + outside, Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "link", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)},
			{Name: "link/outside", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "etc/os-release", Typeflag: tar.TypeSymlink, Linkname: "../../../../../../etc/os-release"},
		} {
			if err := w.WriteHeader(h); err != nil {
				return err
			}
		}
		return nil
	})
	lied := mutate.MediaType(withLayers(t, zeros(t, 1024)), "application/vnd.oci.image.manifest.v1+json")
	lied = wrongDiffID{lied}
	for _, tt := range []struct {
		name   string
		img    v1.Image
		change func(*scan.Options)
		want   string // in the error; empty: a scan without an operating system
	}{
		{"a layer that expands beyond the limit", withLayers(t, zeros(t, 64<<20)), func(o *scan.Options) { o.Limits.Unpacked = 1 << 20 }, "unpacked"},
		{"layers larger than are scanned", withLayers(t, zeros(t, 1<<20)), func(o *scan.Options) { o.MaxSize = 100 }, "scanner.maxSize"},
		{"a layer that is not what the configuration says", lied, nil, "the configuration says"},
		{"paths that lead outside", withLayers(t, escape), nil, ""},
		{"too little memory", withLayers(t, zeros(t, 1024)), func(o *scan.Options) { o.Limits.Memory = 300 << 20 }, "scanner.memory"},
		{"too little time", withLayers(t, zeros(t, 1024)), func(o *scan.Options) { o.Timeout = time.Nanosecond }, "scanner.timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := b.scan(t, b.scanner(t, tt.change), b.push(t, tt.img))
			switch {
			case tt.want == "":
				if err != nil || got.OS != nil {
					t.Errorf("%+v, %v", got, err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a layer wrote outside of its folder")
	}
}

// wrongDiffID is an image whose configuration names another layer.
type wrongDiffID struct{ v1.Image }

func (w wrongDiffID) RawConfigFile() ([]byte, error) {
	raw, err := w.Image.RawConfigFile()
	if err != nil {
		return nil, err
	}
	config, err := w.ConfigFile()
	if err != nil {
		return nil, err
	}
	right := config.RootFS.DiffIDs[0].Hex
	return bytes.ReplaceAll(raw, []byte(right), []byte(strings.Repeat("0", len(right)))), nil
}

func (w wrongDiffID) ConfigName() (v1.Hash, error) {
	raw, err := w.RawConfigFile()
	if err != nil {
		return v1.Hash{}, err
	}
	sum, _, err := v1.SHA256(bytes.NewReader(raw))
	return sum, err
}

func (w wrongDiffID) RawManifest() ([]byte, error) {
	raw, err := w.Image.RawManifest()
	if err != nil {
		return nil, err
	}
	before, err := w.Image.ConfigName()
	if err != nil {
		return nil, err
	}
	after, err := w.ConfigName()
	return bytes.ReplaceAll(raw, []byte(before.String()), []byte(after.String())), err
}

func (w wrongDiffID) Digest() (v1.Hash, error) {
	raw, err := w.RawManifest()
	if err != nil {
		return v1.Hash{}, err
	}
	sum, _, err := v1.SHA256(bytes.NewReader(raw))
	return sum, err
}

func TestAScanIsRepeatedOnlyForAnotherDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	counted := &counting{Source: b.source}
	s, err := scan.New(counted, scan.Options{Database: b.database, Dir: b.dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	digest := b.pushSpec(t, sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "curl", Version: "7.88.1-10"}}})
	for range 3 {
		if _, _, err := b.scan(t, s, digest); err != nil {
			t.Fatal(err)
		}
	}
	if counted.manifests != 1 {
		t.Errorf("scanned %d times, want once", counted.manifests)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(scan.DatabaseFile(b.database)), "import.json"), []byte(`{"digest":"xxh64:0","client_version":"v6.1.9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.scan(t, s, digest); err != nil {
		t.Fatal(err)
	}
	if counted.manifests != 2 {
		t.Errorf("scanned %d times after the database changed, want twice", counted.manifests)
	}
}

// What stood in the way of an answer is looked at again, not remembered.
func TestAProblemIsNotRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.scanner(t, nil)
	digest := b.pushSpec(t, sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "curl", Version: "7.88.1-10"}}})
	whole, err := os.ReadFile(scan.DatabaseFile(b.database))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{whole[:4096], whole} {
		if err := os.WriteFile(scan.DatabaseFile(b.database), content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, problem, err := b.scan(t, s, digest)
		if err != nil || (problem == nil) != (len(content) == len(whole)) {
			t.Errorf("%d bytes of database: %+v, %v", len(content), problem, err)
		}
	}
}

type counting struct {
	scan.Source
	manifests int
}

func (c *counting) Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error) {
	c.manifests++
	return c.Source.Manifest(ctx, r, digest)
}

func TestAnImageThatIsGoneIsNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, _, err := b.scan(t, b.scanner(t, nil), "sha256:"+strings.Repeat("0", 64))
	if !errors.Is(err, gatekeeper.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestTheDatabaseIsImportedAndDescribed(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	if _, err := database.Describe(to); !errors.Is(err, database.ErrAbsent) {
		t.Fatalf("an empty folder: %v", err)
	}
	if err := sampledb.Write(from); err != nil {
		t.Fatal(err)
	}
	sample, err := database.Describe(from)
	if err != nil || !sample.Sample || time.Since(sample.Built) > time.Hour {
		t.Fatalf("%+v, %v", sample, err)
	}
	archive := scan.DatabaseFile(from)
	err = database.Import(t.Context(), to, archive, strings.Repeat("0", 64))
	if err == nil || !strings.Contains(err.Error(), "nothing was installed") {
		t.Errorf("a wrong checksum: %v", err)
	}
	if _, err := database.Describe(to); !errors.Is(err, database.ErrAbsent) {
		t.Errorf("after a refused import: %v", err)
	}
	if err := database.Import(t.Context(), to, archive, ""); err != nil {
		t.Fatal(err)
	}
	imported, err := database.Describe(to)
	if err != nil || imported.Sample || !imported.Built.Equal(sample.Built) {
		t.Errorf("%+v, %v", imported, err)
	}
	if _, err := database.Verify(to); err != nil {
		t.Errorf("verify: %v", err)
	}
	for _, bad := range []string{filepath.Join(from, "absent.tar.zst"), "https://example.com/db.tar.zst"} {
		if err := database.Import(t.Context(), to, bad, ""); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if after, err := database.Describe(to); err != nil || after != imported {
		t.Errorf("a failed import changed what is installed: %+v, %v", after, err)
	}
}

func TestEndOfLife(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ id, version, want string }{
		{"debian", "10", "2024-07-01"},
		{"alpine", "3.20.3", "2026-04-02"},
		{"ubuntu", "22.04", "2027-05-01"},
		{"rhel", "9.4", "2032-06-01"},
		{"debian", "99", "unknown"},
		{"debian", "", "unknown"},
		{"temple-os", "5", "unknown"},
	} {
		got := "unknown"
		if end := scan.EndOfLife(tt.id, tt.version); end != nil {
			got = end.Format(time.DateOnly)
		}
		if got != tt.want {
			t.Errorf("%s %s ends %s, want %s", tt.id, tt.version, got, tt.want)
		}
	}
}
