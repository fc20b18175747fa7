package policy

// The origins of a catalogue.
const (
	CatalogueLayers = "layers" // the scanner looked into the layers
	CatalogueSBOM   = "sbom"   // an SBOM stood in for looking
)

// Catalogue says where a scan's list of packages came from.
type Catalogue struct {
	From string `json:"from"` // "layers" or "sbom"; empty, in evidence of old, is "layers"
	// The rest is only there for an SBOM.
	Attestation string `json:"attestation,omitempty"` // digest of the manifest that carries it
	Document    string `json:"document,omitempty"`    // SHA-256 of the predicate as it is recorded, see SBOM
	Format      string `json:"format,omitempty"`      // "cyclonedx-json 1.6"
}

// withDefault names the origin that old evidence leaves out.
func (c Catalogue) withDefault() Catalogue {
	if c.From == "" {
		c.From = CatalogueLayers
	}
	return c
}
