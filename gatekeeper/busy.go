package gatekeeper

// BusyError says that others had the turn of a repository for too long. Nothing
// failed, and nothing was tried: whoever waited comes back soon.
type BusyError struct {
	Place string // where the repository is
	Err   error
}

// Error implements error.
func (e *BusyError) Error() string {
	return "another promotion to " + e.Place + " is under way: " + e.Err.Error()
}

// Unwrap returns what ended the wait.
func (e *BusyError) Unwrap() error { return e.Err }
