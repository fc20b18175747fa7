package policy

import "time"

// Lineage is what the record of golden images says about a platform's layers.
type Lineage struct {
	// Bases are the golden images whose layers the platform's begin with: of
	// each golden repository the one with the most layers, of several with
	// the same layers the newest, and those that the image claims to be built
	// on.
	Bases []Base `json:"bases"`
	// Golden are those of the digests the image claims to be built on that
	// golden images have, whether or not its layers begin with theirs.
	Golden []string `json:"golden,omitempty"`
}

// Base is a golden image that other images are built on.
type Base struct {
	Registry   string    `json:"registry"` // the golden registry's name in the configuration
	Repository string    `json:"repository"`
	Digest     string    `json:"digest"`           // of what was promoted, an index or a manifest
	Manifest   string    `json:"manifest"`         // of the image with the layers
	Source     string    `json:"source,omitempty"` // the repository it was pushed to before it was golden
	Tags       []string  `json:"tags,omitempty"`   // golden tags that it was given, sorted, up to 20
	Layers     int       `json:"layers"`           // how many it has
	Proof      Proof     `json:"proof"`
	PromotedAt time.Time `json:"promotedAt"` // when it first was
	// Behind is how many releases became golden after it: other digests in
	// the same channel or, where it is in none, in the same repository. In
	// several channels, the largest number counts.
	Behind    int    `json:"behind"`
	Channel   string `json:"channel,omitempty"`   // that Behind was counted in; empty: the repository
	Newest    string `json:"newest,omitempty"`    // digest of the newest of them; empty when Behind is 0
	NewestTag string `json:"newestTag,omitempty"` // a golden tag of it
	// Claims are what the base itself says it is built on, by label or
	// annotation. Images built on it inherit that.
	Claims map[string][]string `json:"claims,omitempty"`
}

// Proof says which of an image's and a base's layers are the same.
type Proof string

// The proofs.
const (
	// ProofDigests: the digests of the layers as they are stored. The same
	// digest is the same content.
	ProofDigests Proof = "digests"
	// ProofDiffIDs: the digests of the layers unpacked, as the configurations
	// list them. Those of the base were compared with its layers; the image's
	// are its word, until somebody unpacks its layers.
	ProofDiffIDs Proof = "diffIDs"
)

// NeedsLayers says whether the lineage stands on the word of the image's
// configuration, so that its layers have to be unpacked.
func (l *Lineage) NeedsLayers() bool {
	if l == nil {
		return false
	}
	for _, b := range l.Bases {
		if b.Proof != ProofDigests {
			return true
		}
	}
	return false
}

// Unpacked says whether a scan unpacked the layers of a platform, and so found
// its diff_ids to be theirs.
func (p Platform) Unpacked() bool {
	return p.Scan != nil && p.Scan.Catalogue.withDefault().From == CatalogueLayers
}

// BuiltOn is the golden base that a policy found a platform to be built on.
type BuiltOn struct {
	Platform   string `json:"platform"`
	Image      string `json:"image"` // digest of the platform's manifest
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Manifest   string `json:"manifest"`
	Behind     int    `json:"behind"`
}
