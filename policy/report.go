package policy

import (
	"fmt"
	"slices"
)

// The sources of vulnerabilities, in Report.From.
const (
	FromScanner     = "scanner"     // the embedded scanner
	FromAttestation = "attestation" // reports in signed attestations
)

// What a deadline counts from, in Deny.Since.
const (
	SinceFix      = "fix"
	SinceAdvisory = "advisory"
)

// VEXSource says whose statements excuse vulnerabilities of the products that
// they name (OpenVEX, CycloneDX).
type VEXSource struct {
	SignedBy []string `yaml:"signedBy" json:"signedBy"` // names of authorities
	// MaxAge is the age up to which a statement excuses; any when zero.
	MaxAge Duration `yaml:"maxAge" json:"maxAge,omitempty"`
}

// scans says whether the embedded scanner has to look.
func (r Report) scans() bool { return len(r.From) == 0 || slices.Contains(r.From, FromScanner) }

// attested says whether there have to be signed reports.
func (r Report) attested() bool { return slices.Contains(r.From, FromAttestation) }

func (b *builder) checkReport(r Report) {
	const path = "$.spec.vulnerabilities.report"
	for i, from := range r.From {
		at := fmt.Sprintf("%s.from[%d]", path, i)
		if from != FromScanner && from != FromAttestation {
			b.errorf(at, "%q; write %s or %s", from, FromAttestation, FromScanner)
		}
		if slices.Contains(r.From[:i], from) {
			b.errorf(at, "%q is there twice", from)
		}
	}
	for key, d := range map[string]Duration{".maxAge": r.MaxAge, ".scanMaxAge": r.ScanMaxAge} {
		if d < 0 {
			b.errorf(path+key, "%s; write a positive duration", d)
		}
	}
	if r.attested() {
		b.checkAttesters(path+".signedBy", r.SignedBy)
		return
	}
	const only = "is for signed reports; write from: [attestation] or from: [attestation, scanner] beside it"
	if len(r.SignedBy) > 0 {
		b.errorf(path+".signedBy", only)
	}
	if r.ScanMaxAge != 0 {
		b.errorf(path+".scanMaxAge", only)
	}
	if r.AllowUndatedDatabase {
		b.errorf(path+".allowUndatedDatabase", only)
	}
}

func (b *builder) checkVEX(v *VEXSource) {
	const path = "$.spec.vulnerabilities.vex"
	if v == nil {
		return
	}
	b.checkAttesters(path+".signedBy", v.SignedBy)
	if v.MaxAge < 0 {
		b.errorf(path+".maxAge", "%s; write a positive duration", v.MaxAge)
	}
}

func (b *builder) checkSince(path string, d Deny) {
	switch {
	case d.Since != "" && d.Since != SinceFix && d.Since != SinceAdvisory:
		b.errorf(path+".since", "%q; write %s or %s", d.Since, SinceFix, SinceAdvisory)
	case d.Since != "" && d.After == 0:
		b.errorf(path+".since", "says what after counts from; write after beside it")
	case d.After != 0 && d.Since != SinceAdvisory && (d.Fixed == nil || !*d.Fixed):
		b.errorf(path+".after", "it counts from when a fix was published; write fixed: true beside it, or since: advisory")
	}
}
