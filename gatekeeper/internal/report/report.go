// Package report puts decisions into plain words for people at a terminal.
// Names and texts out of images and registries are made harmless: control
// and formatting characters never reach the terminal.
package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// maxFindings is how many findings of one policy are spelled out.
const maxFindings = 20

// Text writes everything there is to say about a decision.
func Text(w io.Writer, d gatekeeper.Decision) error {
	return write(w, d, headline(d))
}

// Hypothetical writes a decision that was asked for and not made: what would
// happen.
func Hypothetical(w io.Writer, d gatekeeper.Decision) error {
	return write(w, d, Image(d.Push)+" "+would(d.Verdict)+mode(d.Mode)+".")
}

// Status writes what is known about an image, judged or not.
func Status(w io.Writer, s gatekeeper.ImageStatus) error {
	if s.Decision == nil {
		_, err := io.WriteString(w, Safe(fmt.Sprintf("%s was pushed at %s and is %s; there is no decision yet.\n%s",
			Image(s.Push), moment(s.Push.ReceivedAt), s.State, problem(s.Problem))))
		return err
	}
	if err := Text(w, *s.Decision); err != nil {
		return err
	}
	if s.State == string(s.Decision.Verdict) {
		return nil
	}
	text := fmt.Sprintf("\nIt is being judged again (%s).\n%s", s.State, problem(s.Problem))
	if s.State == string(policy.VerdictPromoted) {
		text = "\nIt was promoted before, and stays golden.\n"
	}
	_, err := io.WriteString(w, Safe(text))
	return err
}

func problem(text string) string {
	if text == "" {
		return ""
	}
	return "The last attempt failed: " + text + "\n"
}

func write(w io.Writer, d gatekeeper.Decision, head string) error {
	var b strings.Builder
	b.WriteString(head + "\n")
	if d.Note != "" {
		b.WriteString("  " + d.Note + "\n")
	}
	findings(&b, "  ", d.Findings)
	for _, r := range d.Results {
		fmt.Fprintf(&b, "\nPolicy %s (%s): %s\n", r.Policy, r.Mode, r.Verdict)
		if r.Verdict == policy.VerdictPending && r.Deadline != nil {
			fmt.Fprintf(&b, "  What is missing is awaited until %s.\n", moment(*r.Deadline))
		}
		findings(&b, "  ", r.Findings)
		for _, line := range BuiltOn(r.Bases) {
			b.WriteString("  " + line + "\n")
		}
	}
	signed(&b, d.Evidence)
	if len(d.Golden) > 0 {
		b.WriteString("\nGolden:\n")
		for _, g := range d.Golden {
			fmt.Fprintf(&b, "  %s/%s:%s\n", g.Registry, g.Repository, g.Tag)
		}
	}
	_, err := io.WriteString(w, Safe(b.String()))
	return err
}

func findings(b *strings.Builder, indent string, all []policy.Finding) {
	for i, f := range all {
		if i == maxFindings {
			fmt.Fprintf(b, "%sand %d more findings; -o json shows all of them\n", indent, len(all)-i)
			return
		}
		place := f.Rule
		if f.Platform != "" {
			place = strings.TrimSpace(place + " on " + f.Platform)
		}
		fmt.Fprintf(b, "%s%s %s: %s\n", indent, mark(f.Outcome), strings.TrimSpace(string(f.Check)+" "+place), f.Found)
		fmt.Fprintf(b, "%s  expected: %s\n", indent, f.Expected)
		if f.Remedy != "" {
			fmt.Fprintf(b, "%s  what to do: %s\n", indent, f.Remedy)
		}
	}
}

// mark is the word in front of a finding.
func mark(o policy.Outcome) string {
	switch o {
	case policy.OutcomeFail:
		return "refused"
	case policy.OutcomeError:
		return "unknown"
	case policy.OutcomePending:
		return "waiting"
	case policy.OutcomeInfo:
		return "note"
	}
	return string(o)
}

func headline(d gatekeeper.Decision) string {
	return fmt.Sprintf("%s: %s%s, %s after the push.", Image(d.Push), verdict(d.Verdict), mode(d.Mode), Took(d.Took))
}

func mode(m policy.Mode) string {
	if m == policy.ModeAudit {
		return " (audit mode: this has no effect)"
	}
	return ""
}

func verdict(v policy.Verdict) string {
	if v == policy.VerdictError {
		return "could not be decided"
	}
	return string(v)
}

func would(v policy.Verdict) string {
	switch v {
	case policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictSuperseded:
		return "would be " + string(v)
	case policy.VerdictPending:
		return "would be pending: evidence is missing"
	case policy.VerdictError:
		return "could not be decided"
	}
	return string(v)
}

// Image is how a push is named for people.
func Image(p gatekeeper.Push) string {
	name := p.Repository
	if p.Tag != "" {
		name += ":" + p.Tag
	}
	if p.Digest == "" {
		return name
	}
	return name + " (" + p.Digest + ")"
}

// Took is a duration as people read it.
func Took(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Reason is the reason for a verdict in one line.
func Reason(d gatekeeper.Decision) string {
	if d.Verdict == policy.VerdictPromoted && d.FirstReason() == "" {
		return Safe(yes(d))
	}
	return Safe(strings.ReplaceAll(d.FirstReason(), "\n", " "))
}

func yes(d gatekeeper.Decision) string {
	text := "passes every rule"
	for _, f := range d.AllFindings() {
		if f.Reason == policy.ReasonExcepted {
			text = "passes; " + f.Found
			break
		}
	}
	if d.Mode == policy.ModeAudit {
		text += "; not promoted: audit mode"
	}
	return text
}

// Safe replaces what could steer a terminal or hide text: control characters
// but newlines, and characters that are only formatting (bidirectional marks).
func Safe(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
