package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Configured says what an image may be configured to do (OCI image-spec v1.1,
// config.md). It is about every platform.
type Configured struct {
	// User is who the image may run as: non-root, non-root-uid, or users as
	// the configuration writes them, "app" or "65532:65532".
	User  OneOrMore `yaml:"user" json:"user,omitempty"`
	Ports *Ports    `yaml:"ports" json:"ports,omitempty"`
	// Entrypoint is required, or globs for the program that is started.
	Entrypoint OneOrMore    `yaml:"entrypoint" json:"entrypoint,omitempty"`
	Env        *Environment `yaml:"env" json:"env,omitempty"`
	Secrets    string       `yaml:"secrets" json:"secrets,omitempty"` // deny or allow
	// NotSecret are places where something looks like a secret and is none, as
	// findings write them: "env DEMO_TOKEN". A * stands for any text.
	NotSecret []string `yaml:"notSecret" json:"notSecret,omitempty"`
	MaxLayers int      `yaml:"maxLayers" json:"maxLayers,omitempty"`
	MaxSize   string   `yaml:"maxSize" json:"maxSize,omitempty"` // of all layers as they are stored: 2GiB
}

// Ports says which ports an image may expose.
type Ports struct {
	// Allow lists them, "8080/tcp" or "9090", which is TCP. An empty list
	// allows none; without a list all are.
	Allow          []string `yaml:"allow" json:"allow,omitzero"`
	DenyPrivileged bool     `yaml:"denyPrivileged" json:"denyPrivileged,omitempty"` // those below 1024
}

// Environment says which variables an image may set and has to. Patterns are
// names, or NAME=value; a * stands for any text.
type Environment struct {
	Deny    []string `yaml:"deny" json:"deny,omitempty"`
	Require []string `yaml:"require" json:"require,omitempty"`
}

// OneOrMore is a list of texts that may be written as a single one.
type OneOrMore []string

// UnmarshalYAML reads a text or a list of them.
func (o *OneOrMore) UnmarshalYAML(decode func(any) error) error {
	var one string
	if err := decode(&one); err == nil {
		*o = OneOrMore{one}
		return nil
	}
	several := []string{}
	if err := decode(&several); err != nil {
		return err
	}
	*o = several
	return nil
}

// The words of image.user and image.entrypoint.
const (
	userNonRoot        = "non-root"
	userNonRootUID     = "non-root-uid"
	entrypointRequired = "required"
)

// port is one that a configuration exposes.
type port struct {
	number   int
	protocol string // tcp, udp or sctp
}

// parsePort reads "8080/tcp", "53/udp" or "8080", which is TCP (OCI image-spec
// v1.1, config.md, "ExposedPorts").
func parsePort(text string) (port, bool) {
	m := regexp.MustCompile(`^([0-9]{1,5})(?:/(tcp|udp|sctp))?$`).FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return port{}, false
	}
	n, err := strconv.Atoi(m[1])
	if m[2] == "" {
		m[2] = "tcp"
	}
	return port{n, m[2]}, err == nil && n >= 1 && n <= 65535
}

// compileConfigured checks spec.image.
func (b *builder) compileConfigured() {
	c := b.c.policy.Spec.Image
	if c == nil {
		return
	}
	const path = "$.spec.image"
	if c.asksForNothing() {
		b.errorf(path, "asks for nothing; write user, ports, entrypoint, env, secrets, maxLayers or maxSize")
	}
	b.checkUser(path+".user", c.User)
	b.checkEntrypoint(path+".entrypoint", c.Entrypoint)
	if c.Ports != nil {
		b.compilePorts(path+".ports", *c.Ports)
	}
	if c.Env != nil {
		b.checkEnvironment(path+".env", *c.Env)
	}
	if !slices.Contains([]string{"", "deny", "allow"}, c.Secrets) {
		b.errorf(path+".secrets", "%q; write deny or allow", c.Secrets)
	}
	if len(c.NotSecret) > 0 && c.Secrets != "deny" {
		b.errorf(path+".notSecret", "belongs to secrets: deny; write that beside it")
	}
	b.checkTexts(path+".notSecret", c.NotSecret, `a place as findings write it, such as "env DEMO_TOKEN"`)
	if c.MaxLayers < 0 {
		b.errorf(path+".maxLayers", "%d; write a number of layers, such as 40", c.MaxLayers)
	}
	if c.MaxSize != "" {
		size, err := humanize.ParseBytes(c.MaxSize)
		if err != nil || size == 0 {
			b.errorf(path+".maxSize", "%q is no size; write for example 2GiB", c.MaxSize)
		}
		b.c.maxSize = size
	}
}

func (c *Configured) asksForNothing() bool {
	return c.User == nil && c.Ports == nil && c.Entrypoint == nil && c.Env == nil && c.Secrets != "deny" && len(c.NotSecret) == 0 &&
		c.MaxLayers == 0 && c.MaxSize == ""
}

func (b *builder) checkUser(path string, users OneOrMore) {
	if users != nil && len(users) == 0 {
		b.errorf(path, "an empty list; write non-root, non-root-uid, or the users that are allowed")
	}
	b.checkTexts(path, users, "non-root, non-root-uid, or a user as the configuration has it")
}

func (b *builder) checkEntrypoint(path string, programs OneOrMore) {
	switch {
	case programs == nil:
	case len(programs) == 0:
		b.errorf(path, "an empty list; write required, or globs of the programs that are allowed")
	case len(programs) > 1 && slices.Contains(programs, entrypointRequired):
		b.errorf(path, "both required and programs, which are required anyhow; keep one")
	default:
		b.checkGlobs(path, programs)
	}
}

func (b *builder) compilePorts(path string, p Ports) {
	if p.Allow == nil && !p.DenyPrivileged {
		b.errorf(path, `asks for nothing; write allow: ["8080/tcp"] or denyPrivileged: true`)
	}
	for i, text := range p.Allow {
		parsed, ok := parsePort(text)
		if !ok {
			b.errorf(fmt.Sprintf("%s.allow[%d]", path, i), "%q is no port; write 8080, 8080/tcp or 53/udp", text)
		} else if p.DenyPrivileged && parsed.number < privileged {
			b.errorf(fmt.Sprintf("%s.allow[%d]", path, i), "%q is below %d, which denyPrivileged refuses; take one away", text, privileged)
		}
		b.c.ports = append(b.c.ports, parsed)
	}
}

func (b *builder) checkEnvironment(path string, env Environment) {
	if len(env.Deny)+len(env.Require) == 0 {
		b.errorf(path, `asks for nothing; write deny: ["*_PASSWORD"] or require: ["TZ=UTC"]`)
	}
	b.checkTexts(path+".deny", env.Deny, "a variable's name, or NAME=value; a * stands for any text")
	b.checkTexts(path+".require", env.Require, "a variable's name, or NAME=value; a * stands for any text")
	for i, pattern := range env.Require {
		if name, _, _ := strings.Cut(pattern, "="); strings.Contains(name, "*") {
			b.errorf(fmt.Sprintf("%s.require[%d]", path, i), "%q asks for no variable in particular; write its name", pattern)
		}
	}
}

// checkTexts makes sure that no text of a list is empty.
func (b *builder) checkTexts(path string, texts []string, what string) {
	for i, text := range texts {
		b.require(fmt.Sprintf("%s[%d]", path, i), text, what)
	}
}

// wildcard says whether a text is as a pattern says, in which a * stands for any
// text, an empty one too.
func wildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok || len(parts) == 1 {
		return ok && text == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, parts[last])
}
