package gatekeeper_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const gzipLayer = "application/vnd.oci.image.layer.v1.tar+gzip"

// layersOf are gzip layers with these contents.
func layersOf(contents ...string) []policy.Layer {
	layers := make([]policy.Layer, 0, len(contents))
	for _, c := range contents {
		layers = append(layers, policy.Layer{MediaType: gzipLayer, Digest: sum("packed " + c), DiffID: sum(c), Size: 7})
	}
	return layers
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(s[:])
}

func TestChainsAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	layers := layersOf("a", "b", "c")
	got := gatekeeper.NewLayerChains(layers)
	two := sum(layers[0].DiffID + " " + layers[1].DiffID)
	if want := []string{layers[0].DiffID, two, sum(two + " " + layers[2].DiffID)}; !slices.Equal(got.DiffIDs, want) {
		t.Errorf("%q, want %q", got.DiffIDs, want)
	}
	if len(got.Digests) != 3 || got.Digests[0] != layers[0].Digest {
		t.Errorf("%q", got.Digests)
	}
}

func TestChainsEndWhereNoLayerIs(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(l *policy.Layer){
		"no digest":                        func(l *policy.Layer) { l.Digest = "" },
		"a digest of another algorithm":    func(l *policy.Layer) { l.Digest = "sha512:" + strings.Repeat("a", 128) },
		"no diff_id":                       func(l *policy.Layer) { l.DiffID = "" },
		"two diff_ids in one":              func(l *policy.Layer) { l.DiffID += " " + l.DiffID },
		"upper case":                       func(l *policy.Layer) { l.DiffID = strings.ToUpper(l.DiffID) },
		"what runtimes may leave out":      func(l *policy.Layer) { l.MediaType = "application/vnd.example.layer" },
		"what only holders of a key read":  func(l *policy.Layer) { l.MediaType += "+encrypted" },
		"what is to be had from elsewhere": func(l *policy.Layer) { l.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			layers := layersOf("a", "b", "c")
			spoil(&layers[1])
			if got := gatekeeper.NewLayerChains(layers); len(got.Digests) != 1 || len(got.DiffIDs) != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// An image begins with another one's layers exactly when the chains say so.
func TestChainsTellBeginnings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		contents := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 40)
		base, image := contents.Draw(t, "base"), contents.Draw(t, "image")
		if rapid.Bool().Draw(t, "built on it") {
			image = append(slices.Clone(base), image...)
		}
		chains, of := gatekeeper.NewLayerChains(layersOf(image...)), gatekeeper.NewLayerChains(layersOf(base...))
		n := len(base)
		begins := n <= len(image) && slices.Equal(image[:n], base)
		if n == 0 {
			return
		}
		if got := n <= len(chains.Digests) && chains.Digests[n-1] == of.Digests[n-1]; got != begins {
			t.Errorf("digests: %t, want %t", got, begins)
		}
		if got := n <= len(chains.DiffIDs) && chains.DiffIDs[n-1] == of.DiffIDs[n-1]; got != begins {
			t.Errorf("diff_ids: %t, want %t", got, begins)
		}
	})
}
