package promote

import (
	"encoding/json"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// Runnable says whether what refers to an image is itself something to run: an
// index, or an image. Nobody judged that one, so that it stays behind.
//
// cosign's older form has an image's configuration too; what tells it apart
// are layers that a container runtime does not take for file systems.
func Runnable(content registry.Content) bool {
	if isIndex(content.MediaType) {
		return true
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(content.Body, &m); err != nil {
		return true
	}
	switch m.Config.MediaType {
	case ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
		return slices.ContainsFunc(m.Layers, func(d ocispec.Descriptor) bool { return !isEvidence(d.MediaType) })
	}
	return false
}

// isEvidence knows the layers of cosign's signatures, attestations and SBOMs
// (cosign, pkg/types/media.go) and of in-toto statements.
func isEvidence(mediaType string) bool {
	for _, prefix := range []string{
		"application/vnd.dev.cosign.", "application/vnd.dev.sigstore.", "application/vnd.dsse.envelope.", "application/vnd.in-toto",
		"text/spdx", "application/spdx", "application/vnd.cyclonedx", "application/vnd.syft",
	} {
		if strings.HasPrefix(mediaType, prefix) {
			return true
		}
	}
	return false
}
