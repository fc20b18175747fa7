package policy

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
)

// Warning is something in a sound policy that is hardly meant.
type Warning struct {
	Path    string // "$.spec.vulnerabilities.deny[1]"
	Message string
}

// Warnings lists what in a policy never makes a difference, never holds, or
// holds for more than it seems to.
func (c *Compiled) Warnings() []Warning {
	l := &linter{c: c}
	l.lintMatch()
	l.lintAuthorities()
	l.lintDeny()
	l.lintCounts()
	l.lintPatchLevel()
	l.lintComponents()
	l.lintLicenses()
	l.lintEnvironment()
	l.lintExpressions()
	l.lintPromote()
	return l.warnings
}

type linter struct {
	c        *Compiled
	warnings []Warning
}

func (l *linter) warn(path, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (l *linter) lintMatch() {
	const path = "$.spec.match"
	m := l.c.policy.Spec.Match
	l.lintGlobs(path+".repositories", m.Repositories)
	l.lintGlobs(path+".tags", m.Tags)
	for i, pattern := range m.Repositories {
		if strings.ToLower(pattern) != pattern {
			l.warn(fmt.Sprintf("%s.repositories[%d]", path, i), "%q matches nothing: repositories are written in lower case", pattern)
		}
	}
	if tags, patterns := Globs(m.Tags).Literals(); len(tags) > 0 && !patterns && !slices.ContainsFunc(tags, l.c.match.tag) {
		l.warn(path+".tags", "none of them is what the rest of match asks for, so that no tag matches")
	}
}

// lintGlobs warns of patterns that another takes out again.
func (l *linter) lintGlobs(path string, patterns []string) {
	for i, pattern := range patterns {
		if strings.HasPrefix(pattern, "!") {
			continue
		}
		without := slices.IndexFunc(patterns, func(p string) bool {
			return p == "!"+pattern || p == "!**" || strings.HasPrefix(p, "!") && !strings.ContainsAny(pattern, `*?[{\`) && Globs{p[1:]}.Match(pattern)
		})
		if without >= 0 {
			l.warn(fmt.Sprintf("%s[%d]", path, i), "%q matches nothing: %q leaves it out again", pattern, patterns[without])
		}
	}
}

func (l *linter) lintAuthorities() {
	for i, a := range l.c.policy.Spec.Authorities {
		if !l.c.referred[a.Name] {
			l.warn(fmt.Sprintf("$.spec.authorities[%d]", i), "nothing refers to the authority %s", a.Name)
		}
	}
}

func (l *linter) lintExpressions() {
	for i, r := range l.c.policy.Spec.Rules {
		l.lintExpression(fmt.Sprintf("$.spec.rules[%d].expression", i), l.c.rules[i])
		if again := slices.IndexFunc(l.c.policy.Spec.Rules[:i], func(o Rule) bool { return o.Name == r.Name }); again >= 0 {
			l.warn(fmt.Sprintf("$.spec.rules[%d].name", i), "rules[%d] has this name too, so that findings do not say which it was", again)
		}
	}
	for i, e := range l.c.attestations {
		if e != nil {
			l.lintExpression(fmt.Sprintf("$.spec.attestations[%d].expression", i), e)
		}
	}
}

// lintExpression warns of an expression that looks at nothing, and of regular
// expressions that a part of a text is enough for.
func (l *linter) lintExpression(path string, e *expression) {
	if len(e.uses) == 0 {
		answer, err := e.holds(map[string]any{})
		switch {
		case err != nil:
			l.warn(path, "it looks at nothing, and never has an answer: %v", err)
		case answer:
			l.warn(path, "it looks at nothing, and always holds")
		default:
			l.warn(path, "it looks at nothing, and never holds: everything is refused")
		}
	}
	for _, pattern := range e.patterns {
		if !anchored(pattern) {
			l.warn(path, "matches(%q) holds for a part of the text; write ^ in front and $ behind for the whole of it", pattern)
		}
	}
}

// anchored says whether a regular expression is for a whole text, whichever of its
// alternatives fits. What cannot be read is, so that only one thing is said of it.
func anchored(pattern string) bool {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	return err != nil || begins(parsed, syntax.OpBeginText, 0) && begins(parsed, syntax.OpEndText, -1)
}

// begins says whether a regular expression has an assertion at one of its ends: 0
// for the first part of a sequence, -1 for the last.
func begins(e *syntax.Regexp, assertion syntax.Op, end int) bool {
	switch e.Op { //nolint:exhaustive // all others consume text, or assert something else
	case assertion:
		return true
	case syntax.OpCapture:
		return begins(e.Sub[0], assertion, end)
	case syntax.OpConcat:
		return begins(e.Sub[(len(e.Sub)+end)%len(e.Sub)], assertion, end)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(e.Sub, func(one *syntax.Regexp) bool { return !begins(one, assertion, end) })
	}
	return false
}

// literalPatterns lists the regular expressions that are written out in an
// expression.
func literalPatterns(checked *cel.Ast) []string {
	var patterns []string
	root := celast.NavigateAST(checked.NativeRep())
	for _, call := range celast.MatchDescendants(root, celast.FunctionMatcher("matches")) {
		args := call.AsCall().Args()
		if len(args) == 0 || args[len(args)-1].Kind() != celast.LiteralKind {
			continue
		}
		if pattern, ok := args[len(args)-1].AsLiteral().Value().(string); ok {
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

func (l *linter) lintPromote() {
	p := l.c.policy.Spec.Promote
	for i, tag := range p.Tags {
		path := fmt.Sprintf("$.spec.promote.tags[%d]", i)
		if p.Immutable && !strings.Contains(tag, "{{") {
			l.warn(path, "%q is the same for every push, and immutable: only the first image of a repository gets it", tag)
		}
		if slices.Contains(p.Channels, tag) {
			l.warn(path, "%q is a channel too", tag)
		}
	}
}
