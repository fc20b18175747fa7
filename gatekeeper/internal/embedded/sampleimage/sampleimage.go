// Package sampleimage builds tiny images that look like real ones to a
// scanner: an os-release file, a package database, and nothing to run.
package sampleimage

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Package is an installed package.
type Package struct {
	Name    string
	Source  string // the source package; the name when empty
	Version string
}

// Spec describes an image.
type Spec struct {
	OS           string // debian or alpine
	Version      string // VERSION_ID
	Packages     []Package
	Created      time.Time
	Architecture string // amd64 when empty
	User         string
	Labels       map[string]string
	Content      string // makes images with the same packages differ
}

func (s Spec) architecture() string { return cmp.Or(s.Architecture, "amd64") }

// Image builds an image. The same Spec makes the same digest.
func Image(s Spec) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		data, err := archive(s)
		return io.NopCloser(bytes.NewReader(data)), err
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("build a layer: %w", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: s.architecture(), Created: v1.Time{Time: s.Created.UTC().Truncate(time.Second)},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: s.User, Labels: s.Labels, Cmd: []string{"/bin/true"}},
	})
	if err != nil {
		return nil, fmt.Errorf("build a configuration: %w", err)
	}
	img, err = mutate.AppendLayers(img, layer)
	if err != nil {
		return nil, fmt.Errorf("build an image: %w", err)
	}
	return img, nil
}

// Index builds an index of platforms.
func Index(specs ...Spec) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, s := range specs {
		img, err := Image(s)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: s.architecture()}},
		})
	}
	return index, nil
}

func archive(s Spec) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct{ name, text string }{
		{"etc/os-release", osRelease(s)},
		{packageDatabase(s), packages(s)},
		{"srv/content", s.Content},
	} {
		header := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func osRelease(s Spec) string {
	names := map[string]string{"debian": "Debian GNU/Linux", "alpine": "Alpine Linux"}
	return fmt.Sprintf("PRETTY_NAME=%q\nNAME=%q\nID=%s\nVERSION_ID=%q\n", names[s.OS]+" "+s.Version, names[s.OS], s.OS, s.Version)
}

func packageDatabase(s Spec) string {
	if s.OS == "alpine" {
		return "lib/apk/db/installed"
	}
	return "var/lib/dpkg/status"
}

func packages(s Spec) string {
	var b strings.Builder
	for _, p := range s.Packages {
		if p.Source == "" {
			p.Source = p.Name
		}
		if s.OS == "alpine" {
			fmt.Fprintf(&b, "P:%s\nV:%s\nA:%s\no:%s\n\n", p.Name, p.Version, "x86_64", p.Source)
			continue
		}
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nSource: %s\nVersion: %s\nMaintainer: Debian\nDescription: sample\n\n",
			p.Name, s.architecture(), p.Source, p.Version)
	}
	return b.String()
}
