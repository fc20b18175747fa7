package gatekeeper

import "time"

// ExceptionUse says what an exception is needed for.
type ExceptionUse struct {
	Policy string `json:"policy"`
	Key    string `json:"key"` // see policy.GrantedException
	// Images is how many images it excuses something in, by their newest
	// judgement: of each tag what was pushed last, and what golden tags
	// point to.
	Images int `json:"images"`
	// JudgedAt is when the last of these judgements was, and Decision its
	// number.
	JudgedAt time.Time `json:"judgedAt"`
	Decision int64     `json:"decision"`
	Examples []string  `json:"examples"` // repository:tag of some of them, the newest first; at most 10
}
