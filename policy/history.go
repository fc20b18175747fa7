package policy

import "time"

// History is how one layer came about, as the configuration claims (OCI
// image-spec v1.1, config.md, "history").
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"createdBy,omitempty"` // the command; what is cut of it is said at its end
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"emptyLayer,omitempty"` // it made no layer
}

// SecretSearch is the outcome of looking for secrets in what an image's
// configuration says, not in its layers.
type SecretSearch struct {
	Found   []Secret `json:"found"`
	Omitted int      `json:"omitted,omitempty"` // how many more were found than are listed
	// Incomplete says why a part was not looked at; empty: all of it was.
	Incomplete string `json:"incomplete,omitempty"`
}

// Secret is a secret that was found. What it is is not recorded.
type Secret struct {
	// Where is the place: "env NAME", "label NAME", "annotation NAME",
	// "entrypoint[0]", "cmd[0]" or "history[0]", counted from the oldest.
	Where string `json:"where"`
	Kind  string `json:"kind"` // "github-token", "private-key", "password", …
}
