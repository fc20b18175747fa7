package notation

import (
	"errors"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
)

// The kinds of answer that are not yes. Every error of Verify is one of them.
var (
	// ErrMalformed: the bytes cannot be read as an envelope of their media
	// type, or what is signed is not the Notary Project's payload.
	ErrMalformed = errors.New("malformed notation signature")
	// ErrInvalid: readable, but the signature is broken, speaks about
	// something else, has expired or been revoked, or asks for what this
	// verifier does not do.
	ErrInvalid = errors.New("invalid notation signature")
	// ErrUnknownSigner: a sound signature about the subject, by somebody who
	// is not trusted.
	ErrUnknownSigner = errors.New("notation signature by an unknown signer")
	// ErrUndecided: whether the signature counts is not known, for example
	// because nobody could be asked about revocation. Asking again may help.
	ErrUndecided = errors.New("undecided notation signature")
)

// maxReason bounds the text of an error, in runes: it repeats what the
// envelope says.
const maxReason = 300

// kindError is an answer that is not yes, with its reason.
type kindError struct {
	kind  error
	cause error
}

func fail(kind, cause error) error { return &kindError{kind: kind, cause: cause} }

// Error gives the kind and the reason on one line of bounded length.
func (e *kindError) Error() string { return bounded(e.kind.Error() + ": " + e.cause.Error()) }

// Unwrap returns the kind and the cause.
func (e *kindError) Unwrap() []error { return []error{e.kind, e.cause} }

// bounded makes a text that others wrote safe to show.
func bounded(s string) string { return plain.Line(s, maxReason) }
