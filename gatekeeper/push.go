package gatekeeper

import (
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// Push is a push that the journal has accepted.
type Push struct {
	ID         int64     `json:"id"` // the journal's sequence number, in the order of arrival
	Source     string    `json:"source"`
	Repository string    `json:"repository"`
	Tag        string    `json:"tag,omitempty"`    // empty when pushed by digest
	Digest     string    `json:"digest,omitempty"` // empty until resolved, for formats that carry none
	MediaType  string    `json:"mediaType,omitempty"`
	Actor      string    `json:"actor,omitempty"`
	ReceivedAt time.Time `json:"receivedAt"`
	// PushedAt is when the push happened by the registry's clock, which tells
	// which of two pushes is the newer one; zero when the registry says no
	// time: then the order of arrival tells.
	PushedAt time.Time `json:"pushedAt,omitzero"`
	Attempt  int       `json:"attempt"` // how many times judging it failed with an error so far in a row

	// Golden says that the push was promoted, completely: golden tags point,
	// or pointed, to it. It is judged again without any effect.
	Golden bool `json:"-"`
	// Slow says that the push may take long without holding up others.
	Slow bool `json:"-"`
}

// Progress says what became of one attempt to process a push.
type Progress struct {
	// Verdict is the state the push is in now. Empty when the push is not
	// an image to judge (a signature, a referrer, an untagged manifest).
	Verdict policy.Verdict
	// Again is when to process the push again: the deadline of a pending
	// push. Zero: the verdict is final, until new evidence arrives.
	Again time.Time
	// Reason is a sentence for operators; set with VerdictError.
	Reason string
	// JudgedBy names what the push was judged by, see JudgedBy; empty when
	// that is not known, and when no policy was asked.
	JudgedBy string
	// Large says that the image is too large to be judged among others:
	// nothing was done, and Push.Slow has to be set first.
	Large bool
	// Unanswered says that a golden push could not be judged again. It counts
	// as a failed attempt, and the push stays what it is.
	Unanswered bool
}

// Decision is the record of one judgement.
type Decision struct {
	ID        int64             `json:"id"`
	Push      Push              `json:"push"`
	Verdict   policy.Verdict    `json:"verdict"`
	Mode      policy.Mode       `json:"mode"`
	Results   []policy.Result   `json:"results"`            // one for each policy that matched
	Findings  []policy.Finding  `json:"findings,omitempty"` // those of no single policy: nothing matches, conflict
	Note      string            `json:"note,omitempty"`     // one sentence when there is no finding to read: what overtook it
	DecidedAt time.Time         `json:"decidedAt"`
	Took      time.Duration     `json:"took"`               // nanoseconds from the push's arrival to this decision
	Evidence  *policy.Evidence  `json:"evidence,omitempty"` // nil in listings
	Golden    []GoldenReference `json:"golden,omitempty"`   // what was written; set once the promotion is complete
}

// GoldenReference is one tag in a golden repository.
type GoldenReference struct {
	Registry   string    `json:"registry"`
	Repository string    `json:"repository"`
	Tag        string    `json:"tag"`
	Digest     string    `json:"digest"`
	PushID     int64     `json:"pushID"`
	At         time.Time `json:"at"`
}
