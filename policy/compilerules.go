package policy

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"text/template"
)

func (b *builder) compileAttestations() {
	for i, a := range b.c.policy.Spec.Attestations {
		path := fmt.Sprintf("$.spec.attestations[%d]", i)
		b.require(path+".name", a.Name, "a name that findings refer to")
		b.require(path+".predicateType", a.PredicateType, "the predicate type's URI")
		if len(a.PredicateType) > maxPredicateType || strings.ContainsFunc(a.PredicateType, notInURI) {
			b.errorf(path+".predicateType", "%q is no URI of at most %d characters", clean(a.PredicateType), maxPredicateType)
		}
		b.checkAttesters(path+".signedBy", a.SignedBy)
		b.c.attestations = append(b.c.attestations, b.optionalExpression(path+".expression", a.Expression, attestationVariables()...))
	}
}

// maxPredicateType bounds a predicate type, in bytes. Longer ones are cut in
// the evidence, so that they would never be found.
const maxPredicateType = 200

// notInURI says whether a character is none of a URI (RFC 3986, section 2).
func notInURI(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }

func (b *builder) optionalExpression(path, text string, variables ...string) *expression {
	if text == "" {
		return nil
	}
	e, err := compileExpression(text, variables...)
	if err != nil {
		b.errorf(path, "%v", err)
	}
	return e
}

func (b *builder) checkVulnerabilities() {
	v := b.c.policy.Spec.Vulnerabilities
	if v == nil {
		return
	}
	if len(v.Deny)+len(v.Counts) == 0 {
		b.errorf("$.spec.vulnerabilities.deny", "missing; write at least one {severity: …, fixed: …}")
	}
	b.checkReport(v.Report)
	b.checkVEX(v.VEX)
	for i, c := range v.Counts {
		path := fmt.Sprintf("$.spec.vulnerabilities.counts[%d]", i)
		if c.Severity != "" && !slices.Contains(severities(), c.Severity) {
			b.errorf(path+".severity", "%q; write critical, high, medium, low, negligible or unknown", c.Severity)
		}
		if c.After != 0 && (c.Fixed == nil || !*c.Fixed) {
			b.errorf(path+".after", "it counts from when a fix was published; write fixed: true beside it")
		}
		if c.Deny.operator == "" {
			b.errorf(path+".deny", "missing; write which numbers are refused, such as \">= 10\"")
		}
	}
	for i, d := range v.Deny {
		path := fmt.Sprintf("$.spec.vulnerabilities.deny[%d]", i)
		if d.Severity != "" && !slices.Contains(severities(), d.Severity) {
			b.errorf(path+".severity", "%q; write critical, high, medium, low, negligible or unknown", d.Severity)
		}
		if d.Severity == "" && d.Fixed == nil && !d.KnownExploited && d.EPSS == 0 {
			b.errorf(path, "no condition; write severity, fixed, knownExploited or epss")
		}
		if d.EPSS < 0 || d.EPSS > 1 {
			b.errorf(path+".epss", "%v; write a probability above 0 and up to 1, such as 0.1", d.EPSS)
		}
		if d.After < 0 {
			b.errorf(path+".after", "%s; write a positive duration", d.After)
		}
		b.checkSince(path, d)
		for j, t := range d.Types {
			if !slices.Contains(packageTypes(), t) {
				b.errorf(fmt.Sprintf("%s.types[%d]", path, j), "%q is no package URL type; write one of %s", t, strings.Join(packageTypes(), ", "))
			}
		}
		b.checkGlobs(path+".packages", d.Packages)
	}
	b.checkExceptions("$.spec.vulnerabilities.exceptions", v.Exceptions)
}

func (b *builder) checkExceptions(at string, exceptions []Exception) {
	for i, e := range exceptions {
		path := fmt.Sprintf("%s[%d]", at, i)
		b.require(path+".id", e.ID, "a vulnerability's id, such as CVE-2026-1234")
		b.require(path+".owner", e.Owner, "who answers for the exception")
		b.require(path+".reason", e.Reason, "why the vulnerability is acceptable")
		if e.Expires.IsZero() {
			b.errorf(path+".expires", "missing; write the last day on which the exception applies: 2026-12-31")
		}
		b.checkGlobs(path+".repositories", e.Repositories)
	}
}

// packageTypes are the package URL types of what catalogues list (package-url
// specification, PURL-TYPES).
func packageTypes() []string {
	return []string{
		"alpm", "apk", "bitnami", "cargo", "cocoapods", "composer", "conan", "conda", "cran", "deb", "gem", "generic", "github", "golang", "hackage", "hex",
		"luarocks", "maven", "npm", "nuget", "opam", "otp", "portage", "pub", "pypi", "rpm", "swift", "terraform", "wordpress-plugin",
	}
}

func (b *builder) compilePatchLevel() {
	p := b.c.policy.Spec.PatchLevel
	if p.MaxAge < 0 {
		b.errorf("$.spec.patchLevel.maxAge", "%s; write a positive duration", p.MaxAge)
	}
	b.checkCreated(p)
	if os := p.OperatingSystems; os != nil {
		b.compileSystems(*os)
	}
	if p.Runtimes != nil {
		b.compileRuntimes(*p.Runtimes)
	}
	b.checkBase()
	for i, m := range p.Packages {
		path := fmt.Sprintf("$.spec.patchLevel.packages[%d]", i)
		b.require(path+".name", m.Name, "the package's name")
		if _, err := compareVersions(m.Type, m.Minimum, m.Minimum); err != nil {
			b.errorf(path, "%v; write a type of %s and a minimum in that type's notation", err,
				strings.Join(slices.Sorted(maps.Keys(versionOrders())), ", "))
		}
	}
	for name, pattern := range p.Labels {
		_, err := syntax.Parse(pattern, syntax.Perl) // a ) of its own would end the group
		var anchored *regexp.Regexp
		if err == nil {
			anchored, err = regexp.Compile("^(?:" + pattern + ")$")
		}
		if err != nil {
			b.errorf("$.spec.patchLevel.labels", "%s: %v; write a regular expression for the whole value", name, err)
			continue
		}
		b.c.labels[name] = anchored
	}
}

func (b *builder) compileSystems(os OperatingSystems) {
	const path = "$.spec.patchLevel.operatingSystems"
	if !slices.Contains([]string{"", "deny", "allow"}, os.EndOfLife) {
		b.errorf(path+".endOfLife", "%q; write deny or allow", os.EndOfLife)
	}
	if os.EndOfLife != "deny" && len(os.Allow) == 0 {
		b.errorf(path, "asks for nothing; write endOfLife: deny or a list allow")
	}
	for i, text := range os.Allow {
		system, err := parseSystemRange(text)
		if err != nil {
			b.errorf(fmt.Sprintf("%s.allow[%d]", path, i), "%v", err)
			continue
		}
		b.c.systems = append(b.c.systems, system)
	}
}

// ruleVariables are the variables of spec.rules.
func ruleVariables() []string {
	return append([]string{"subject", "push", "image", "signatures", "attestations", "now"}, scanVariables()...)
}

func (b *builder) compileRules() {
	for i, r := range b.c.policy.Spec.Rules {
		path := fmt.Sprintf("$.spec.rules[%d]", i)
		b.require(path+".name", r.Name, "a name that findings refer to")
		b.require(path+".expression", r.Expression, `a CEL expression, such as image.config.user != ""`)
		if r.Expression == "" {
			continue
		}
		e, err := compileExpression(r.Expression, ruleVariables()...)
		if err != nil {
			b.errorf(path+".expression", "%v", err)
			continue
		}
		b.c.rules = append(b.c.rules, e)
	}
}

func (b *builder) compilePromote() {
	p := b.c.policy.Spec.Promote
	b.require("$.spec.promote.to", p.To, "the name of the golden registry in the configuration")
	b.require("$.spec.promote.repository", p.Repository, `the golden repository, such as "{{ .Repository }}"`)
	if len(p.Tags)+len(p.Channels) == 0 {
		b.errorf("$.spec.promote.tags", `missing; write at least one tag, such as "{{ .Tag }}"`)
	}
	b.c.repository = b.compileTemplate("$.spec.promote.repository", p.Repository)
	for i, t := range p.Tags {
		b.c.tags = append(b.c.tags, b.compileTemplate(fmt.Sprintf("$.spec.promote.tags[%d]", i), t))
	}
	for i, t := range p.Channels {
		b.c.channels = append(b.c.channels, b.compileTemplate(fmt.Sprintf("$.spec.promote.channels[%d]", i), t))
	}
}

// compileTemplate also renders the template once, so that an unknown field is
// found now and not with the first push.
func (b *builder) compileTemplate(path, text string) *template.Template {
	t, err := template.New("promote").Option("missingkey=error").Parse(text)
	if err == nil {
		err = t.Execute(&bytes.Buffer{}, TemplateData{Tag: "1.2.3"})
	}
	if err != nil {
		b.errorf(path, "%v; known: .Repository .Tag .Date .Digest .ShortDigest .Time .Weekday .Week .Version", err)
	}
	return t
}
