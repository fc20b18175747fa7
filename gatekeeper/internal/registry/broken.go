package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
)

// brokenError says that a server gave no answer, or not all of one. Only what
// comes out of an exchange itself is one: neither what was refused before
// anything was sent nor what ended because nobody wanted it any more.
type brokenError struct{ err error }

// Error is what went wrong.
func (e *brokenError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *brokenError) Unwrap() error { return e.err }

// sourceError says that what was to be sent could not be read. The server that
// it was sent to has nothing to do with it.
type sourceError struct{ err error }

// Error is what went wrong.
func (e *sourceError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *sourceError) Unwrap() error { return e.err }

// broken marks the failure of an exchange as the server's, unless it is not.
// Ended is the end of the caller's context, if it has ended.
func broken(err, ended error) error {
	if ended != nil || errors.Is(err, context.Canceled) || misconfigured(err) {
		return err
	}
	return &brokenError{err}
}

// misconfigured says whether a failure stays until somebody changes something:
// an address that may not be asked, a certificate, a server without TLS.
func misconfigured(err error) bool {
	if _, ok := errors.AsType[*AddressError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch)
}
