package bench_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// push is a signed image in a registry under a tag, as it will be reported.
type push struct {
	repository, tag, digest string
	event                   int // number of its event
}

// factory makes small signed images in a registry, each different, much faster
// than pushing and signing them with clients would.
type factory struct {
	registry *registry
	key      *ecdsa.PrivateKey
	made     int
}

func newFactory(tb testing.TB, r *registry) *factory {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &factory{registry: r, key: key}
}

// publicKey is what a policy trusts.
func (f *factory) publicKey(tb testing.TB) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// image makes one image.
func (f *factory) image(tb testing.TB, repository, tag string) push {
	tb.Helper()
	f.made++
	layer := f.blob(repository, "application/vnd.oci.image.layer.v1.tar", fmt.Appendf(nil, "the layer of %s:%s", repository, tag))
	config := f.blob(repository, ocispec.MediaTypeImageConfig, encode(tb, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	}))
	p := push{repository: repository, tag: tag, event: f.made, digest: f.manifest(tb, repository, tag, config, layer)}
	f.sign(tb, p)
	return p
}

// sign adds a signature in cosign's older form.
func (f *factory) sign(tb testing.TB, p push) {
	tb.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, p.digest)
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, f.key, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	layer := f.blob(p.repository, "application/vnd.dev.cosign.simplesigning.v1+json", payload)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)}
	config := f.blob(p.repository, ocispec.MediaTypeImageConfig, encode(tb, ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}}}))
	f.manifest(tb, p.repository, strings.Replace(p.digest, ":", "-", 1)+".sig", config, layer)
}

func (f *factory) blob(repository, mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(f.registry.storeBlob(repository, content)), Size: int64(len(content))}
}

func (f *factory) manifest(tb testing.TB, repository, tag string, config, layer ocispec.Descriptor) string {
	tb.Helper()
	return f.registry.store(repository, tag, ocispec.MediaTypeImageManifest, encode(tb, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
	}))
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// notification is what a registry reports about pushes. The events of one run
// have different numbers.
func notification(pushes ...push) string {
	events := make([]string, 0, len(pushes))
	for _, p := range pushes {
		events = append(events, fmt.Sprintf(`{"id":"bench-%d","timestamp":"2026-11-20T08:00:00Z","action":"push","target":{
			"mediaType":%q,"size":500,"digest":%q,"repository":%q,"tag":%q},"request":{"method":"PUT","useragent":"docker"}}`,
			p.event, ocispec.MediaTypeImageManifest, p.digest, p.repository, p.tag))
	}
	return `{"events":[` + strings.Join(events, ",") + `]}`
}
