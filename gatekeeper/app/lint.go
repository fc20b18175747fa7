package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// lintReport is what lint prints as JSON.
type lintReport struct {
	Sound    bool      `json:"sound"`
	Mistakes []mistake `json:"mistakes"`
	Policies []string  `json:"policies,omitempty"` // names of the sound ones
	Lists    []string  `json:"lists,omitempty"`    // kind/name of the sound ones
	Warnings []string  `json:"warnings,omitempty"` // what is sound and yet hardly meant
	Notes    []string  `json:"notes,omitempty"`    // what was not looked at
}

// mistake is one error, with its place when it has one.
type mistake struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// linted is what lint has read. No service is asked for anything: a lint has
// to work on every machine.
type linted struct {
	policies []policyfile.Policy
	lists    []policyfile.List
	warnings []string
	notes    []string
	unread   map[string]bool // keys of services, by their URIs
}

// LintPolicies checks policy files and folders.
func LintPolicies(ctx context.Context, locations []string, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	var l linted
	var errs []error
	lists := listsOf(locations)
	for i, location := range locations {
		errs = append(errs, l.readWith(ctx, location, elsewhere(lists, i)))
	}
	l.warnLists()
	return l.print(output, errors.Join(errs...), streams)
}

// LintConfig checks a configuration file and the policies it names.
func LintConfig(ctx context.Context, file, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	var l linted
	return l.print(output, l.config(ctx, file), streams)
}

func (l *linted) config(ctx context.Context, file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	if err := l.readPolicies(ctx, c.Policies); err != nil {
		return err
	}
	l.warnLists()
	s := &setup{config: c}
	if err := errors.Join(s.checkPolicies(l.policies), s.trustRoots(slog.New(slog.DiscardHandler)).Check()); err != nil {
		l.policies = nil
		return err
	}
	if _, err := s.registries(registry.Deps{Observer: unobserved{}}); err != nil {
		return err
	}
	if _, err := sources(c); err != nil {
		return err
	}
	if _, err := c.Admin.Token(); err != nil {
		return err
	}
	return l.signing(ctx, s)
}

// readPolicies reads policies with a new key in place of each that a service
// keeps, and adds the sound ones.
func (l *linted) readPolicies(ctx context.Context, location string) error {
	return l.readWith(ctx, location, policy.Lists{})
}

// readWith reads policies that may name lists from elsewhere too.
func (l *linted) readWith(ctx context.Context, location string, lists policy.Lists) error {
	source := policyset.Source{Location: location, Lists: lists, KMS: func(_ context.Context, uri string) ([]byte, error) {
		l.skip(uri)
		pair, err := cosignkey.Generate(nil)
		return pair.Public, err
	}}
	set, err := source.ReadSet(ctx)
	l.policies, l.lists = append(l.policies, set.Policies...), append(l.lists, set.Lists...)
	for _, p := range set.Policies {
		for _, w := range p.Warnings() {
			l.warnings = append(l.warnings, w.Error())
		}
		l.warnLicenses(p, time.Now())
		l.warnExceptions(p, time.Now())
	}
	return err
}

// warnContradictions warns of policies that have to agree and cannot.
func (l *linted) warnContradictions() {
	for i, p := range l.policies {
		for _, other := range l.policies[:i] {
			if why := policy.Contradiction(p.Compiled, other.Compiled); why != "" {
				l.warnings = append(l.warnings, fmt.Sprintf("%s: policy %s: it has to agree with policy %s, and cannot: %s", p.File, p.Name(), other.Name(), why))
			}
		}
	}
}

// warnLicenses warns of exceptions of licences that ended, or end before anybody
// may look again.
func (l *linted) warnLicenses(p policyfile.Policy, now time.Time) {
	if p.Spec().Licenses == nil {
		return
	}
	for i, x := range p.Spec().Licenses.Exceptions {
		ends := ""
		switch gatekeeper.ExceptionStateOf(policy.Exception{Expires: x.Expires}, now) {
		case gatekeeper.ExceptionExpired:
			ends = "ended on "
		case gatekeeper.ExceptionExpiring:
			ends = "ends on "
		case gatekeeper.ExceptionActive, gatekeeper.ExceptionUnused:
			continue
		}
		l.warnings = append(l.warnings, fmt.Sprintf("%s: policy %s: licenses.exceptions[%d], by %s, %s%s",
			p.File, p.Name(), i, x.Owner, ends, x.Expires.UTC().Format(time.DateTime)))
	}
}

// skip notes that a service was not asked for a key.
func (l *linted) skip(uri string) {
	if l.unread[uri] {
		return
	}
	if l.unread == nil {
		l.unread = map[string]bool{}
	}
	l.unread[uri] = true
	l.notes = append(l.notes, "the key "+uri+" was not looked up: lint asks no service; only the form of its URI was checked")
}

// signing checks everything that summaries are signed and verified with,
// besides a key of a service.
func (l *linted) signing(ctx context.Context, s *setup) error {
	if !s.config.Signs() {
		l.warnings = append(l.warnings, unsigned)
	}
	if s.config.Signing == nil {
		return nil
	}
	c, rest := *s.config, *s.config.Signing
	if keys.IsKMS(rest.Key) {
		l.skip(rest.Key)
		rest.Key = ""
	}
	c.Signing = &rest
	local := &setup{config: &c}
	if _, _, err := local.signing(ctx); err != nil {
		return err
	}
	if !c.Signs() && len(rest.PublicKeys) == 0 {
		return nil
	}
	_, err := local.trust(ctx)
	return err
}

// fingerprint names a policy's content. One with a key that was not looked up
// has another one in the service.
func (l *linted) fingerprint(p policyfile.Policy) string {
	spec := p.Spec()
	var all []policy.KeyReference
	for _, s := range spec.Signatures {
		all = append(all, s.AnyOf...)
	}
	for _, a := range spec.Authorities {
		all = append(all, a.AnyOf...)
	}
	for _, r := range all {
		if r.KMS != "" {
			return "its fingerprint depends on a key that was not looked up"
		}
	}
	return p.Fingerprint()
}

func (l *linted) print(output string, err error, streams Streams) error {
	l.warnContradictions()
	found := lintReport{Sound: err == nil, Mistakes: mistakes(err), Warnings: l.warnings, Notes: l.notes}
	for _, p := range l.policies {
		found.Policies = append(found.Policies, p.Name())
	}
	for _, list := range l.lists {
		found.Lists = append(found.Lists, list.Kind+"/"+list.Name)
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
	var lines []string
	for _, w := range l.warnings {
		lines = append(lines, "warning: "+w)
	}
	for _, n := range l.notes {
		lines = append(lines, "note: "+n)
	}
	for _, p := range l.policies {
		lines = append(lines, fmt.Sprintf("%s: policy %s is sound (%s)", p.File, p.Name(), l.fingerprint(p)))
	}
	for _, list := range l.lists {
		lines = append(lines, fmt.Sprintf("%s: %s %s is sound", list.File, list.Kind, list.Name))
	}
	if len(l.policies) == 0 {
		lines = append(lines, "no policy: nothing would be promoted")
	}
	_, err = fmt.Fprintln(streams.Out, strings.Join(lines, "\n"))
	return err
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

// PrintPolicySchema prints the JSON Schema of policies.
func PrintPolicySchema(streams Streams) error {
	text, err := policyfile.Schema()
	if err != nil {
		return err
	}
	_, err = streams.Out.Write(text)
	return err
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
