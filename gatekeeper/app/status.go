// Package app is the composition root: it turns a configuration into the
// running service, and holds the bodies of the commands.
package app

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The exit statuses of the commands.
const (
	StatusOK        = 0 // would be promoted; sound; answered
	StatusRejected  = 1 // rejected; mistakes found; a sample missed its verdict
	StatusUsage     = 2 // flags, arguments, configuration
	StatusUndecided = 3 // could not decide; no answer
	StatusPending   = 4 // evidence is missing
)

// StatusError ends a command with an exit status. Err is nil when everything
// there is to say was printed.
type StatusError struct {
	Code int
	Err  error
}

// Error is the error's text, or names the status.
func (e *StatusError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *StatusError) Unwrap() error { return e.Err }

func status(code int, err error) error {
	if code == StatusOK && err == nil {
		return nil
	}
	return &StatusError{Code: code, Err: err}
}

// verdictStatus is the exit status that stands for a verdict.
func verdictStatus(v policy.Verdict) int {
	switch v {
	case policy.VerdictPromoted:
		return StatusOK
	case policy.VerdictRejected, policy.VerdictSuperseded:
		return StatusRejected
	case policy.VerdictPending:
		return StatusPending
	case policy.VerdictError:
		return StatusUndecided
	}
	return StatusUndecided
}

// Streams are where a command writes.
type Streams struct {
	Out io.Writer
	Err io.Writer
}

// The output formats of the commands.
const (
	outputText = "text"
	outputJSON = "json"
)

// checkOutput refuses an output format that no command has.
func checkOutput(format string) error {
	if format == outputText || format == outputJSON {
		return nil
	}
	return status(StatusUsage, fmt.Errorf("unknown output format %q: use text or json", format))
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// Version is the version of the module that was built.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// PrintVersion prints the version of the product and of what it is built with.
func PrintVersion(output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
	}{Version: Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
	}
	if output == outputJSON {
		return printJSON(streams.Out, v)
	}
	_, err := fmt.Fprintf(streams.Out, "gatekeeper %s (%s)\n", v.Version, v.Go)
	return err
}
