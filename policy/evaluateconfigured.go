package policy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// privileged is the first port that is none (Linux,
// ip_unprivileged_port_start).
const privileged = 1024

// maxUID is the largest user ID that container runtimes take (moby/sys/user).
const maxUID = 1<<31 - 1

func (e *evaluation) checkConfiguration() {
	if e.spec.Image == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		e.checkUser(p)
		e.checkPorts(p)
		e.checkEntrypoint(p)
		e.checkEnvironment(p)
		e.checkSecrets(p)
		e.checkSize(p)
	}
}

// misconfigured refuses a platform.
func (e *evaluation) misconfigured(p Platform, rule string, reason Reason, found, expected, remedy string) {
	e.add(Finding{
		Check: CheckConfiguration, Rule: rule, Platform: p.Name, Outcome: OutcomeFail, Reason: reason,
		Found: found, Expected: expected, Remedy: remedy,
	})
}

func (e *evaluation) checkUser(p Platform) {
	allowed := e.spec.Image.User
	if len(allowed) == 0 || slices.ContainsFunc(allowed, func(rule string) bool { return userIs(p, rule) }) {
		return
	}
	found, reason := fmt.Sprintf("runs as %q", p.Config.User), ReasonDenied
	if p.Config.User == "" {
		found, reason = "runs as root, because no user is set", ReasonAbsent
	}
	e.misconfigured(p, "user", reason, found, "the user to be "+strings.Join(allowed, " or "),
		"set it in the Dockerfile, with a number for what can be verified without looking into the image: USER 65532:65532")
}

// userIs says whether a platform's user is one that a rule allows. The user is
// written as name or number, with a group behind a colon or without.
func userIs(p Platform, rule string) bool {
	user, _, _ := strings.Cut(p.Config.User, ":")
	switch rule {
	case userNonRoot:
		return isUID(user) || isName(p, user)
	case userNonRootUID:
		return isUID(user)
	}
	return p.Config.User == rule || user == rule
}

// isUID says whether a user is a number other than root's.
func isUID(user string) bool {
	n, err := strconv.Atoi(user)
	return err == nil && n > 0 && n <= maxUID
}

// isName says whether a user is a name other than that of an administrator.
// What begins like a number is none: runtimes differ in what they make of it.
func isName(p Platform, user string) bool {
	if user == "" || user != strings.TrimSpace(user) || strings.ContainsAny(user[:1], "0123456789+-") {
		return false
	}
	names := []string{"root"}
	if p.OS == "windows" {
		names = append(names, "ContainerAdministrator", "Administrator", "SYSTEM", `NT AUTHORITY\SYSTEM`)
	}
	return !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, user) })
}

func (e *evaluation) checkPorts(p Platform) {
	rule := e.spec.Image.Ports
	if rule == nil {
		return
	}
	expected := "no port"
	if len(rule.Allow) > 0 {
		expected = "no port but " + strings.Join(rule.Allow, ", ")
	}
	const remedy = "take it out of the Dockerfile (EXPOSE), and listen on another port where the program does"
	for _, text := range p.Config.ExposedPorts {
		exposed, ok := parsePort(text)
		switch {
		case !ok:
			e.misconfigured(p, "ports", ReasonMalformed, fmt.Sprintf("exposes %q, which is no port", text), "ports such as 8080/tcp", remedy)
		case rule.DenyPrivileged && exposed.number < privileged:
			e.misconfigured(p, "ports", ReasonDenied, "exposes "+text, fmt.Sprintf("no port below %d", privileged), remedy)
		case rule.Allow != nil && !slices.Contains(e.compiled.ports, exposed):
			e.misconfigured(p, "ports", ReasonDenied, "exposes "+text, expected, remedy)
		}
	}
}

func (e *evaluation) checkEntrypoint(p Platform) {
	rule := e.spec.Image.Entrypoint
	if len(rule) == 0 {
		return
	}
	program := first(p.Config.Entrypoint)
	if rule[0] == entrypointRequired {
		if program == "" {
			e.misconfigured(p, "entrypoint", ReasonAbsent, "no entry point is set", "an entry point", `set it in the Dockerfile: ENTRYPOINT ["/app"]`)
		}
		return
	}
	if len(p.Config.Entrypoint) == 0 {
		program = first(p.Config.Cmd)
	}
	expected := "a program of " + strings.Join(rule, ", ")
	remedy := "have ENTRYPOINT, or CMD where there is none, name one of these programs in the exec form"
	switch {
	case program == "":
		e.misconfigured(p, "entrypoint", ReasonAbsent, "no program is set that is started", expected, remedy)
	case program != path.Clean(program):
		e.misconfigured(p, "entrypoint", ReasonDenied, fmt.Sprintf("starts %q, which is not written as plainly as it could be", program), expected, remedy)
	case !Globs(rule).Match(program):
		e.misconfigured(p, "entrypoint", ReasonDenied, fmt.Sprintf("starts %q", program), expected, remedy)
	}
}

// first is the first of some texts; empty when there is none.
func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

func (e *evaluation) checkEnvironment(p Platform) {
	rule := e.spec.Image.Env
	if rule == nil {
		return
	}
	for _, entry := range p.Config.Env {
		for _, pattern := range rule.Deny {
			if variableIs(entry, pattern) {
				name, _, _ := strings.Cut(entry, "=")
				e.misconfigured(p, "env", ReasonDenied, "sets the variable "+name, "no variable "+pattern,
					"take it out of the image, and set it where the image runs")
			}
		}
	}
	for _, pattern := range rule.Require {
		e.checkVariable(p, pattern)
	}
}

// checkVariable asks for a variable. Where it is set twice, runtimes differ in
// which counts, so that each has to be as it should.
func (e *evaluation) checkVariable(p Platform, pattern string) {
	name, _, _ := strings.Cut(pattern, "=")
	reason, found := ReasonAbsent, "the variable "+name+" is not set"
	for _, entry := range p.Config.Env {
		switch {
		case !variableIs(entry, name):
			continue
		case variableIs(entry, pattern):
			if reason == ReasonAbsent {
				reason = ""
			}
		default:
			reason, found = ReasonDenied, "the variable "+name+" is set to something else"
		}
	}
	if reason != "" {
		e.misconfigured(p, "env", reason, found, "the variable "+pattern, "set it in the Dockerfile: ENV "+word(pattern))
	}
}

// variableIs compares NAME=value with a pattern, which may be of a name alone.
func variableIs(entry, pattern string) bool {
	if !strings.Contains(pattern, "=") {
		entry, _, _ = strings.Cut(entry, "=")
	}
	return wildcard(pattern, entry)
}

func (e *evaluation) checkSecrets(p Platform) {
	if e.spec.Image.Secrets != "deny" {
		return
	}
	const expected = "no secret in the configuration, its history or annotations"
	search := p.Secrets
	if search == nil {
		e.unknown(CheckConfiguration, "secrets", p.Name, "nobody looked for secrets in the configuration of this image", operatorRemedy)
		return
	}
	if search.Incomplete != "" {
		e.unknown(CheckConfiguration, "secrets", p.Name, "nobody knows whether there are secrets: "+search.Incomplete, "shorten labels, variables and commands, and build again")
	}
	for _, s := range search.Found {
		if slices.ContainsFunc(e.spec.Image.NotSecret, func(pattern string) bool { return wildcard(pattern, s.Where) }) {
			continue
		}
		e.misconfigured(p, "secrets", ReasonDenied, fmt.Sprintf("a secret (%s) in %s", s.Kind, s.Where), expected,
			"make it invalid where it is used, since whoever can pull the image has it; build without it (RUN --mount=type=secret) and set it where the image runs")
	}
	if search.Omitted > 0 {
		e.misconfigured(p, "secrets", ReasonDenied, fmt.Sprintf("%d secrets more than are listed", search.Omitted), expected, "take out those that are listed first")
	}
}

func (e *evaluation) checkSize(p Platform) {
	layers, size := e.spec.Image.MaxLayers, e.compiled.maxSize
	if layers == 0 && size == 0 {
		return
	}
	if len(p.Layers) == 0 {
		e.unknown(CheckConfiguration, "layers", p.Name, "nothing is known about the layers of this image", operatorRemedy)
		return
	}
	if layers > 0 && len(p.Layers) > layers {
		e.misconfigured(p, "maxLayers", ReasonDenied, fmt.Sprintf("%d layers", len(p.Layers)), fmt.Sprintf("at most %d layers", layers),
			"build in stages and copy the result, or join commands")
	}
	if size > 0 && exceeds(p.Layers, size) {
		e.misconfigured(p, "maxSize", ReasonDenied, "the layers, as they are stored, are larger", "at most "+e.spec.Image.MaxSize,
			"leave out what is not needed at run time: build in stages and copy the result")
	}
}

// exceeds says whether layers are larger than a limit, in bytes. What cannot be
// is too large.
func exceeds(layers []Layer, limit uint64) bool {
	for _, l := range layers {
		if l.Size < 0 || uint64(l.Size) > limit {
			return true
		}
		limit -= uint64(l.Size)
	}
	return false
}
