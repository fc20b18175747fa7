package policy

import (
	"encoding"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// The identification of a policy document.
const (
	APIVersion = "gatekeeper/v1alpha1"
	Kind       = "PromotionPolicy"
)

// Policy is a policy as it is written. Its keys are documented in
// docs/policy.md.
type Policy struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion"`
	Kind       string   `yaml:"kind" json:"kind"`
	Metadata   Metadata `yaml:"metadata" json:"metadata"`
	Spec       Spec     `yaml:"spec" json:"spec"`
}

// Metadata names a policy.
type Metadata struct {
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description" json:"description,omitempty"`
}

// Spec says which pushes a policy is about, what has to be true of them, and
// where they go.
type Spec struct {
	From            string           `yaml:"from" json:"from"` // a registry's name in the configuration
	Match           Match            `yaml:"match" json:"match"`
	Mode            Mode             `yaml:"mode" json:"mode"`
	Wait            *Duration        `yaml:"wait" json:"wait"` // 10m when nil, which that of a compiled policy never is
	Authorities     []NamedAuthority `yaml:"authorities" json:"authorities,omitempty"`
	Signatures      []SignatureRule  `yaml:"signatures" json:"signatures,omitempty"`
	Attestations    []Attested       `yaml:"attestations" json:"attestations,omitempty"`
	SBOM            *SBOMSource      `yaml:"sbom" json:"sbom,omitempty"`
	Vulnerabilities *Vulnerabilities `yaml:"vulnerabilities" json:"vulnerabilities,omitempty"`
	PatchLevel      PatchLevel       `yaml:"patchLevel" json:"patchLevel"`
	Image           *Configured      `yaml:"image" json:"image,omitempty"`
	Components      *Components      `yaml:"components" json:"components,omitempty"`
	Licenses        *Licenses        `yaml:"licenses" json:"licenses,omitempty"`
	Rules           []Rule           `yaml:"rules" json:"rules,omitempty"`
	Promote         Promote          `yaml:"promote" json:"promote"`
}

// Match chooses pushes by repository and tag, with globs: * within a path
// element, ** across elements, and ! in front to leave out again. What is there
// has to hold, of each list one entry. Regular expressions are for whole names.
type Match struct {
	Repositories       []string `yaml:"repositories" json:"repositories"`
	RepositoriesRegExp []string `yaml:"repositoriesRegExp" json:"repositoriesRegExp,omitempty"`
	Tags               []string `yaml:"tags" json:"tags,omitempty"` // every tag when empty
	TagsRegExp         []string `yaml:"tagsRegExp" json:"tagsRegExp,omitempty"`
	// Versions is a range of semantic versions, such as ">= 1.4, < 2": tags that
	// are one of them. Pre-releases are only where the range names one.
	Versions string `yaml:"versions" json:"versions,omitempty"`
}

// NamedAuthority is a group of authorities that signatures, attestations and
// other rules refer to by its name.
type NamedAuthority struct {
	Name  string         `yaml:"name" json:"name"`
	AnyOf []KeyReference `yaml:"anyOf" json:"anyOf"`
	// Threshold is how many of anyOf have to sign, each another signer; 1
	// when zero.
	Threshold int `yaml:"threshold" json:"threshold,omitempty"`
}

// SignatureRule asks for an image signature: by an authority of its own, or by
// one of those it names.
type SignatureRule struct {
	Name      string         `yaml:"name" json:"name"`
	AnyOf     []KeyReference `yaml:"anyOf" json:"anyOf,omitempty"`
	Threshold int            `yaml:"threshold" json:"threshold,omitempty"`
	SignedBy  []string       `yaml:"signedBy" json:"signedBy,omitempty"`
}

// KeyReference is one authority: a public key, by its file, in a key
// management system or written here, an identity, or a Notary Project
// certificate.
type KeyReference struct {
	KeyFile string `yaml:"keyFile" json:"keyFile,omitempty"` // relative to the policy file
	KMS     string `yaml:"kms" json:"kms,omitempty"`         // awskms://, azurekms://, gcpkms:// or hashivault://
	Key     string `yaml:"key" json:"key,omitempty"`         // PEM, PKIX
	// TrustRoot has the signature of a key be in this trust root's
	// transparency log.
	TrustRoot string            `yaml:"trustRoot" json:"trustRoot,omitempty"`
	Keyless   *KeylessReference `yaml:"keyless" json:"keyless,omitempty"`
	Notary    *NotaryReference  `yaml:"notary" json:"notary,omitempty"`
}

// KeylessReference names identities in certificates of a trust root. In
// values, * stands for any text, and in front of an @ for text without one;
// regular expressions are for the whole value. Both are up to 2048 bytes long.
type KeylessReference struct {
	TrustRoot      string            `yaml:"trustRoot" json:"trustRoot,omitempty"` // sigstore, the public instance, when left out
	Issuer         string            `yaml:"issuer" json:"issuer,omitempty"`
	IssuerRegExp   string            `yaml:"issuerRegExp" json:"issuerRegExp,omitempty"`
	Identity       string            `yaml:"identity" json:"identity,omitempty"`
	IdentityRegExp string            `yaml:"identityRegExp" json:"identityRegExp,omitempty"`
	Claims         map[string]string `yaml:"claims" json:"claims,omitempty"` // by the names of Claims
}

// NotaryReference names signers of the Notary Project by their certificates'
// subjects.
type NotaryReference struct {
	CertificateFile          string   `yaml:"certificateFile" json:"certificateFile,omitempty"` // PEM, relative to the policy file
	Certificates             string   `yaml:"certificates" json:"certificates,omitempty"`       // PEM
	TimestampCertificateFile string   `yaml:"timestampCertificateFile" json:"timestampCertificateFile,omitempty"`
	TimestampCertificates    string   `yaml:"timestampCertificates" json:"timestampCertificates,omitempty"`
	Identities               []string `yaml:"identities" json:"identities"`
}

// Attested asks for an attestation of one predicate type, signed by one of
// the named authorities, about which an expression holds. Where several have
// to sign, it has to hold for what each of them attests.
type Attested struct {
	Name          string   `yaml:"name" json:"name"`
	PredicateType string   `yaml:"predicateType" json:"predicateType"` // a URI, up to 200 bytes
	SignedBy      []string `yaml:"signedBy" json:"signedBy"`
	Expression    string   `yaml:"expression" json:"expression,omitempty"` // CEL over predicate, subject, push and now
}

// Vulnerabilities says which known vulnerabilities refuse an image.
type Vulnerabilities struct {
	Report     Report      `yaml:"report" json:"report"`
	Deny       []Deny      `yaml:"deny" json:"deny"`
	Counts     []Count     `yaml:"counts" json:"counts,omitempty"`
	Exceptions []Exception `yaml:"exceptions" json:"exceptions,omitempty"`
	// ExceptionLists are the names of lists whose exceptions apply too.
	ExceptionLists []string   `yaml:"exceptionLists" json:"exceptionLists,omitempty"`
	VEX            *VEXSource `yaml:"vex" json:"vex,omitempty"`
}

// Report says which scans count.
type Report struct {
	// From names where vulnerabilities are taken from, FromScanner and
	// FromAttestation, each of which has to be there; the scanner alone when
	// empty.
	From     []string `yaml:"from" json:"from,omitempty"`
	SignedBy []string `yaml:"signedBy" json:"signedBy,omitempty"` // names of authorities; for attestations
	// MaxAge is the age of the vulnerability database up to which a scan
	// counts; 48h when zero.
	MaxAge Duration `yaml:"maxAge" json:"maxAge,omitempty"`
	// ScanMaxAge is the age of the scan itself up to which a signed report
	// counts; MaxAge when zero.
	ScanMaxAge Duration `yaml:"scanMaxAge" json:"scanMaxAge,omitempty"`
	// AllowUndatedDatabase accepts signed reports that do not say how old
	// their database was.
	AllowUndatedDatabase bool `yaml:"allowUndatedDatabase" json:"allowUndatedDatabase,omitempty"`
	// AllowSampleDatabase accepts the sample that the demonstration uses.
	AllowSampleDatabase bool `yaml:"allowSampleDatabase" json:"allowSampleDatabase,omitempty"`
}

// Deny refuses vulnerabilities to which all of its conditions apply.
type Deny struct {
	Severity       Severity `yaml:"severity" json:"severity,omitempty"`             // at or above
	Fixed          *bool    `yaml:"fixed" json:"fixed,omitempty"`                   // with, or without, a published fix
	KnownExploited bool     `yaml:"knownExploited" json:"knownExploited,omitempty"` // in a catalogue of exploited vulnerabilities
	// EPSS is the least probability of being exploited within 30 days, 0 to 1
	// (FIRST, Exploit Prediction Scoring System); what has no score reaches it.
	EPSS float64 `yaml:"epss" json:"epss,omitempty"`
	// After is how long a fix may have been published for: the rule applies
	// that long after it, and at once when nobody knows since when there is
	// one. Only with fixed: true.
	After Duration `yaml:"after" json:"after,omitempty"`
	// Since is what After counts from: SinceFix, the default, or
	// SinceAdvisory, the vulnerability's own publication.
	Since    string   `yaml:"since" json:"since,omitempty"`
	Types    []string `yaml:"types" json:"types,omitempty"`       // package URL types; every type when empty
	Packages []string `yaml:"packages" json:"packages,omitempty"` // globs; every package when empty
}

// Count refuses an image by how many vulnerabilities one of its platforms has.
// One in several packages counts once; what an exception excuses, and what the
// scanner takes for a false alarm, does not count.
type Count struct {
	Severity Severity  `yaml:"severity" json:"severity,omitempty"` // exactly; every severity when empty
	Fixed    *bool     `yaml:"fixed" json:"fixed,omitempty"`       // with, or without, a published fix
	After    Duration  `yaml:"after" json:"after,omitempty"`       // what has had a fix for so long, or nobody knows how long; with fixed: true
	Deny     Threshold `yaml:"deny" json:"deny"`
}

// Threshold compares a number: ">= 10".
type Threshold struct {
	operator string
	limit    int
}

// UnmarshalYAML reads the text whatever escapes it is written with, which
// UnmarshalText is given as they are.
func (t *Threshold) UnmarshalYAML(decode func(any) error) error { return unmarshalText(decode, t) }

// UnmarshalText reads an operator and a number.
func (t *Threshold) UnmarshalText(text []byte) error {
	operator, number, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || n < 0 || !slices.Contains([]string{">", ">=", "=", "!=", "<=", "<"}, operator) {
		return fmt.Errorf("%q is no comparison; write > 10, >= 10, = 10, != 10, <= 10 or < 10", text)
	}
	t.operator, t.limit = operator, n
	return nil
}

// MarshalText writes the comparison as it can be read again.
func (t Threshold) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String prints the comparison as people write it.
func (t Threshold) String() string { return t.operator + " " + strconv.Itoa(t.limit) }

// otherwise says in words what the comparison does not hold for.
func (t Threshold) otherwise() string {
	words := map[string]string{
		">": "at most %d", ">=": "fewer than %d", "=": "another number than %d", "!=": "exactly %d", "<=": "more than %d", "<": "at least %d",
	}
	return fmt.Sprintf(words[t.operator], t.limit)
}

// holds says whether a number is as the comparison says.
func (t Threshold) holds(n int) bool {
	switch t.operator {
	case ">":
		return n > t.limit
	case ">=":
		return n >= t.limit
	case "=":
		return n == t.limit
	case "!=":
		return n != t.limit
	case "<=":
		return n <= t.limit
	}
	return n < t.limit
}

// holdsWithin says whether one of the numbers from least to most is as the
// comparison says.
func (t Threshold) holdsWithin(least, most int) bool {
	for n := least; n <= most; n++ {
		if t.holds(n) {
			return true
		}
	}
	return false
}

// Exception excuses one vulnerability for a while.
type Exception struct {
	ID           string   `yaml:"id" json:"id"`                               // or one of its aliases
	Package      string   `yaml:"package" json:"package,omitempty"`           // every package when empty
	Repositories []string `yaml:"repositories" json:"repositories,omitempty"` // globs as in match; every repository when empty
	Expires      Date     `yaml:"expires" json:"expires"`
	Owner        string   `yaml:"owner" json:"owner"`
	Reason       string   `yaml:"reason" json:"reason"`
	Ticket       string   `yaml:"ticket" json:"ticket,omitempty"` // where it was agreed on
}

// PatchLevel says how up to date an image has to be.
type PatchLevel struct {
	MaxAge           Duration          `yaml:"maxAge" json:"maxAge,omitempty"` // since the image was created
	Created          *CreatedFrom      `yaml:"created" json:"created,omitempty"`
	OperatingSystems *OperatingSystems `yaml:"operatingSystems" json:"operatingSystems,omitempty"`
	Runtimes         *Runtimes         `yaml:"runtimes" json:"runtimes,omitempty"`
	Packages         []MinimumVersion  `yaml:"packages" json:"packages,omitempty"`
	Versions         *Versions         `yaml:"versions" json:"versions,omitempty"`
	Labels           map[string]string `yaml:"labels" json:"labels,omitempty"` // name to anchored regular expression
	Base             *BaseRule         `yaml:"base" json:"base,omitempty"`
}

// OperatingSystems says which distributions an image may be built on.
type OperatingSystems struct {
	EndOfLife string   `yaml:"endOfLife" json:"endOfLife,omitempty"` // deny or allow
	Allow     []string `yaml:"allow" json:"allow,omitempty"`         // "debian >= 12"; every distribution when empty
}

// MinimumVersion asks that a package, where it is installed, is not older.
type MinimumVersion struct {
	Type    string `yaml:"type" json:"type"` // package URL type
	Name    string `yaml:"name" json:"name"`
	Minimum string `yaml:"minimum" json:"minimum"`
}

// Rule is a CEL expression that has to hold for every platform.
type Rule struct {
	Name       string `yaml:"name" json:"name"`
	Expression string `yaml:"expression" json:"expression"`
	Message    string `yaml:"message" json:"message,omitempty"` // the remedy, for developers
}

// Promote says where an image goes.
type Promote struct {
	To         string   `yaml:"to" json:"to"` // a registry's name in the configuration
	Repository string   `yaml:"repository" json:"repository"`
	Tags       []string `yaml:"tags" json:"tags"`
	Channels   []string `yaml:"channels" json:"channels,omitempty"`
	Immutable  bool     `yaml:"immutable" json:"immutable,omitempty"`
}

// Duration is a time span that people write as 90s, 10m, 48h, 30d or 2w.
type Duration time.Duration

// UnmarshalYAML reads the text whatever escapes it is written with, which
// UnmarshalText is given as they are.
func (d *Duration) UnmarshalYAML(decode func(any) error) error { return unmarshalText(decode, d) }

// UnmarshalText reads a duration in Prometheus's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := model.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write 90s, 10m, 48h or 30d", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration as it can be read again.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String prints the duration as people write it.
func (d Duration) String() string { return model.Duration(d).String() }

// Date is a moment that people write as a day, meaning its end in UTC, or in
// RFC 3339.
type Date struct{ time.Time }

// UnmarshalYAML reads the text whatever escapes it is written with, which
// UnmarshalText is given as they are.
func (d *Date) UnmarshalYAML(decode func(any) error) error { return unmarshalText(decode, d) }

// UnmarshalText reads 2026-12-31 or 2026-12-31T23:00:00Z.
func (d *Date) UnmarshalText(text []byte) error {
	if day, err := time.Parse(time.DateOnly, string(text)); err == nil {
		d.Time = day.AddDate(0, 0, 1)
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is no date; write 2026-12-31", text)
	}
	d.Time = t.UTC()
	return nil
}

func unmarshalText(decode func(any) error, into encoding.TextUnmarshaler) error {
	var text string
	if err := decode(&text); err != nil {
		return err
	}
	return into.UnmarshalText([]byte(text))
}
