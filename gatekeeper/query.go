package gatekeeper

import (
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// DecisionQuery chooses decisions. Empty fields choose all.
type DecisionQuery struct {
	Verdict    policy.Verdict
	Source     string
	Repository string
	Tag        string
	Digest     string
	Policy     string
	Before     int64 // only decisions with a smaller ID; 0: from the newest on
	Limit      int   // at most this many; 50 when zero
}

// ImageStatus is the newest that is known about an image.
type ImageStatus struct {
	Push     Push      `json:"push"`
	State    string    `json:"state"`              // queued, judging, retrying, or a verdict
	Problem  string    `json:"problem,omitempty"`  // the last error, while it is tried again
	Decision *Decision `json:"decision,omitempty"` // nil before the first decision
}

// Queue is the work that is not finished.
type Queue struct {
	Pushes map[string]int // by state; every open state is there
	// Oldest is the age of the oldest push that waits for the gatekeeper;
	// one that waits for evidence does not count.
	Oldest time.Duration
}

// GoldenCount says how many golden images a policy let through.
type GoldenCount struct {
	Policy    string
	Compliant bool // the newest judgement of the image still says yes
	Images    int
}
