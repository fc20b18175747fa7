package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// maxNameExpression bounds a regular expression of spec.match, in bytes.
const maxNameExpression = 1024

// matcher is spec.match, ready to be asked. Everything that is there has to
// hold; of a list, one entry.
type matcher struct {
	repositories       Globs
	repositoriesRegExp []*regexp.Regexp
	tags               Globs
	tagsRegExp         []*regexp.Regexp
	versions           *semver.Constraints // nil: any tag
}

func (m *matcher) repository(name string) bool {
	return (len(m.repositories) == 0 || m.repositories.Match(name)) && matchesOne(m.repositoriesRegExp, name)
}

func (m *matcher) tag(name string) bool {
	return (len(m.tags) == 0 || m.tags.Match(name)) && matchesOne(m.tagsRegExp, name) && m.version(name)
}

// version says whether a tag is a version that is asked for.
func (m *matcher) version(tag string) bool {
	if m.versions == nil {
		return true
	}
	v, err := tagVersion(tag)
	return err == nil && m.versions.Check(v)
}

// tagVersion reads a tag as a semantic version (semver.org 2.0.0), all three
// numbers of it, with or without a v in front. Tags cannot have a +, so that
// build metadata follows an underscore, as Helm has it.
func tagVersion(tag string) (*semver.Version, error) {
	return semver.StrictNewVersion(strings.Replace(trimV(tag), "_", "+", 1))
}

func matchesOne(expressions []*regexp.Regexp, name string) bool {
	return len(expressions) == 0 || slices.ContainsFunc(expressions, func(e *regexp.Regexp) bool { return e.MatchString(name) })
}

func (b *builder) compileMatch() {
	const path = "$.spec.match"
	m := b.c.policy.Spec.Match
	if len(m.Repositories)+len(m.RepositoriesRegExp) == 0 {
		b.errorf(path+".repositories", `missing; write a list of globs, ["**"] for every repository`)
	}
	b.checkGlobs(path+".repositories", m.Repositories)
	b.checkGlobs(path+".tags", m.Tags)
	b.c.match = matcher{
		repositories: m.Repositories, repositoriesRegExp: b.wholeExpressions(path+".repositoriesRegExp", m.RepositoriesRegExp),
		tags: m.Tags, tagsRegExp: b.wholeExpressions(path+".tagsRegExp", m.TagsRegExp),
	}
	if m.Versions == "" {
		return
	}
	versions, err := semver.NewConstraint(m.Versions)
	if err != nil {
		b.errorf(path+".versions", "%q: %v; write for example \">= 1.4, < 2\" or \"^1.4 || ^2.1\"", clean(m.Versions), err)
	}
	b.c.match.versions = versions
}

// wholeExpressions compiles regular expressions for whole names.
func (b *builder) wholeExpressions(path string, texts []string) []*regexp.Regexp {
	var all []*regexp.Regexp
	for i, text := range texts {
		e, err := wholeExpression(text)
		if err != nil {
			b.errorf(fmt.Sprintf("%s[%d]", path, i), "%v; write a regular expression for the whole name, such as v[0-9]+", err)
			continue
		}
		all = append(all, e)
	}
	return all
}

func wholeExpression(text string) (*regexp.Regexp, error) {
	if text == "" || len(text) > maxNameExpression {
		return nil, fmt.Errorf("%d bytes; the limit is 1 to %d", len(text), maxNameExpression)
	}
	if _, err := syntax.Parse(text, syntax.Perl); err != nil { // a ) of its own would end the group
		return nil, err
	}
	return regexp.Compile("^(?:" + text + ")$")
}
