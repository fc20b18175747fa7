package gatekeeper

import (
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// LayerChains name the beginnings of an image's layers: element i stands for
// the first i+1 layers, and an image begins with the layers of another one when
// its element at the other's number of layers is the other's last one. Numbers
// have to be compared too: the chain of a single layer is the layer's own
// digest, whatever that was computed of.
type LayerChains struct {
	Digests []string // over the layers as they are stored, in the way of DiffIDs
	DiffIDs []string // ChainIDs (OCI image-spec v1.1, config.md)
}

// NewLayerChains computes the chains of an image's layers, up to the first
// layer that is none: with a digest other than SHA-256, or of a media type that
// runtimes need not unpack.
func NewLayerChains(layers []policy.Layer) LayerChains {
	wellFormed := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	var digests, diffIDs []digest.Digest
	for _, l := range layers {
		if !wellFormed.MatchString(l.Digest) || !wellFormed.MatchString(l.DiffID) || !isLayer(l.MediaType) {
			break
		}
		digests, diffIDs = append(digests, digest.Digest(l.Digest)), append(diffIDs, digest.Digest(l.DiffID))
	}
	return LayerChains{Digests: chain(digests), DiffIDs: chain(diffIDs)}
}

// isLayer says whether a media type is that of a layer that every runtime
// unpacks (OCI image-spec v1.1, layer.md, and Docker's manifests).
func isLayer(mediaType string) bool {
	kind, packed := strings.CutPrefix(mediaType, "application/vnd.oci.image.layer.v1.tar")
	if !packed {
		return mediaType == "application/vnd.docker.image.rootfs.diff.tar.gzip" || mediaType == "application/vnd.docker.image.rootfs.diff.tar"
	}
	return slices.Contains([]string{"", "+gzip", "+zstd"}, kind)
}

func chain(ids []digest.Digest) []string {
	chained := make([]string, 0, len(ids))
	for _, id := range identity.ChainIDs(ids) {
		chained = append(chained, id.String())
	}
	return chained
}
