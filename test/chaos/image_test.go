package chaos_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	configType    = "application/vnd.oci.image.config.v1+json"
	layerType     = "application/vnd.oci.image.layer.v1.tar+gzip"
	signatureType = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// content is bytes and their digest.
type content struct {
	bytes  []byte
	digest string
}

func contentOf(b []byte) content {
	sum := sha256.Sum256(b)
	return content{bytes: b, digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// image is a manifest with its blobs: little enough that a run pushes
// thousands.
type image struct {
	manifest content
	blobs    []content
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// maker makes images and signatures. It is safe for concurrent use.
type maker struct {
	seed  uint64
	layer content // gzipped
	diff  string
	key   *ecdsa.PrivateKey // the developers'
}

func newMaker(tb testing.TB, seed uint64) *maker {
	tb.Helper()
	var plain, zipped bytes.Buffer
	w := tar.NewWriter(&plain)
	const text = "chaos"
	err := w.WriteHeader(&tar.Header{Name: "srv/content", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	z := gzip.NewWriter(&zipped)
	if _, err = z.Write(plain.Bytes()); err == nil {
		err = z.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &maker{seed: seed, layer: contentOf(zipped.Bytes()), diff: contentOf(plain.Bytes()).digest, key: newKey(tb)}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// privatePEM is a key as the configuration takes it.
func privatePEM(tb testing.TB, key *ecdsa.PrivateKey) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// publicKey is the key that the policy names, in PEM.
func (m *maker) publicKey(tb testing.TB) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// image returns the image of a push; each has its own digest.
func (m *maker) image(p push) (image, error) {
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "created": time.Unix(1_700_000_000, 0).UTC(),
		"config": map[string]any{"User": p.user, "Labels": map[string]string{"push": fmt.Sprintf("%d of %d", p.number, m.seed)}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{m.diff}},
	})
	if err != nil {
		return image{}, err
	}
	return pack(contentOf(config), descriptor{MediaType: layerType}, m.layer)
}

// pack makes an image of one layer, which is described but for its content.
func pack(config content, d descriptor, layer content) (image, error) {
	d.Digest, d.Size = layer.digest, len(layer.bytes)
	b, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: manifestType, Layers: []descriptor{d},
		Config: descriptor{MediaType: configType, Digest: config.digest, Size: len(config.bytes)},
	})
	return image{manifest: contentOf(b), blobs: []content{config, layer}}, err
}

// signature returns what cosign leaves for a digest: the payload of the simple
// signing format as a layer, with the signature in an annotation.
func (m *maker) signature(repository, digest string) (image, error) {
	payload, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": repository},
			"image":    map[string]string{"docker-manifest-digest": digest},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	if err != nil {
		return image{}, err
	}
	sum := sha256.Sum256(payload)
	signed, err := m.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return image{}, err
	}
	annotations := map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signed)}
	config := contentOf([]byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`))
	return pack(config, descriptor{MediaType: signatureType, Annotations: annotations}, contentOf(payload))
}

// signatureTag is where cosign looks for a digest's signatures.
func signatureTag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }
