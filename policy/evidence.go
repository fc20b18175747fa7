package policy

import (
	"encoding/json"
	"time"
)

// Evidence is everything known about one subject when it is judged: facts,
// never opinions. It is recorded with each decision, so that any decision can
// be reproduced and any policy replayed over it. Its JSON names are the names
// that CEL expressions use.
type Evidence struct {
	Subject      Subject       `json:"subject"`
	Push         Push          `json:"push"`
	Image        Image         `json:"image"`
	Signatures   []Signature   `json:"signatures"`
	Attestations []Attestation `json:"attestations"`
	// Problems are the questions that could not be answered: an outage, a
	// limit, a missing vulnerability database. A rule that needs the answer
	// yields an error, never a yes and never a refusal.
	Problems []Problem `json:"problems,omitempty"`
}

// Subject is what is judged: one digest in one repository of one registry.
type Subject struct {
	Registry   string `json:"registry"` // the registry's name in the configuration
	Repository string `json:"repository"`
	Digest     string `json:"digest"` // "sha256:" and 64 lower-case hex digits
}

// Push is how the subject came to be judged.
type Push struct {
	Tag        string    `json:"tag"`
	Actor      string    `json:"actor,omitempty"` // as the registry reports it, not authenticated
	ReceivedAt time.Time `json:"receivedAt"`      // when the journal accepted it; deadlines count from here
}

// Image describes the subject's manifest or index and every platform in it.
type Image struct {
	MediaType   string            `json:"mediaType"`
	Size        int64             `json:"size"` // of the manifest or index, in bytes
	Annotations map[string]string `json:"annotations,omitempty"`
	// Platforms holds one entry for an image, and one for each platform of
	// an index. Attestation children (BuildKit's unknown/unknown) are not
	// platforms. An index without any platform is invalid.
	Platforms []Platform `json:"platforms"`
}

// Platform is one image manifest with its configuration (OCI image-spec v1.1,
// config.md) and what a look inside its layers found.
type Platform struct {
	Name         string            `json:"name"` // os/architecture[/variant]
	Digest       string            `json:"digest"`
	Architecture string            `json:"architecture"`
	OS           string            `json:"os"`
	Variant      string            `json:"variant,omitempty"`
	Created      *time.Time        `json:"created,omitempty"` // as the configuration claims; nil when absent
	Annotations  map[string]string `json:"annotations,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Config       Config            `json:"config"`
	Layers       []Layer           `json:"layers,omitempty"`
	Scan         *Scan             `json:"scan,omitempty"` // nil when no policy asked for one, or it could not be made
	History      []History         `json:"history,omitempty"`
	// HistoryOmitted is how many entries of the history, the oldest of those
	// that are too many, are not recorded.
	HistoryOmitted int `json:"historyOmitted,omitempty"`
	// Secrets is what a search for secrets in the configuration and the
	// annotations found; nil: nobody looked. What it found is masked in all of
	// this evidence.
	Secrets *SecretSearch `json:"secrets,omitempty"`
	// Lineage is nil when no policy asked for it, or it could not be found out.
	Lineage *Lineage `json:"lineage,omitempty"`
	// Attestations are those about this manifest in an index. What is about the
	// subject is Evidence.Attestations, also where the subject is this manifest.
	// Nil: no policy asked for them.
	Attestations []Attestation `json:"attestations,omitzero"`
}

// attestationsAbout lists the attestations about a platform by itself; false
// when nobody looked for them.
func (ev *Evidence) attestationsAbout(p Platform) ([]Attestation, bool) {
	if p.Digest == ev.Subject.Digest {
		return ev.Attestations, true
	}
	return p.Attestations, p.Attestations != nil
}

// Config is the execution part of an image configuration.
type Config struct {
	User         string   `json:"user"`
	WorkingDir   string   `json:"workingDir,omitempty"`
	Entrypoint   []string `json:"entrypoint,omitempty"`
	Cmd          []string `json:"cmd,omitempty"`
	Env          []string `json:"env,omitempty"`
	ExposedPorts []string `json:"exposedPorts,omitempty"`
	Volumes      []string `json:"volumes,omitempty"`
	StopSignal   string   `json:"stopSignal,omitempty"`
}

// Layer is one layer's descriptor with its diff_id.
type Layer struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	DiffID    string `json:"diffID"`
}

// Verification is the result of checking one signature or attestation against
// every key and trust root that the policies name.
type Verification string

// The results of a verification. That nothing was found is no result: then
// there is no Signature or Attestation at all.
const (
	// Verified: the bytes are signed by the authorities in VerifiedBy, or by
	// the Identities, and speak about the subject. Anybody can have an
	// identity: only who it is makes a signature count.
	Verified Verification = "verified"
	// UnknownSigner: well formed, about the subject, but signed by none of
	// the keys that were asked about, and with no certificate of a trust
	// root.
	UnknownSigner Verification = "unknown_signer"
	// Invalid: it contradicts itself or speaks about something else, for
	// example another image's signature.
	Invalid Verification = "invalid"
	// Malformed: it cannot be read as what it says it is.
	Malformed Verification = "malformed"
)

// Signature is one image signature that was found for the subject.
type Signature struct {
	Form       string       `json:"form"`             // "tag" (.sig), "referrer", "bundle" or "notary"
	Manifest   string       `json:"manifest"`         // digest of the manifest that carries it
	Digest     string       `json:"digest,omitempty"` // of the blob that is signed or holds the signature
	Result     Verification `json:"result"`
	VerifiedBy []string     `json:"verifiedBy,omitempty"` // IDs of authorities with a key or a Notary Project certificate
	Identities []Identity   `json:"identities,omitempty"` // of its certificate, one for each trust root that it chains to
	// Certificate tells the Notary Project's signers apart: "sha256:" and the
	// hex SHA-256 of the signing certificate's SubjectPublicKeyInfo. Empty for
	// all others, and in evidence from before it was recorded.
	Certificate string `json:"certificate,omitempty"`
	Reason      string `json:"reason,omitempty"` // why Result is not Verified
}

// Attestation is one in-toto statement in a DSSE envelope that was found for
// the subject (in-toto Attestation Framework v1).
type Attestation struct {
	Form          string          `json:"form"` // "tag" (.att), "referrer" or "bundle"
	Manifest      string          `json:"manifest"`
	Digest        string          `json:"digest,omitempty"`
	Result        Verification    `json:"result"`
	VerifiedBy    []string        `json:"verifiedBy,omitempty"`
	Identities    []Identity      `json:"identities,omitempty"`
	PredicateType string          `json:"predicateType,omitempty"` // from the signed statement, never from an annotation
	Predicate     json.RawMessage `json:"predicate,omitempty"`     // only when Result is Verified, by an authority that was asked about
	Reason        string          `json:"reason,omitempty"`
}

// Scan is what the scanner found in one platform's layers, or knows about what
// an SBOM lists.
type Scan struct {
	Scanner string `json:"scanner"` // name and version
	// FinishedAt is when it was made; zero in evidence from before it was
	// recorded. What was found with the same database may be remembered.
	FinishedAt time.Time        `json:"finishedAt,omitzero"`
	Catalogue  Catalogue        `json:"catalogue,omitzero"`
	Database   *Database        `json:"database,omitempty"`
	OS         *OperatingSystem `json:"os,omitempty"`      // nil when none was recognised
	Runtimes   []Runtime        `json:"runtimes,omitzero"` // nil: nobody looked for them among the packages
	Packages   []Package        `json:"packages"`
	// LicensesRead says that Package.Licenses is what was found; evidence from
	// before licences were recorded has none of them, whatever there was.
	LicensesRead    bool            `json:"licensesRead,omitempty"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities"`
}

// Database identifies the vulnerability database of a scan.
type Database struct {
	Built    time.Time `json:"built"`
	Checksum string    `json:"checksum"`
	Sample   bool      `json:"sample,omitempty"` // made for demonstrations and tests, not for judging
}

// OperatingSystem is what /etc/os-release says (os-release(5)).
type OperatingSystem struct {
	ID        string     `json:"id"`      // "debian"
	Version   string     `json:"version"` // VERSION_ID, "12"
	Name      string     `json:"name,omitempty"`
	EndOfLife *time.Time `json:"endOfLife,omitempty"` // when the vendor's free security support ends; nil when unknown
	Rolling   bool       `json:"rolling,omitempty"`   // has no releases, so that none ends
}

// Package is one installed package.
type Package struct {
	Type    string `json:"type"` // package URL type: deb, rpm, apk, golang, npm, pypi, maven, …
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
	// Licenses are what was found about the package's licences: SPDX
	// expressions, or other texts as they are. All of them apply.
	Licenses []string `json:"licenses,omitempty"`
	// FixedIn is the version of the newest available fix for a known
	// vulnerability in this package; empty when there is none.
	FixedIn string `json:"fixedIn,omitempty"`
}

// Severity is a vulnerability's severity as its advisory gives it.
type Severity string

// The severities, worst first. An unknown severity is below all others.
const (
	SeverityCritical   Severity = "critical"
	SeverityHigh       Severity = "high"
	SeverityMedium     Severity = "medium"
	SeverityLow        Severity = "low"
	SeverityNegligible Severity = "negligible"
	SeverityUnknown    Severity = "unknown"
)

// Vulnerability is one known vulnerability in one installed package.
type Vulnerability struct {
	ID             string     `json:"id"`
	Aliases        []string   `json:"aliases,omitempty"`
	Severity       Severity   `json:"severity"`
	Package        string     `json:"package"`
	Version        string     `json:"version"`
	Type           string     `json:"type"`
	FixState       string     `json:"fixState"`          // fixed, not-fixed, wont-fix, unknown
	FixedIn        []string   `json:"fixedIn,omitempty"` // versions, when FixState is fixed
	FixedAt        *time.Time `json:"fixedAt,omitempty"`
	PublishedAt    *time.Time `json:"publishedAt,omitempty"` // of the vulnerability; nil when not known
	KnownExploited bool       `json:"knownExploited,omitempty"`
	EPSS           float64    `json:"epss,omitempty"` // probability, 0 to 1
	URL            string     `json:"url,omitempty"`
	// Suppressed is the scanner's own reason to take it for a false alarm. It
	// is on record, and denies nothing.
	Suppressed string `json:"suppressed,omitempty"`
}

// Part names the part of the evidence that a problem leaves unknown.
type Part string

// The parts of the evidence.
const (
	PartImage           Part = "image"
	PartSignatures      Part = "signatures"      // signatures and attestations
	PartScan            Part = "scan"            // packages and operating system
	PartVulnerabilities Part = "vulnerabilities" // database missing, outdated or unusable
	PartLineage         Part = "lineage"         // the golden images that the layers begin with
)

// Problem is a question about the subject that could not be answered.
type Problem struct {
	Part     Part   `json:"part"`
	Platform string `json:"platform,omitempty"` // empty: the whole subject
	Reason   string `json:"reason"`             // for people: what failed and what to do
}
