// Package registry is the only place that speaks to OCI registries. It reads
// with limits, re-hashes every byte, and tells absence from failure.
package registry

import "github.com/golden-gatekeeper/gatekeeper/gatekeeper"

// Repository names one repository of one configured registry.
type Repository struct {
	Registry string // the registry's name in the configuration
	Name     string // "team-a/app"
}

// Content is a manifest or index that was read and re-hashed.
type Content struct {
	gatekeeper.Descriptor        // MediaType is both the body's and the Content-Type; they agree
	Body                  []byte // hashes to Descriptor.Digest
}

// Referrer is one entry of a referrers list (OCI distribution-spec v1.1,
// "Listing Referrers"). Its ArtifactType and Annotations are claims of the
// list, not of the signed content.
type Referrer struct {
	gatekeeper.Descriptor
	ArtifactType string
	Annotations  map[string]string
}
