// Package summary makes, signs and verifies the gatekeeper's own word about a
// golden image: an in-toto statement with a SLSA verification summary.
package summary

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/strictjson"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// What the statements say they are.
const (
	// PredicateType is that of a SLSA verification summary (SLSA v1.2,
	// "Verification Summary Attestation").
	PredicateType = "https://slsa.dev/verification_summary/v1"
	// StatementType is that of the in-toto Attestation Framework v1.
	StatementType = "https://in-toto.io/Statement/v1"
	// PayloadType is that of in-toto statements in DSSE envelopes.
	PayloadType = "application/vnd.in-toto+json"
	// Level is what was verified: that a policy of the gatekeeper said yes.
	// No SLSA level is claimed; none is proven.
	Level = "GATEKEEPER_GOLDEN"
	// Passed is the only result that is ever signed.
	Passed = "PASSED"
	// DefaultVerifier is the verifier's ID where none is configured.
	DefaultVerifier = "https://github.com/golden-gatekeeper/gatekeeper"

	slsaVersion = "1.2"
)

// maxSubjects is how many tags one statement may name.
const maxSubjects = 1024

// Verifier says who speaks.
type Verifier struct {
	ID      string // a URI
	Version string // of the product
}

// Facts are what a statement says. The same facts make the same bytes.
type Facts struct {
	Verifier Verifier
	Golden   string   // host/repository
	Digest   string   // of what was promoted
	Tags     []string // tags and channels that were approved for it
	Policy   string   // its name
	// Fingerprint is the policy's: "sha256:" and hex digits.
	Fingerprint string
	Source      string         // host/repository that the evidence was found in
	Inputs      []policy.Input // the evidence by the policy's authorities
	At          time.Time      // when the decision was recorded
	Order       Order
}

// Order is the place of an approval among those of one journal. The gate goes
// by it, not by time: of two pushes the later one may be decided earlier. The
// zero value says that the place is not known.
type Order struct {
	Push     int64 `json:"push"`     // the push's sequence number
	Decision int64 `json:"decision"` // the decision's, among those about the push
}

// Statement is the text that is signed.
func Statement(f Facts) ([]byte, error) {
	digest, err := digestSet(f.Digest)
	if err != nil {
		return nil, err
	}
	fingerprint, err := digestSet(f.Fingerprint)
	if err != nil {
		return nil, fmt.Errorf("the fingerprint of policy %s: %w", f.Policy, err)
	}
	if len(f.Tags) == 0 || len(f.Tags) > maxSubjects {
		return nil, fmt.Errorf("a summary for %d tags; it speaks about 1 to %d", len(f.Tags), maxSubjects)
	}
	s := statement{
		Type: StatementType, PredicateType: PredicateType,
		Predicate: predicate{
			Verifier:     verifier{ID: f.Verifier.ID, Version: map[string]string{"gatekeeper": f.Verifier.Version}},
			TimeVerified: f.At.UTC(), ResourceURI: f.Golden + "@" + f.Digest,
			Policy:             resource{URI: "gatekeeper:policy/" + f.Policy, Digest: fingerprint},
			InputAttestations:  inputs(f.Source, f.Inputs),
			VerificationResult: Passed, VerifiedLevels: []string{Level}, SLSAVersion: slsaVersion,
		},
	}
	if f.Order != (Order{}) {
		s.Predicate.Order = &f.Order
	}
	for _, tag := range f.Tags {
		s.Subject = append(s.Subject, subject{Name: f.Golden + ":" + tag, Digest: digest})
	}
	return json.Marshal(s)
}

// inputs lists the evidence: by the manifest in which it is found, and the
// digest of what is signed.
func inputs(source string, evidence []policy.Input) []resource {
	var all []resource
	for _, in := range evidence {
		if set, err := digestSet(cmp.Or(in.Digest, in.Manifest)); err == nil {
			all = append(all, resource{URI: source + "@" + in.Manifest, Digest: set})
		}
	}
	return all
}

// digestSet is the in-toto form of a digest.
func digestSet(digest string) (map[string]string, error) {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || algorithm != "sha256" || len(hex) != 64 {
		return nil, fmt.Errorf("%q is no sha256 digest", digest)
	}
	return map[string]string{algorithm: hex}, nil
}

type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Verifier           verifier   `json:"verifier"`
	TimeVerified       time.Time  `json:"timeVerified"`
	ResourceURI        string     `json:"resourceUri"`
	Policy             resource   `json:"policy"`
	InputAttestations  []resource `json:"inputAttestations,omitempty"`
	VerificationResult string     `json:"verificationResult"`
	VerifiedLevels     []string   `json:"verifiedLevels"`
	SLSAVersion        string     `json:"slsaVersion"`
	// Order is an extension: fields that readers do not know are theirs to
	// ignore, and are named by a URI (in-toto Attestation Framework v1,
	// "Parsing rules").
	Order *Order `json:"https://github.com/golden-gatekeeper/gatekeeper/order,omitempty"`
}

type verifier struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// resource is a resource descriptor of in-toto, with what is used of it.
type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

// Same says whether two statements are about the same approval. Which version
// of the product speaks is left aside, and the order where one does not say it:
// an upgrade between a summary and its tag makes no second summary.
func Same(a, b []byte) bool {
	one, errOne := parse(a)
	other, errOther := parse(b)
	if errOne != nil || errOther != nil {
		return false
	}
	one.Predicate.Verifier.Version, other.Predicate.Verifier.Version = nil, nil
	if one.Predicate.Order == nil || other.Predicate.Order == nil {
		one.Predicate.Order, other.Predicate.Order = nil, nil
	}
	return reflect.DeepEqual(one, other)
}

// parse reads a statement that has the shape of a verification summary.
func parse(payload []byte) (statement, error) {
	var s statement
	if err := strictjson.Unmarshal(payload, &s); err != nil {
		return s, fmt.Errorf("the statement: %w", err)
	}
	if s.Type != StatementType {
		return s, fmt.Errorf("a statement of type %q", clean(s.Type))
	}
	if len(s.Subject) > maxSubjects {
		return s, fmt.Errorf("a statement about %d subjects; at most %d are read", len(s.Subject), maxSubjects)
	}
	return s, nil
}

// predicateType reads only what a statement is about; empty when it cannot be
// read.
func predicateType(payload []byte) string {
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if err := strictjson.Unmarshal(payload, &s); err != nil {
		return ""
	}
	return s.PredicateType
}
