package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// lintReport is what lint prints as JSON.
type lintReport struct {
	Sound    bool      `json:"sound"`
	Mistakes []mistake `json:"mistakes"`
	Policies []string  `json:"policies,omitempty"` // names of the sound ones
	Warnings []string  `json:"warnings,omitempty"` // what is sound and yet hardly meant
}

// mistake is one error, with its place when it has one.
type mistake struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// LintPolicies checks policy files and folders.
func LintPolicies(ctx context.Context, locations []string, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	var all []policyfile.Policy
	var errs []error
	for _, location := range locations {
		policies, err := loadPolicies(ctx, location)
		all, errs = append(all, policies...), append(errs, err)
	}
	return printLint(output, all, nil, errors.Join(errs...), streams)
}

// LintConfig checks a configuration file and the policies it names.
func LintConfig(ctx context.Context, file, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	s, err := load(ctx, file)
	if err != nil {
		return printLint(output, nil, nil, err, streams)
	}
	if _, err = s.registries(unobserved{}); err == nil {
		_, err = sources(s.config)
	}
	if err == nil {
		_, err = s.config.Admin.Token()
	}
	var warnings []string
	switch {
	case !s.config.Signs():
		warnings = append(warnings, unsigned)
	case err == nil && !keys.IsKMS(s.config.Signing.Key): // a service is not asked
		_, _, err = s.signing(ctx)
	}
	return printLint(output, s.policies, warnings, err, streams)
}

func printLint(output string, policies []policyfile.Policy, warnings []string, err error, streams Streams) error {
	found := lintReport{Sound: err == nil, Mistakes: mistakes(err), Warnings: warnings}
	for _, p := range policies {
		found.Policies = append(found.Policies, p.Name())
	}
	code := StatusOK
	if !found.Sound {
		code = StatusRejected
	}
	if output == outputJSON {
		if err := printJSON(streams.Out, found); err != nil {
			return err
		}
		return status(code, nil)
	}
	if err != nil {
		return status(code, err)
	}
	for _, w := range warnings {
		if _, err := fmt.Fprintln(streams.Out, "warning:", w); err != nil {
			return err
		}
	}
	for _, p := range policies {
		if _, err := fmt.Fprintf(streams.Out, "%s: policy %s is sound (%s)\n", p.File, p.Name(), p.Fingerprint()); err != nil {
			return err
		}
	}
	if len(policies) == 0 {
		_, err := fmt.Fprintln(streams.Out, "no policy: nothing would be promoted")
		return err
	}
	return nil
}

// mistakes takes joined errors apart.
func mistakes(err error) []mistake {
	if err == nil {
		return []mistake{}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []mistake
		for _, e := range joined.Unwrap() {
			all = append(all, mistakes(e)...)
		}
		return all
	}
	if placed, ok := errors.AsType[*strictyaml.Error](err); ok {
		return []mistake{{File: placed.File, Line: placed.Line, Column: placed.Column, Message: placed.Message}}
	}
	return []mistake{{Message: err.Error()}}
}

// PrintConfigSchema prints the JSON Schema of the configuration file.
func PrintConfigSchema(streams Streams) error {
	text, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(streams.Out, string(text))
	return err
}
