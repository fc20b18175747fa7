package differential_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

const provenance = "https://slsa.dev/provenance/v1"

// GitHub keeps the provenance of private repositories in no log: a certificate
// without SCT and a timestamp are all there is. A policy accepts it where the
// configuration says so of this trust root, and nothing less.
func TestProvenanceInNoLogCountsByItsTimestamp(t *testing.T) {
	t.Parallel()
	private, public := sigstore.StartUnlogged(t), sigstore.Start(t)
	identity := private.Workflow(t, workflow)
	both := filepath.Join(t.TempDir(), "trusted_roots.jsonl")
	if err := os.WriteFile(both, append(append(read(t, public.TrustedRoot), '\n'), read(t, private.TrustedRoot)...), 0o600); err != nil {
		t.Fatal(err)
	}
	const unlogged = "require: {certificateTimestamps: 0, logEntries: 0, timestamps: 1}"
	roots := map[string]string{ // name to whatever is trusted and asked
		"private":        fmt.Sprintf("file: %q, %s", private.TrustedRoot, unlogged),
		"both":           fmt.Sprintf("file: %q, %s", both, unlogged),
		"as-public":      fmt.Sprintf("file: %q", private.TrustedRoot),
		"with-sct":       fmt.Sprintf("file: %q, require: {logEntries: 0}", private.TrustedRoot),
		"two-timestamps": fmt.Sprintf("file: %q, require: {certificateTimestamps: 0, logEntries: 0, timestamps: 2}", private.TrustedRoot),
		"public-alone":   fmt.Sprintf("file: %q, %s", public.TrustedRoot, unlogged),
	}
	host := sigstore.NewRegistry(t)
	c := settings{registries: map[string]string{"staging": host}}
	for root, entry := range roots {
		c.trustRoots = append(c.trustRoots, fmt.Sprintf("{name: %s, %s}", root, entry))
		c.policies = append(c.policies, attestationPolicy(root, "staging", keyless(root, identity.Issuer, workflow), provenance))
	}
	g := startGate(t, c)

	statement := func(image string) []byte {
		_, digest, _ := strings.Cut(image, "@sha256:")
		return marshal(t, map[string]any{
			"_type": "https://in-toto.io/Statement/v1", "predicateType": provenance,
			"subject": []any{map[string]any{"name": "app", "digest": map[string]string{"sha256": digest}}},
			"predicate": map[string]any{
				"buildDefinition": map[string]any{"buildType": "https://actions.github.io/buildtypes/workflow/v1"},
				"runDetails":      map[string]any{"builder": map[string]any{"id": workflow}},
			},
		})
	}
	cases := map[string]struct {
		by        sigstore.Identity
		timestamp bool
		accepted  []string // by the policies of these trust roots
	}{
		"with a timestamp":    {identity, true, []string{"private", "both"}},
		"without a timestamp": {identity, false, nil},
		"by another workflow": {private.Workflow(t, otherWorkflow), true, nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := sigstore.PushImage(t, host, strings.ReplaceAll(name, " ", "-"))
			attach(t, image, private.Bundle(t, test.by, statement(image), test.timestamp))
			j := g.check(t, image)
			for root := range roots {
				want := strings.Contains(strings.Join(test.accepted, " "), root)
				if got := j.accepts(t, root); got != want {
					t.Errorf("trust root %s: accepted: %t, want %t\n%s", root, got, want, j.text)
				}
			}
		})
	}
}

// attach pushes a bundle that refers to an image.
func attach(t *testing.T, image string, bundle []byte) {
	t.Helper()
	const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	digest, err := name.NewDigest(image)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := remote.Head(digest, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	referrer, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(bundle, mediaType))
	if err != nil {
		t.Fatal(err)
	}
	made, ok := mutate.Subject(mutate.ConfigMediaType(referrer, "application/vnd.oci.empty.v1+json"), *subject).(v1.Image)
	if !ok {
		t.Fatal("an image with a subject is no image")
	}
	sum, err := made.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(digest.Context().Digest(sum.String()), made, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
