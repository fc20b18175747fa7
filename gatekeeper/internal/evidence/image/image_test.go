package image_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// store is a repository in memory. What it returns has been hashed, as the
// registry package does.
type store map[string]registry.Content

func (s store) put(t *testing.T, mediaType string, v any) map[string]any {
	t.Helper()
	body, ok := v.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(body)
	d := gatekeeper.Descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(body))}
	s[d.Digest] = registry.Content{Descriptor: d, Body: body}
	return object{"mediaType": mediaType, "digest": d.Digest, "size": d.Size}
}

func (s store) Manifest(_ context.Context, _ registry.Repository, digest string) (registry.Content, error) {
	c, ok := s[digest]
	if !ok {
		return c, gatekeeper.ErrNotFound
	}
	return c, nil
}

func (s store) Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("%w: too large", gatekeeper.ErrInvalidContent)
	}
	c, err := s.Manifest(ctx, r, d.Digest)
	return c.Body, err
}

type object = map[string]any

// image puts an image; change may alter its configuration and manifest.
func (s store) image(t *testing.T, os, architecture string, change func(config, manifest object)) object {
	t.Helper()
	config := object{
		"os": os, "architecture": architecture, "created": "2026-11-01T00:00:00Z", "rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + strings.Repeat("d", 64)}},
		"config": object{"User": "65532", "Labels": object{"team": "a"}, "Entrypoint": []string{"/app"}},
	}
	manifest := object{
		"schemaVersion": 2, "mediaType": manifestType, "annotations": object{"org.opencontainers.image.base.name": "golden/base"},
		"layers": []object{{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + strings.Repeat("e", 64), "size": 7}},
	}
	if change != nil {
		change(config, manifest)
	}
	if manifest["config"] == nil {
		manifest["config"] = s.put(t, configType, config)
	}
	return s.put(t, manifestType, manifest)
}

func (s store) index(t *testing.T, children ...object) object {
	t.Helper()
	return s.put(t, indexType, object{"schemaVersion": 2, "mediaType": indexType, "manifests": children})
}

// on adds a platform to a descriptor.
func on(d object, os, architecture string) object {
	with := object{"platform": object{"os": os, "architecture": architecture}}
	maps.Copy(with, d)
	return with
}

func attestation(d object) object {
	d = on(d, "unknown", "unknown")
	d["annotations"] = object{"vnd.docker.reference.type": "attestation-manifest"}
	return d
}

func TestReadImage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		build func(t *testing.T, s store) object
		want  string // the platforms, or what the error says
		fails bool
	}{
		{"an image", func(t *testing.T, s store) object { t.Helper(); return s.image(t, "linux", "amd64", nil) }, "linux/amd64", false},
		{"a variant", func(t *testing.T, s store) object {
			t.Helper()
			return s.image(t, "linux", "arm", func(config, _ object) { config["variant"] = "v7" })
		}, "linux/arm/v7", false},
		{"an index of two", func(t *testing.T, s store) object {
			t.Helper()
			return s.index(t, on(s.image(t, "linux", "amd64", nil), "linux", "amd64"), on(s.image(t, "linux", "arm64", nil), "linux", "arm64"))
		}, "linux/amd64 linux/arm64", false},
		{"an index with BuildKit's attestation", func(t *testing.T, s store) object {
			t.Helper()
			return s.index(t, on(s.image(t, "linux", "amd64", nil), "linux", "amd64"), attestation(s.image(t, "unknown", "unknown", nil)))
		}, "linux/amd64", false},
		{"an attestation only by its platform is an image", func(t *testing.T, s store) object {
			t.Helper()
			return s.index(t, on(s.image(t, "unknown", "unknown", nil), "unknown", "unknown"))
		}, "unknown/unknown", false},
		{"a configuration without a platform", func(t *testing.T, s store) object { t.Helper(); return s.image(t, "", "", nil) }, "unknown/unknown", false},
		{"the index knows better", func(t *testing.T, s store) object {
			t.Helper()
			return s.index(t, on(s.image(t, "", "", nil), "linux", "amd64"))
		}, "linux/amd64", false},
		{"the index says otherwise", func(t *testing.T, s store) object {
			t.Helper()
			return s.index(t, on(s.image(t, "linux", "amd64", nil), "linux", "arm64"))
		}, "its configuration says linux/amd64", true},
		{"the index gives another size", func(t *testing.T, s store) object {
			t.Helper()
			d := on(s.image(t, "linux", "amd64", nil), "linux", "amd64")
			d["size"] = 1
			return s.index(t, d)
		}, "the index says", true},
		{"an index within an index", func(t *testing.T, s store) object { t.Helper(); return s.index(t, s.index(t)) }, "index within an index", true},
		{"a child that is gone", func(t *testing.T, s store) object {
			t.Helper()
			d := s.image(t, "linux", "amd64", nil)
			delete(s, d["digest"].(string)) //nolint:forcetypeassert,errcheck // put makes it
			return s.index(t, d)
		}, "not found", true},
		{"an artifact", func(t *testing.T, s store) object {
			t.Helper()
			return s.image(t, "linux", "amd64", func(_, m object) {
				m["config"] = s.put(t, "application/vnd.oci.empty.v1+json", []byte("{}"))
				m["artifactType"] = "application/vnd.cncf.helm.chart"
			})
		}, "application/vnd.cncf.helm.chart", true},
		{"layers that are fetched from elsewhere", func(t *testing.T, s store) object {
			t.Helper()
			return s.image(t, "windows", "amd64", func(_, m object) { m["layers"].([]object)[0]["urls"] = []string{"https://example.com"} }) //nolint:forcetypeassert,errcheck // image makes it
		}, "foreign layers", true},
		{"more layers than the configuration describes", func(t *testing.T, s store) object {
			t.Helper()
			return s.image(t, "linux", "amd64", func(c, _ object) { c["rootfs"] = object{"type": "layers", "diff_ids": []string{}} })
		}, "its configuration describes 0", true},
		{"a configuration with a key twice", func(t *testing.T, s store) object {
			t.Helper()
			return s.image(t, "linux", "amd64", func(_, m object) { m["config"] = s.put(t, configType, []byte(`{"os":"linux","os":"x"}`)) })
		}, "os", true},
		{"too many platforms", func(t *testing.T, s store) object {
			t.Helper()
			var all []object
			for range 200 {
				all = append(all, s.image(t, "linux", "amd64", nil))
			}
			return s.index(t, all...)
		}, "platforms; at most", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := store{}
			d := tt.build(t, s)
			img, err := image.New(s).ReadImage(t.Context(), policy.Subject{Registry: "staging", Repository: "app", Digest: d["digest"].(string)}) //nolint:forcetypeassert,errcheck // put makes it
			if tt.fails {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("%v, want an error that says %q", err, tt.want)
				}
				if !errors.Is(err, gatekeeper.ErrInvalidContent) && !errors.Is(err, gatekeeper.ErrNotFound) {
					t.Errorf("%v can be told from neither", err)
				}
				return
			}
			var names []string
			for _, p := range img.Platforms {
				names = append(names, p.Name)
				if p.Created == nil || p.Labels["team"] != "a" || p.Config.User != "65532" || len(p.Layers) != 1 || p.Annotations["org.opencontainers.image.base.name"] == "" {
					t.Errorf("%+v", p)
				}
			}
			if got := strings.Join(names, " "); err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
