package policy

import "time"

// Verdict is the answer to a push.
type Verdict string

// The verdicts. In audit mode a verdict says what would have been.
const (
	VerdictPromoted   Verdict = "promoted"
	VerdictRejected   Verdict = "rejected"
	VerdictPending    Verdict = "pending"    // evidence is awaited
	VerdictSuperseded Verdict = "superseded" // a newer push of the same tag overtook it
	VerdictError      Verdict = "error"      // could not decide
)

// Verdicts lists every verdict, for metrics and validation.
func Verdicts() []Verdict {
	return []Verdict{VerdictPromoted, VerdictRejected, VerdictPending, VerdictSuperseded, VerdictError}
}

// Mode says whether a policy's yes has an effect.
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce"
	ModeAudit   Mode = "audit" // decide and record, promote nothing
)

// Check names the section of a policy that a finding comes from. The set is
// closed: it is a metric label.
type Check string

// The checks.
const (
	CheckPolicy           Check = "policy" // no policy matches, or overlapping policies disagree
	CheckImage            Check = "image"  // the manifest, index or configuration itself
	CheckSignatures       Check = "signatures"
	CheckAttestations     Check = "attestations"
	CheckVulnerabilities  Check = "vulnerabilities"
	CheckMaxAge           Check = "patchLevel.maxAge"
	CheckOperatingSystems Check = "patchLevel.operatingSystems"
	CheckRuntimes         Check = "patchLevel.runtimes"
	CheckPackages         Check = "patchLevel.packages"
	CheckVersions         Check = "patchLevel.versions"
	CheckLabels           Check = "patchLevel.labels"
	CheckBase             Check = "patchLevel.base"
	CheckConfiguration    Check = "image.configuration" // what the image is configured to do, and secrets in it
	CheckComponents       Check = "components"
	CheckLicenses         Check = "licenses"
	CheckRules            Check = "rules"
	CheckPromote          Check = "promote" // the destination: immutable tags, templates
)

// Checks lists every check, for metrics.
func Checks() []Check {
	return []Check{
		CheckPolicy, CheckImage, CheckSignatures, CheckAttestations, CheckVulnerabilities, CheckMaxAge,
		CheckOperatingSystems, CheckRuntimes, CheckPackages, CheckVersions, CheckLabels, CheckBase, CheckConfiguration, CheckComponents, CheckLicenses, CheckRules, CheckPromote,
	}
}

// Reason classifies a finding. The set is closed: it is a metric label.
type Reason string

// The reasons.
const (
	ReasonAbsent       Reason = "absent"       // the evidence is not there
	ReasonWrongSigner  Reason = "wrong_signer" // signed, by somebody else
	ReasonInvalid      Reason = "invalid"      // contradicts itself or is about something else
	ReasonMalformed    Reason = "malformed"    // cannot be read
	ReasonUnavailable  Reason = "unavailable"  // outage, timeout, limit: could not decide
	ReasonDenied       Reason = "denied"       // a rule says no to what was found
	ReasonExcepted     Reason = "excepted"     // would be denied but for an exception
	ReasonGrace        Reason = "grace"        // will be denied, once its deadline has passed
	ReasonTooOld       Reason = "too_old"      // older than the policy allows
	ReasonEndOfLife    Reason = "end_of_life"  // no longer supported by its vendor
	ReasonUnrecognised Reason = "unrecognised" // operating system or version that cannot be judged
	ReasonNoMatch      Reason = "no_match"     // no policy matches
	ReasonConflict     Reason = "conflict"     // an immutable tag holds another digest
	ReasonDisagreement Reason = "disagreement" // another policy for the same destination says no, or sources of vulnerabilities differ
)

// Reasons lists every reason, for metrics.
func Reasons() []Reason {
	return []Reason{
		ReasonAbsent, ReasonWrongSigner, ReasonInvalid, ReasonMalformed, ReasonUnavailable, ReasonDenied, ReasonExcepted, ReasonGrace,
		ReasonTooOld, ReasonEndOfLife, ReasonUnrecognised, ReasonNoMatch, ReasonConflict, ReasonDisagreement,
	}
}

// Outcome is what a finding means for the verdict.
type Outcome string

// The outcomes, by what they do to the verdict.
const (
	OutcomeFail    Outcome = "fail"    // refuse
	OutcomeError   Outcome = "error"   // could not decide: try again
	OutcomePending Outcome = "pending" // wait for the evidence
	OutcomeInfo    Outcome = "info"    // recorded, changes nothing: an exception that applied
)

// Finding is one rule's answer, when it is anything but a plain yes.
type Finding struct {
	Check    Check   `json:"check"`
	Rule     string  `json:"rule,omitempty"` // the rule's name or place in the policy: "ci", "deny[0]"
	Platform string  `json:"platform,omitempty"`
	Outcome  Outcome `json:"outcome"`
	Reason   Reason  `json:"reason"`
	Found    string  `json:"found"`    // what was found, in plain words
	Expected string  `json:"expected"` // what the rule asks for
	Remedy   string  `json:"remedy"`   // what the developer can do about it
}

// Result is what one policy says about one subject at one moment.
type Result struct {
	Policy      string     `json:"policy"`
	Fingerprint string     `json:"fingerprint"` // of the policy and the keys it names
	Mode        Mode       `json:"mode"`
	Verdict     Verdict    `json:"verdict"`
	Findings    []Finding  `json:"findings"`
	Deadline    *time.Time `json:"deadline,omitempty"`   // until when missing evidence is awaited; set when Verdict is pending
	Inputs      []Input    `json:"inputs,omitempty"`     // signatures and attestations by the policy's authorities; everybody else's count for nothing
	Bases       []BuiltOn  `json:"bases,omitempty"`      // what the platforms are built on, as far as patchLevel.base found it proven
	Exceptions  []string   `json:"exceptions,omitempty"` // keys of those that excused something, see GrantedException
	Promotion   *Promotion `json:"promotion,omitempty"`  // where a yes takes it
}

// Input is a piece of evidence by one of a policy's authorities.
type Input struct {
	Manifest string `json:"manifest"`         // digest of the manifest that carries it
	Digest   string `json:"digest,omitempty"` // of the blob
}

// Promotion says where a promoted image goes, templates already rendered. Of a
// refusal because one of them makes no valid name it has what is known.
type Promotion struct {
	Registry   string   `json:"registry"`   // the golden registry's name in the configuration
	Repository string   `json:"repository"` // empty: its template makes no valid name
	Tags       []string `json:"tags"`
	Channels   []string `json:"channels,omitempty"` // moving tags
	Immutable  bool     `json:"immutable"`          // Tags (not Channels) must never move to another digest
}
