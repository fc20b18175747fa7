package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// The defaults of what a policy leaves out.
const (
	defaultWait      = 10 * time.Minute
	defaultReportAge = 48 * time.Hour
	maxWait          = 30 * 24 * time.Hour
)

// FieldError is a mistake in a policy.
type FieldError struct {
	Path    string // "$.spec.rules[0].expression"
	Message string
}

// Error names the path and the mistake.
func (e *FieldError) Error() string { return e.Path + ": " + e.Message }

// Compiled is a policy that was found sound and made ready. It is safe for
// concurrent use.
type Compiled struct {
	policy      Policy
	fingerprint string
	// withoutExceptions is the fingerprint of the rest, see FingerprintFor.
	withoutExceptions string
	lists             Lists // that the policy names
	exceptions        []GrantedException
	recommended       map[packageName][]recommendation
	match             matcher
	names             nameGrammar
	authorities       []Authority
	signers           map[string]group // by the name of an authority or a signature rule
	referred          map[string]bool  // those that something refers to
	attestations      []*expression    // by index; nil when there is none
	rules             []*expression
	labels            map[string]*regexp.Regexp
	systems           []systemRange
	denied            []component
	required          []component
	licences          *licenceRules
	runtimes          []systemRange
	ports             []port // of image.ports.allow
	maxSize           uint64 // bytes of image.maxSize; 0: no limit
	repository        *template.Template
	tags              []*template.Template
	channels          []*template.Template
}

// Compile checks a policy that names no list, as CompileWith does.
func Compile(p Policy) (*Compiled, error) { return CompileWith(p, Lists{}) }

// CompileWith checks a policy, whose keys are filled in, and makes it ready with
// those of the lists that it names; Check found no mistake in them. The error
// joins a *FieldError for each mistake.
func CompileWith(p Policy, lists Lists) (*Compiled, error) {
	applyDefaults(&p)
	c := &Compiled{policy: p, signers: map[string]group{}, referred: map[string]bool{}, labels: map[string]*regexp.Regexp{}, names: newNameGrammar()}
	b := &builder{c: c}
	b.checkHead()
	b.compileMatch()
	b.compileAuthorities()
	b.compileSignatures()
	b.compileAttestations()
	b.checkVulnerabilities()
	b.resolveLists(lists)
	b.compilePatchLevel()
	b.compileComponents()
	b.compileLicenses()
	b.compileConfigured()
	b.compileRules()
	b.checkSBOM()
	b.compilePromote()
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return c, c.fingerprints()
}

func applyDefaults(p *Policy) {
	if p.Spec.Mode == "" {
		p.Spec.Mode = ModeEnforce
	}
	if p.Spec.Wait == nil {
		wait := Duration(defaultWait)
		p.Spec.Wait = &wait
	}
	if v := p.Spec.Vulnerabilities; v != nil && v.Report.MaxAge == 0 {
		copied := *v
		copied.Report.MaxAge = Duration(defaultReportAge)
		p.Spec.Vulnerabilities = &copied
	}
}

// Name is the policy's name.
func (c *Compiled) Name() string { return c.policy.Metadata.Name }

// Description is what the policy says about itself.
func (c *Compiled) Description() string { return c.policy.Metadata.Description }

// Mode says whether a yes has an effect.
func (c *Compiled) Mode() Mode { return c.policy.Spec.Mode }

// WithMode is the policy in another mode, and otherwise the same: its
// fingerprint is still that of the policy as it was written.
func (c *Compiled) WithMode(mode Mode) *Compiled {
	other := *c
	other.policy.Spec.Mode = mode
	return &other
}

// Spec is what the policy says, defaults filled in.
func (c *Compiled) Spec() Spec { return c.policy.Spec }

// Fingerprint is the SHA-256 of the policy and the keys and lists it names.
func (c *Compiled) Fingerprint() string { return c.fingerprint }

// Authorities lists the authorities that the policy names, each once.
func (c *Compiled) Authorities() []Authority { return slices.Clone(c.authorities) }

// TrustRoots lists the trust roots of the configuration that the policy names.
func (c *Compiled) TrustRoots() []string {
	var names []string
	for _, a := range c.authorities {
		if a.TrustRoot != "" {
			names = append(names, a.TrustRoot)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NeedsScan says whether judging needs a look inside the layers.
func (c *Compiled) NeedsScan() bool {
	s := c.policy.Spec
	if s.Components != nil || s.Licenses != nil {
		return true
	}
	if v := s.Vulnerabilities; v != nil && v.Report.scans() {
		return true
	}
	if s.PatchLevel.OperatingSystems != nil || s.PatchLevel.Runtimes != nil || len(s.PatchLevel.Packages) > 0 || s.PatchLevel.Versions != nil {
		return true
	}
	return slices.ContainsFunc(c.rules, func(e *expression) bool { return e.needsScan })
}

// AsksAboutPlatforms says whether judging an index needs what is attested about
// each of its platforms.
func (c *Compiled) AsksAboutPlatforms() bool {
	s := c.policy.Spec
	return s.SBOM != nil || s.Vulnerabilities != nil && (s.Vulnerabilities.Report.attested() || s.Vulnerabilities.VEX != nil)
}

// Matches says whether the policy is about pushes of this tag.
func (c *Compiled) Matches(registry, repository, tag string) bool {
	return c.MatchesRepository(registry, repository) && c.match.tag(tag)
}

// MatchesRepository says whether the policy can be about a push to this
// repository.
func (c *Compiled) MatchesRepository(registry, repository string) bool {
	return registry == c.policy.Spec.From && c.match.repository(repository)
}

// builder collects the mistakes while a policy is compiled.
type builder struct {
	c    *Compiled
	errs []error
}

func (b *builder) errorf(path, format string, args ...any) {
	b.errs = append(b.errs, &FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) require(path, value, what string) {
	if strings.TrimSpace(value) == "" {
		b.errorf(path, "missing; write %s", what)
	}
}

func (b *builder) checkHead() {
	p := b.c.policy
	if p.APIVersion != APIVersion {
		b.errorf("$.apiVersion", "%q; write %s", p.APIVersion, APIVersion)
	}
	if p.Kind != Kind {
		b.errorf("$.kind", "%q; write %s", p.Kind, Kind)
	}
	b.checkName(p.Metadata.Name)
	if p.Spec.Mode != ModeEnforce && p.Spec.Mode != ModeAudit {
		b.errorf("$.spec.mode", "%q; write enforce or audit", p.Spec.Mode)
	}
	if wait := *p.Spec.Wait; wait < 0 || time.Duration(wait) > maxWait {
		b.errorf("$.spec.wait", "%s; write a duration of at most 30d", wait)
	}
	b.require("$.spec.from", p.Spec.From, "the name of the source registry in the configuration")
	s := p.Spec
	if len(s.Signatures)+len(s.Attestations)+len(s.Rules) == 0 && s.Vulnerabilities == nil && s.PatchLevel.empty() && s.Image == nil && s.Components == nil && s.Licenses == nil && (s.SBOM == nil || !s.SBOM.Required) {
		b.errorf("$.spec", "asks for nothing, so it would let everything through; add signatures, attestations, vulnerabilities, patchLevel, image, components, licenses or rules")
	}
}

func (p PatchLevel) empty() bool {
	return p.MaxAge == 0 && p.OperatingSystems == nil && p.Runtimes == nil && len(p.Packages) == 0 && p.Versions == nil && len(p.Labels) == 0 && p.Base == nil
}

func (b *builder) checkGlobs(path string, patterns []string) {
	positive := false
	for i, p := range patterns {
		positive = positive || !strings.HasPrefix(p, "!")
		if !ValidGlob(p) {
			b.errorf(fmt.Sprintf("%s[%d]", path, i), `%q is no glob; write for example "team-*/**"`, p)
		}
	}
	if len(patterns) > 0 && !positive {
		b.errorf(path, `only leaves out, so it matches nothing; add what to take, for example "**"`)
	}
}
