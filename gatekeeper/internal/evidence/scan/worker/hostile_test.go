package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// part is a piece of an archive that is repeated.
type part struct {
	data  []byte
	times int
}

// hashed is how many bytes of a part go into the hash of what a layer unpacks
// to: with more, it is a wrong one, which nobody gets to see.
const hashed = 1 << 30

// archive is a layer whose pieces are compressed once each, however often they
// are repeated: gzip members can follow each other (RFC 1952, 2.2).
func archive(t *testing.T, parts ...part) v1.Layer {
	t.Helper()
	var packed bytes.Buffer
	unpacked := sha256.New()
	for _, p := range parts {
		var member bytes.Buffer
		w, err := gzip.NewWriterLevel(&member, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(p.data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		packed.Write(bytes.Repeat(member.Bytes(), p.times))
		for range min(p.times, hashed/len(p.data)) {
			unpacked.Write(p.data)
		}
	}
	diffID := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", unpacked.Sum(nil))}
	return packedLayer{packed.Bytes(), diffID}
}

type packedLayer struct {
	packed []byte
	diffID v1.Hash
}

func (l packedLayer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.packed))
	return h, err
}
func (l packedLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l packedLayer) Size() (int64, error)                { return int64(len(l.packed)), nil }
func (l packedLayer) MediaType() (types.MediaType, error) { return types.DockerLayer, nil }
func (l packedLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}

func (l packedLayer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.packed))
}

// headers are those of empty files.
func headers(t *testing.T, names func(yield func(string) bool)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// fileOf is a layer with one file: a beginning, a filling that is repeated, and
// an end.
func fileOf(t *testing.T, name, begin string, filling part, end string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	size := len(begin) + len(filling.data)*filling.times + len(end)
	if err := tar.NewWriter(&buf).WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	buf.WriteString(begin)
	const block = 512
	padding := (block - size%block) % block
	return archive(t, part{buf.Bytes(), 1}, filling, part{append([]byte(end), make([]byte, padding+2*block)...), 1})
}

// What a layer can do to a scanner that behaves ends its own scan, in words
// that name the limit, or is scanned. Others go on.
func TestBombsEndOnlyTheirOwnScan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	healthy := b.pushSpec(t, vulnerable())
	packages := bytes.Repeat([]byte("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"), 1<<14)
	zeros := make([]byte, 64<<20)
	for _, tt := range []struct {
		name   string
		layer  func(t *testing.T) v1.Layer
		change func(*scan.Options)
		want   string // in the error; empty: it is scanned
	}{
		{
			"some megabytes that unpack to 6 GiB",
			func(t *testing.T) v1.Layer { t.Helper(); return fileOf(t, "bomb", "", part{zeros, 96}, "") },
			func(o *scan.Options) { o.Disk = 1 << 30 },
			"scanner.disk",
		},
		{
			"a list of packages that takes much memory to read",
			func(t *testing.T) v1.Layer {
				t.Helper()
				return fileOf(t, "var/lib/dpkg/status", "", part{packages, 200}, "")
			},
			func(o *scan.Options) { o.Limits.Memory = 2 << 30 },
			"2048 MiB of memory (scanner.memory)",
		},
		{
			"a path of 100,000 folders",
			func(t *testing.T) v1.Layer {
				t.Helper()
				return archive(t, part{append(headers(t, func(yield func(string) bool) { yield(strings.Repeat("d/", 100_000) + "f") }), make([]byte, 1024)...), 1})
			},
			func(o *scan.Options) { o.Limits.Memory = 2 << 30 },
			"2048 MiB of memory (scanner.memory)",
		},
		{
			"a hundred thousand tiny files",
			func(t *testing.T) v1.Layer {
				t.Helper()
				return archive(t, part{append(headers(t, func(yield func(string) bool) {
					for i := range 100_000 {
						if !yield(fmt.Sprintf("d%d/f%d", i%1000, i)) {
							return
						}
					}
				}), make([]byte, 1024)...), 1})
			},
			nil, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := b.scanner(t, tt.change)
			found, problem, err := b.scan(t, s, b.push(t, withLayers(t, tt.layer(t))))
			switch {
			case tt.want == "" && err == nil:
				if found == nil || found.OS != nil || len(found.Packages) > 0 {
					t.Errorf("%+v", found)
				}
			case tt.want == "" || err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want one with %q", err, tt.want)
			default:
				if verdict := judge(t, bom(debian12, expat("e")), found, problem, err); verdict != policy.VerdictError {
					t.Errorf("verdict %s", verdict)
				}
			}
			if found, _, err := b.scan(t, s, healthy); err != nil || len(found.Vulnerabilities) == 0 {
				t.Errorf("the next image: %+v, %v", found, err)
			}
		})
	}
}

// misbehaviour is in the configuration of images that take their worker over.
var misbehaviour = regexp.MustCompile(`"misbehave":"([^"]*)"`)

// takenOver does what the image says, if it says something.
func takenOver(request scan.Request) (does bool, err error) {
	blobs, err := filepath.Glob(filepath.Join(request.Layout, "blobs", "sha256", "*"))
	if err != nil {
		return true, err
	}
	for _, blob := range blobs {
		text, err := os.ReadFile(blob)
		if err != nil {
			return true, err
		}
		if found := misbehaviour.FindSubmatch(text); found != nil {
			return true, misbehaveAs(string(found[1]))
		}
	}
	return false, nil
}

// keptOpen has files stay open for as long as the process lives: those that
// nothing refers to any more are closed when memory is collected.
var keptOpen []*os.File //nolint:gochecknoglobals // of a process that is to misbehave

func misbehaveAs(how string) error {
	switch how {
	case "allocate":
		var hoard [][]byte
		for {
			chunk := make([]byte, 64<<20)
			for i := 0; i < len(chunk); i += 4096 {
				chunk[i] = 1
			}
			if hoard = append(hoard, chunk); len(hoard) > 1<<10 {
				return errors.New("had 64 GiB")
			}
		}
	case "spin":
		for n := 0; ; n++ {
			if n < 0 {
				n = 0
			}
		}
	case "hang":
		select {}
	case "panic":
		go func() { panic("in a goroutine of a library") }()
		select {}
	case "exit":
		os.Exit(0)
	case "fill the disk", "fill the disk with removed files":
		for i := 0; ; i++ {
			f, err := os.Create(filepath.Join(os.TempDir(), fmt.Sprint(i)))
			if err != nil {
				return fmt.Errorf("with %d open: %w", len(keptOpen), err)
			}
			keptOpen = append(keptOpen, f)
			if how != "fill the disk" {
				_ = os.Remove(f.Name())
			}
			if _, err := f.Write(make([]byte, 4<<20)); err != nil {
				return err
			}
			if len(keptOpen) == 32 {
				select {} // twice the limit
			}
		}
	case "many files":
		for i := 0; ; i++ {
			if err := os.WriteFile(filepath.Join(os.TempDir(), fmt.Sprint(i)), nil, 0o600); err != nil {
				return err
			}
		}
	case "a large file":
		f, err := os.Create(filepath.Join(os.TempDir(), "large"))
		if err != nil {
			return err
		}
		return errors.Join(f.Truncate(1<<40), f.Close())
	case "many open":
		for {
			if _, err := os.Open(os.DevNull); err != nil {
				return err
			}
		}
	case "lock up what it leaves":
		dir := filepath.Join(os.TempDir(), "locked")
		return errors.Join(os.MkdirAll(filepath.Join(dir, "up"), 0o700), os.Chmod(dir, 0), errors.New("locked up"))
	case "talk":
		return errors.New(strings.Repeat("\x1b[2J talk ", 1<<10))
	}
	return fmt.Errorf("nobody knows how to %s", how)
}

// Whatever a worker does that a hostile image took over: each limit is this
// image's error, in words that name the limit and the option, its verdict is
// error, no file is left, and the same scanner goes on with others.
func TestEachLimitIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		how    string
		change func(*scan.Options)
		want   string
	}{
		{"allocate", func(o *scan.Options) { o.Limits.Memory = 2 << 30 }, "needed more than 2048 MiB of memory (scanner.memory)"},
		{"spin", func(o *scan.Options) { o.Limits.CPU = 1 }, "needed more than 1 s of CPU time (scanner.timeout)"},
		{"hang", func(o *scan.Options) { o.Timeout = 3 * time.Second }, "took longer than 3s (scanner.timeout)"},
		{"fill the disk", func(o *scan.Options) { o.Disk = 64 << 20 }, "(scanner.disk)"},
		{"fill the disk with removed files", func(o *scan.Options) { o.Disk = 64 << 20 }, "(scanner.disk)"},
		{"many files", nil, "more than 131072 files"},
		{"a large file", nil, "a file of more than 40959 MiB (scanner.disk)"},
		{"many open", nil, "more than 1024 open files"},
		{"panic", nil, "crashed"},
		{"exit", nil, "the scanner's answer cannot be read"},
		{"lock up what it leaves", nil, "locked up"},
		{"talk", nil, "talk"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			img, err := mutate.Config(withLayers(t, archive(t, part{make([]byte, 1024), 1})), v1.Config{Labels: map[string]string{"misbehave": tt.how}})
			if err != nil {
				t.Fatal(err)
			}
			s := b.scanner(t, tt.change)
			found, problem, err := b.scan(t, s, b.push(t, img))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if verdict := judge(t, bom(debian12, expat("e")), found, problem, err); verdict != policy.VerdictError {
				t.Errorf("verdict %s", verdict)
			}
			if tt.how == "spin" || tt.how == "hang" {
				return // too little time for any image
			}
			next := b.pushSpec(t, sampleimage.Spec{OS: "debian", Version: "12", Packages: []sampleimage.Package{{Name: "curl", Version: "7.88.1-10"}}})
			if found, _, err := b.scan(t, s, next); err != nil || len(found.Packages) != 1 {
				t.Errorf("the next image: %+v, %v", found, err)
			}
		})
	}
}
