package notation_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/notation"
)

// The client that signs in the interoperability test.
const (
	clientModule  = "github.com/notaryproject/notation"
	clientVersion = "v1.3.2"
)

// client builds the notation client once and keeps it in the user's cache
// folder. It is built inside a module: "go install …@version" also asks for
// the module's newest version, which mirrors may not have.
func client(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "gatekeeper-test-tools", "notation-"+clientVersion, "notation")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(filepath.Dir(path), "build-") //nolint:usetesting // beside the target, to be renamed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	module := fmt.Sprintf("module build\n\ngo 1.24\n\nrequire %s %s\n", clientModule, clientVersion)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "notation", clientModule+"/cmd/notation")
	build.Dir = work
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the notation client: %v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(work, "notation"), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the notation client signs and pushes verifies here.
func TestInteropClient(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the notation client")
	}
	program := client(t)
	config := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + config, "XDG_CONFIG_HOME=" + config, "XDG_CACHE_HOME=" + config}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("notation %v: %v\n%s", args, err, out)
		}
	}
	run("cert", "generate-test", "--default", "acme.example")
	root := certificate(t, filepath.Join(config, "notation", "localkeys", "acme.example.crt"))

	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(quiet)))
	t.Cleanup(server.Close)
	for form, mediaType := range forms() {
		t.Run(form, func(t *testing.T) {
			repo, err := name.NewRepository(strings.TrimPrefix(server.URL, "http://")+"/app-"+strings.ToLower(form), name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			about := push(t, repo)
			run("sign", "--insecure-registry", "--signature-format", strings.ToLower(form), "--expiry", "24h",
				"--user-metadata", "commit=abc", repo.Digest(about.Digest).String())
			envelope := signatureOf(t, repo, about, mediaType)

			trust := notation.Trust{Roots: []*x509.Certificate{root}, Identities: []string{"x509.subject: C=US, ST=WA, O=Notary, CN=acme.example"}}
			got, err := verifierOf(t, trust, nil).Verify(t.Context(), envelope, mediaType, about, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if got.Root != sum(root) || got.Expires.IsZero() || !strings.Contains(got.Subject, "CN=acme.example") {
				t.Errorf("got %+v", got)
			}
			_, err = verifierOf(t, trust, nil).Verify(t.Context(), envelope, mediaType, about, time.Now().Add(25*time.Hour))
			wantError(t, err, notation.ErrInvalid, "expired")
			other := about
			other.Digest = subject().Digest
			_, err = verifierOf(t, trust, nil).Verify(t.Context(), envelope, mediaType, other, time.Now())
			wantError(t, err, notation.ErrInvalid, "signed was")
			_, err = verifierOf(t, trusting(newAuthority(t, "root")), nil).Verify(t.Context(), envelope, mediaType, about, time.Now())
			wantError(t, err, notation.ErrUnknownSigner, "")
		})
	}
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s holds no PEM block", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func push(t *testing.T, repo name.Repository) gatekeeper.Descriptor {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("v1"), image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(repo.Tag("v1"), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return gatekeeper.Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
}

// signatureOf reads the one signature that refers to the subject.
func signatureOf(t *testing.T, repo name.Repository, about gatekeeper.Descriptor, mediaType string) []byte {
	t.Helper()
	ctx := remote.WithContext(t.Context())
	index, err := remote.Referrers(repo.Digest(about.Digest), ctx)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("referrers %+v, %v", list, err)
	}
	d, err := remote.Get(repo.Digest(list.Manifests[0].Digest.String()), ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(d.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	kind := m.ArtifactType
	if kind == "" {
		kind = m.Config.MediaType // as clients before OCI 1.1 write it
	}
	if kind != notation.ArtifactType || len(m.Layers) != 1 || m.Layers[0].MediaType != mediaType {
		t.Fatalf("manifest %s", d.Manifest)
	}
	return blob(t.Context(), t, repo, m.Layers[0].Digest.String())
}

func blob(ctx context.Context, t *testing.T, repo name.Repository, digest string) []byte {
	t.Helper()
	if _, err := v1.NewHash(digest); err != nil {
		t.Fatal(err)
	}
	layer, err := remote.Layer(repo.Digest(digest), remote.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	data, err := io.ReadAll(io.LimitReader(stream, notation.MaxEnvelope))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
