package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Section is a part of what a policy says, in plain words.
type Section struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

// Explain says in plain words what the policy asks for at a moment, every
// section of it that has something to say.
func (c *Compiled) Explain(now time.Time) []Section {
	x := &explanation{c: c, spec: c.policy.Spec, now: now}
	sections := []Section{
		{"It is about", x.match()},
		{"It asks for", slices.Concat(x.signed(), x.vulnerabilities(), x.patchLevel(), x.configured(), x.components(), x.licenses(), x.rules())},
		{"It excuses", x.exceptions()},
		{"A yes", x.promotion()},
		{"A no", x.refusal()},
	}
	return slices.DeleteFunc(sections, func(s Section) bool { return len(s.Lines) == 0 })
}

type explanation struct {
	c    *Compiled
	spec Spec
	now  time.Time
}

func (x *explanation) match() []string {
	m := x.spec.Match
	lines := []string{"pushes to the registry " + x.spec.From}
	if len(m.Repositories) > 0 {
		lines = append(lines, "of repositories "+patterns(m.Repositories))
	}
	if len(m.RepositoriesRegExp) > 0 {
		lines = append(lines, "of repositories that are wholly of the form "+either(m.RepositoriesRegExp))
	}
	if len(m.Tags)+len(m.TagsRegExp) == 0 && m.Versions == "" {
		return append(lines, "with any tag")
	}
	if len(m.Tags) > 0 {
		lines = append(lines, "with tags "+patterns(m.Tags))
	}
	if len(m.TagsRegExp) > 0 {
		lines = append(lines, "with tags that are wholly of the form "+either(m.TagsRegExp))
	}
	if m.Versions != "" {
		lines = append(lines, "with tags that are semantic versions "+m.Versions)
	}
	return lines
}

// patterns reads globs: those that take, and then those that leave out again.
func patterns(globs []string) string {
	var take, leave []string
	for _, g := range globs {
		if without, negative := strings.CutPrefix(g, "!"); negative {
			leave = append(leave, without)
		} else {
			take = append(take, g)
		}
	}
	text := either(take)
	if len(leave) > 0 {
		text += ", but not " + either(leave)
	}
	return text
}

// either is a list of which one is enough.
func either(all []string) string { return strings.Join(all, " or ") }

func (x *explanation) signed() []string {
	var lines []string
	for _, r := range x.spec.Signatures {
		names := r.SignedBy
		if len(names) == 0 {
			names = []string{r.Name}
		}
		lines = append(lines, fmt.Sprintf("%s: a signature of the image by %s", r.Name, newQuorum(x.c.groups(names...))))
	}
	for _, a := range x.spec.Attestations {
		line := fmt.Sprintf("%s: an attestation of type %s by %s", a.Name, a.PredicateType, newQuorum(x.c.groups(a.SignedBy...)))
		if a.Expression != "" {
			line += ", for which holds " + a.Expression
		}
		lines = append(lines, line)
	}
	if s := x.spec.SBOM; s != nil {
		line := fmt.Sprintf("an SBOM of type %s by %s", either(s.PredicateTypes), newQuorum(x.c.groups(s.SignedBy...)))
		if s.Required {
			lines = append(lines, line+", of each platform; alone it stands in for cataloguing the layers")
		} else {
			lines = append(lines, "nothing more where there is "+line+": it stands in for cataloguing the layers")
		}
	}
	return lines
}

func (x *explanation) vulnerabilities() []string {
	v := x.spec.Vulnerabilities
	if v == nil {
		return nil
	}
	lines := x.reports(v.Report)
	for _, d := range v.Deny {
		lines = append(lines, "no vulnerability "+d.String())
	}
	for _, c := range v.Counts {
		lines = append(lines, fmt.Sprintf("%s vulnerabilities%s on each platform", c.Deny.otherwise(), c))
	}
	return lines
}

// reports says where vulnerabilities are taken from.
func (x *explanation) reports(r Report) []string {
	var lines []string
	database := " with a vulnerability database of the last " + r.MaxAge.String()
	if r.scans() {
		line := "a scan" + database
		if r.AllowSampleDatabase {
			line += ", or with the sample for demonstrations"
		}
		lines = append(lines, line)
	}
	if r.attested() {
		line := fmt.Sprintf("a report of vulnerabilities by %s, from a scan of the last %s%s", newQuorum(x.c.groups(r.SignedBy...)), cmp.Or(r.ScanMaxAge, r.MaxAge), database)
		if r.AllowUndatedDatabase {
			line += " or of unknown age"
		}
		lines = append(lines, line)
	}
	return lines
}

func (x *explanation) patchLevel() []string {
	p := x.spec.PatchLevel
	var lines []string
	if p.MaxAge > 0 {
		lines = append(lines, "an image that was created within the last "+p.MaxAge.String()+x.created())
	}
	if r := p.Runtimes; r != nil {
		if len(r.Allow) > 0 {
			lines = append(lines, "no runtime but "+either(r.Allow))
		}
		if r.EndOfLife == "deny" {
			lines = append(lines, "no runtime whose support has ended")
		}
	}
	if os := p.OperatingSystems; os != nil {
		if len(os.Allow) > 0 {
			lines = append(lines, "the operating system "+either(os.Allow))
		}
		if os.EndOfLife == "deny" {
			lines = append(lines, "an operating system whose support has not ended")
		}
	}
	if b := p.Base; b != nil {
		lines = append(lines, b.explain()...)
	}
	for _, m := range p.Packages {
		lines = append(lines, fmt.Sprintf("where %s %s is installed, version %s or newer", m.Type, m.Name, m.Minimum))
	}
	if v := p.Versions; v != nil {
		lines = append(lines, "versions that are recommended by the list "+either(v.Lists))
		if len(v.DenyUnlisted) > 0 {
			lines = append(lines, "no package of type "+either(v.DenyUnlisted)+" that is on none of these lists")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		lines = append(lines, fmt.Sprintf("a label %s that is wholly of the form %s", name, p.Labels[name]))
	}
	return lines
}

// created says whose word counts for an image's age.
func (x *explanation) created() string {
	c := x.spec.PatchLevel.Created
	if c == nil {
		return ""
	}
	words := make([]string, 0, len(c.From))
	for _, from := range c.From {
		if from == createdProvenance {
			from += " by " + newQuorum(x.c.groups(c.SignedBy...)).String()
		}
		words = append(words, from)
	}
	return ", as its " + strings.Join(words, " and its ") + " says"
}

func (x *explanation) configured() []string {
	c := x.spec.Image
	if c == nil {
		return nil
	}
	var lines []string
	say := func(applies bool, format string, args ...any) {
		if applies {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	say(len(c.User) > 0, "an image that runs as %s", either(c.User))
	if p := c.Ports; p != nil {
		say(p.Allow != nil && len(p.Allow) == 0, "no exposed ports")
		say(len(p.Allow) > 0, "no exposed ports but %s", either(p.Allow))
		say(p.DenyPrivileged, "no exposed ports below %d", privileged)
	}
	say(len(c.Entrypoint) > 0, "an entry point: %s", either(c.Entrypoint))
	if e := c.Env; e != nil {
		say(len(e.Deny) > 0, "no variable %s", either(e.Deny))
		say(len(e.Require) > 0, "the variables %s", strings.Join(e.Require, ", "))
	}
	say(c.Secrets == "deny", "no secrets in the configuration or the history")
	say(len(c.NotSecret) > 0, "(what is in %s is none)", either(c.NotSecret))
	say(c.MaxLayers > 0, "at most %d layers", c.MaxLayers)
	say(c.MaxSize != "", "layers of %s at most, as they are stored", c.MaxSize)
	return lines
}

func (x *explanation) components() []string {
	if x.spec.Components == nil {
		return nil
	}
	var lines []string
	for _, c := range x.spec.Components.Deny {
		lines = append(lines, "no package "+c.words())
	}
	for _, c := range x.spec.Components.Require {
		lines = append(lines, "on each platform a package "+c.words())
	}
	return lines
}

// words names a component for people.
func (c Component) words() string {
	text := string(c.PURL)
	if c.Versions != "" {
		text += " " + c.Versions
	}
	if len(c.Repositories) > 0 {
		text += " in repositories " + patterns(c.Repositories)
	}
	if c.Reason != "" {
		text += " (" + c.Reason + ")"
	}
	return text
}

func (x *explanation) licenses() []string {
	l := x.spec.Licenses
	if l == nil {
		return nil
	}
	of := ""
	if len(l.Types) > 0 {
		of = " of packages of type " + either(l.Types)
	}
	var lines []string
	if len(l.Allow) > 0 {
		lines = append(lines, "no licence"+of+" but "+either(l.Allow))
	}
	if len(l.Deny) > 0 {
		lines = append(lines, "no licence"+of+" "+either(l.Deny))
	}
	if l.Unknown != "allow" {
		lines = append(lines, "a licence that is known"+of)
	}
	return lines
}

func (x *explanation) rules() []string {
	var lines []string
	for _, r := range x.spec.Rules {
		line := fmt.Sprintf("%s: %s", r.Name, r.Expression)
		if r.Message != "" {
			line += " (" + r.Message + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func (x *explanation) exceptions() []string {
	var lines []string
	if l := x.spec.Licenses; l != nil {
		for _, e := range l.Exceptions {
			lines = append(lines, x.exception(e.words(), e.Repositories, e.Expires, e.Owner, e.Reason, e.Ticket))
		}
	}
	v := x.spec.Vulnerabilities
	if v == nil {
		return lines
	}
	if len(v.ExceptionLists) > 0 {
		lines = append(lines, "what is on the list "+strings.Join(v.ExceptionLists, " and "))
	}
	for _, e := range v.Exceptions {
		what := e.ID
		if e.Package != "" {
			what += " in " + e.Package
		}
		lines = append(lines, x.exception(what, e.Repositories, e.Expires, e.Owner, e.Reason, e.Ticket))
	}
	if v.VEX != nil {
		line := "vulnerabilities that VEX statements"
		if v.VEX.MaxAge > 0 {
			line += " of the last " + v.VEX.MaxAge.String()
		}
		lines = append(lines, fmt.Sprintf("%s by %s say do no harm in this image", line, newQuorum(x.c.groups(v.VEX.SignedBy...))))
	}
	return lines
}

// exception says what is excused where, by whom and until when.
func (x *explanation) exception(what string, repositories []string, expires Date, owner, reason, ticket string) string {
	if len(repositories) > 0 {
		what += " in repositories " + patterns(repositories)
	}
	state := "until "
	if !x.now.Before(expires.Time) {
		state = "no more: it ended "
	}
	line := fmt.Sprintf("%s, %s%s, by %s: %s", what, state, expires.UTC().Format(time.DateTime), owner, reason)
	if ticket != "" {
		line += " (" + ticket + ")"
	}
	return line
}

func (x *explanation) promotion() []string {
	p := x.spec.Promote
	lines := []string{fmt.Sprintf("copies the image to the registry %s, repository %s", p.To, p.Repository)}
	if x.spec.Mode == ModeAudit {
		lines = []string{fmt.Sprintf("has no effect: the policy is in audit mode. Enforced, it would copy the image to the registry %s, repository %s", p.To, p.Repository)}
	}
	if len(p.Tags) > 0 {
		line := "under the tags " + strings.Join(p.Tags, ", ")
		if p.Immutable {
			line += ", which then never move to another image"
		}
		lines = append(lines, line)
	}
	if len(p.Channels) > 0 {
		lines = append(lines, "and moves the channels "+strings.Join(p.Channels, ", "))
	}
	return lines
}

// awaits says whether something that is missing is awaited.
func (s Spec) awaits() bool {
	v, created := s.Vulnerabilities, s.PatchLevel.Created
	return len(s.Signatures)+len(s.Attestations) > 0 || s.SBOM != nil && s.SBOM.Required || v != nil && v.Report.attested() ||
		created != nil && slices.Contains(created.From, createdProvenance)
}

func (x *explanation) refusal() []string {
	lines := []string{"promotes nothing, and tells the developer what was found, what is expected and what to do"}
	if wait := *x.spec.Wait; x.spec.awaits() && wait > 0 {
		lines = append(lines, fmt.Sprintf("comes %s after the push where what is missing could still be signed", wait))
	}
	return lines
}
