package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Runtime is a major runtime that an image holds, other than one that its
// distribution packaged: that one is supported for as long as the distribution.
type Runtime struct {
	Name      string     `json:"name"`                // as RuntimeNames has it
	Version   string     `json:"version"`             // of its release, "17.0.13"; empty when it is not known
	Package   string     `json:"package"`             // name and version in the scan: "openjdk 17.0.13+11"
	EndOfLife *time.Time `json:"endOfLife,omitempty"` // when security support that costs nothing ends; nil when unknown
}

// Runtimes says which runtimes an image may hold.
type Runtimes struct {
	EndOfLife string   `yaml:"endOfLife" json:"endOfLife,omitempty"` // deny or allow
	Allow     []string `yaml:"allow" json:"allow,omitempty"`         // "nodejs >= 22"; every runtime when empty
}

// RuntimeNames are the names of the runtimes that are told apart, those of
// endoflife.date; go is what Go programs were compiled with.
func RuntimeNames() []string {
	return []string{"dotnet", "go", "java", "nodejs", "perl", "php", "python", "ruby"}
}

func (b *builder) compileRuntimes(r Runtimes) {
	const path = "$.spec.patchLevel.runtimes"
	if !slices.Contains([]string{"", "deny", "allow"}, r.EndOfLife) {
		b.errorf(path+".endOfLife", "%q; write deny or allow", r.EndOfLife)
	}
	if r.EndOfLife != "deny" && len(r.Allow) == 0 {
		b.errorf(path, "asks for nothing; write endOfLife: deny or a list allow")
	}
	for i, text := range r.Allow {
		parsed, err := parseSystemRange(text)
		if err != nil || !slices.Contains(RuntimeNames(), parsed.id) {
			b.errorf(fmt.Sprintf("%s.allow[%d]", path, i), "%q; write one of %s, alone or with a version: nodejs >= 22", text, strings.Join(RuntimeNames(), ", "))
			continue
		}
		b.c.runtimes = append(b.c.runtimes, parsed)
	}
}

func (e *evaluation) checkRuntimes() {
	if e.spec.PatchLevel.Runtimes == nil {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		scan := e.scanOf(CheckRuntimes, p)
		switch {
		case scan == nil:
		case scan.Runtimes == nil:
			e.unknown(CheckRuntimes, "", p.Name, "nobody looked for runtimes in this image", operatorRemedy)
		default:
			for _, r := range scan.Runtimes {
				e.checkRuntime(p, r)
			}
		}
	}
}

// checkRuntime judges a runtime as checkSystem does an operating system.
func (e *evaluation) checkRuntime(p Platform, r Runtime) {
	rule := e.spec.PatchLevel.Runtimes
	found := fmt.Sprintf("the image holds %s (%s)", strings.TrimSpace(r.Name+" "+r.Version), r.Package)
	admitted := slices.ContainsFunc(e.compiled.runtimes, func(s systemRange) bool {
		return s.admits(OperatingSystem{ID: r.Name, Version: r.Version})
	})
	if len(rule.Allow) > 0 && !admitted {
		e.refuseRuntime(p, r, ReasonDenied, found+", which is not on the list", "take it out, or use one of: "+strings.Join(rule.Allow, ", "))
	}
	if rule.EndOfLife != "deny" {
		return
	}
	switch {
	case r.EndOfLife == nil && !admitted && len(rule.Allow) == 0:
		e.refuseRuntime(p, r, ReasonUnrecognised, found+", whose end of life is not known",
			"use a supported release, or have the security team name this one in runtimes.allow")
	case r.EndOfLife != nil && !e.now.Before(*r.EndOfLife):
		e.refuseRuntime(p, r, ReasonEndOfLife, found+", whose support ended before "+r.EndOfLife.UTC().Format(time.DateOnly), upgradeRuntime(r.Name))
	}
}

// upgradeRuntime says how a release is replaced.
func upgradeRuntime(name string) string {
	if name == "go" {
		return "compile the program with a supported release of Go, or take a newer one where it is somebody else's"
	}
	return "build on a supported release of " + name
}

func (e *evaluation) refuseRuntime(p Platform, r Runtime, reason Reason, found, remedy string) {
	rule := e.spec.PatchLevel.Runtimes
	expected := "supported runtimes"
	if len(rule.Allow) > 0 {
		expected += ", of these: " + strings.Join(rule.Allow, ", ")
	}
	e.add(Finding{
		Check: CheckRuntimes, Rule: r.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: reason,
		Found: found, Expected: expected, Remedy: remedy,
	})
}
