package config

import (
	"cmp"
	"fmt"
	"net/url"
)

// TrustRoot is a Sigstore instance whose certificates and logs policies can
// name. One of the name sigstore takes the place of the built-in one.
type TrustRoot struct {
	Name    string  `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	File    string  `yaml:"file" json:"file,omitempty" jsonschema:"description=trusted_root.json\\, or several of them one after the other"`
	TUF     *TUF    `yaml:"tuf" json:"tuf,omitempty"`
	Require Require `yaml:"require" json:"require,omitzero"`
}

// TUF is a repository of The Update Framework from which a trust root is kept
// current.
type TUF struct {
	URL      string `yaml:"url" json:"url" jsonschema:"description=the repository or a mirror of it"`
	RootFile string `yaml:"rootFile" json:"rootFile" jsonschema:"description=the root.json that is trusted to begin with"`
	Target   string `yaml:"target" json:"target,omitempty" jsonschema:"description=trusted_root.json when left out"`
}

// Require says what has to prove a signature by a certificate. What is left
// out is 1.
type Require struct {
	CertificateTimestamps *int `yaml:"certificateTimestamps" json:"certificateTimestamps,omitempty" jsonschema:"minimum=0,description=by certificate transparency logs; 0 for an instance without one"`
	LogEntries            *int `yaml:"logEntries" json:"logEntries,omitempty" jsonschema:"minimum=0,description=in transparency logs; 0 for an instance without one\\, whose timestamps prove the time"`
	Timestamps            *int `yaml:"timestamps" json:"timestamps,omitempty" jsonschema:"minimum=1,description=by logs or timestamp authorities"`
}

// TargetName is the target in the TUF repository.
func (t TUF) TargetName() string { return cmp.Or(t.Target, "trusted_root.json") }

// maxRequired bounds the proofs that can be asked for.
const maxRequired = 16

func (v *validator) trustRoots() {
	seen := map[string]bool{}
	for i, r := range v.c.TrustRoots {
		at := fmt.Sprintf("$.trustRoots[%d]", i)
		v.name(at+".name", r.Name, seen)
		if (r.File == "") == (r.TUF == nil) {
			v.failf(at, "has to have one of file and tuf")
		}
		v.tuf(at+".tuf", r.TUF)
		v.require(at+".require", r.Require)
	}
}

func (v *validator) tuf(at string, t *TUF) {
	if t == nil {
		return
	}
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		v.failf(at+".url", "is no repository's URL; write one like https://tuf.example.com")
	}
	if t.RootFile == "" {
		v.failf(at, "has no rootFile; name the root.json that is trusted to begin with")
	}
}

func (v *validator) require(at string, r Require) {
	for key, n := range map[string]*int{"certificateTimestamps": r.CertificateTimestamps, "logEntries": r.LogEntries, "timestamps": r.Timestamps} {
		if n != nil && (*n < 0 || *n > maxRequired) {
			v.failf(at+"."+key, "%d is out of range; write 0 to %d", *n, maxRequired)
		}
	}
	if r.Timestamps != nil && *r.Timestamps == 0 {
		v.failf(at+".timestamps", "0 would let certificates count long after they ended; write 1")
	}
}
