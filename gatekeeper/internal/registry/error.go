package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
)

// Error is a registry's failure to answer: nobody knows whether what was
// asked for exists. Its text holds no credentials and nothing unbounded.
type Error struct {
	Registry   string // the name in the configuration
	Operation  string
	StatusCode int           // 0 when there was no answer
	Message    string        // the registry's words, bounded
	Wait       time.Duration // how long nothing is to be asked; 0: nobody said so
	Err        error
}

// Error says what was being done where and what came back.
func (e *Error) Error() string {
	text := fmt.Sprintf("registry %s: %s: ", e.Registry, e.Operation)
	switch {
	case e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden:
		text += fmt.Sprintf("status %d, the credentials in the configuration do not allow it", e.StatusCode)
	case e.StatusCode != 0:
		text += fmt.Sprintf("status %d", e.StatusCode)
	case e.Err != nil:
		return text + clean(e.Err.Error())
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter is how long to wait before anything is asked again: what the
// registry wants, or what is left of the time in which nothing is sent to it.
// Asking sooner is of no use. It is 0 when that is up to the caller.
func (e *Error) RetryAfter() time.Duration { return e.Wait }

// Temporary says whether asking again soon may help.
func (e *Error) Temporary() bool {
	if _, ok := errors.AsType[*TokenServerError](e.Err); ok {
		return false
	}
	if _, ok := errors.AsType[*AddressError](e.Err); ok {
		return false
	}
	return e.StatusCode == 0 || e.StatusCode == http.StatusRequestTimeout || e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= http.StatusInternalServerError
}

// failed wraps a failure to get any answer. The URL in http.Client's errors is
// left out: that of an upload may hold a key to it.
func (c *client) failed(operation string, err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	inner, ok := errors.AsType[*Error](err)
	switch {
	case ok && errors.Is(err, inner) && err.Error() == inner.Error():
		return err // it says already what was being done
	case ok, errors.Is(err, context.Canceled), errors.Is(err, gatekeeper.ErrInvalidContent):
		return fmt.Errorf("registry %s: %s: %w", c.name, operation, err)
	}
	out := &Error{Registry: c.name, Operation: operation, Err: err}
	if held, ok := errors.AsType[*heldError](err); ok {
		out.Wait = held.wait
	}
	return out
}

// specErrors is the body of an error (OCI distribution-spec v1.1, "Error Codes").
type specErrors struct {
	Errors []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

// refused turns an unwanted status into an error. Only the registry's own
// word for it, in the form of the specification, means absence: a 404 of a
// proxy in between does not.
func (c *client) refused(r request, resp *http.Response) error {
	out := &Error{Registry: c.name, Operation: r.operation, StatusCode: resp.StatusCode, Wait: retryAfter(resp, c.now)}
	spec, err := readErrors(resp)
	if err != nil {
		out.Err, out.Message = err, clean(err.Error())
		return out
	}
	if len(spec.Errors) > 0 {
		out.Message = clean(spec.Errors[0].Code + ": " + spec.Errors[0].Message)
	}
	if resp.StatusCode == http.StatusNotFound && absent(r, resp, spec) {
		return fmt.Errorf("registry %s: %s: %w", c.name, r.operation, gatekeeper.ErrNotFound)
	}
	return out
}

// readErrors reads the body of an error. A body of another form has none.
func readErrors(resp *http.Response) (specErrors, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return specErrors{}, err
	}
	if spec := (specErrors{}); json.Unmarshal(body, &spec) == nil {
		return spec, nil
	}
	return specErrors{}, nil
}

// unknown says whether a status that was wanted is the registry's own word
// for absence.
func unknown(r request, resp *http.Response) (bool, error) {
	if resp.StatusCode != http.StatusNotFound {
		return false, nil
	}
	spec, err := readErrors(resp)
	return err == nil && absent(r, resp, spec), err
}

func absent(r request, resp *http.Response, spec specErrors) bool {
	if r.method == http.MethodHead {
		// There is no body: the header that registries put on every answer
		// has to do.
		return resp.Header.Get("Docker-Distribution-Api-Version") != ""
	}
	for _, e := range spec.Errors {
		switch e.Code {
		case "NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND":
			return true
		}
	}
	return false
}

// maxRetryAfter bounds what a registry may ask for: an hour that was wrong is
// found out by asking.
const maxRetryAfter = time.Hour

// retryAfter reads how long a registry wants to be left alone (RFC 9110,
// section 10.2.3): seconds or a date. It is 0 when the registry says nothing.
func retryAfter(resp *http.Response, now func() time.Time) time.Duration {
	value := resp.Header.Get("Retry-After")
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // too large a number for anything
		}
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now()), 0), maxRetryAfter)
	}
	return 0
}

// clean bounds what a registry says and takes out what could fool a terminal.
func clean(s string) string { return plain.Line(s, 300) }
