// Package registry is the only place that speaks to OCI registries. It reads
// with limits, re-hashes every byte, and tells absence from failure.
//
// All traffic takes its turn: tokens, pings, redirects and uploads as much as
// reads. A hiccup is asked about again within a call; a server that is down, or
// has asked to be left alone, is not asked by anybody, and the error says until
// when. Each registry and each token server stands for itself.
//
// What is remembered, in memory:
//   - manifests and small blobs by their digest: they cannot change, so that
//     only the space for them is limited
//   - how a registry authenticates, until it says otherwise; credentials for
//     five minutes; tokens for their lifetime, an hour at most
//   - that a registry has no referrers API, for ten minutes: it is about the
//     registry's software, and what refers to an image is under the fallback tag
//     meanwhile
//
// Nothing else is: neither what a tag points to, nor that a tag, a manifest, a
// blob, a signature or a list is not there. What arrives is seen by the next
// who asks, and no wake-up comes too early. Failures are not remembered
// either: what is known of a server that is down is that it is not asked.
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
