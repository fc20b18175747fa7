package app

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// explainedPolicy is what policy explain prints as JSON.
type explainedPolicy struct {
	Policy      string           `json:"policy"`
	File        string           `json:"file"`
	Mode        policy.Mode      `json:"mode"`
	Description string           `json:"description,omitempty"`
	Sections    []policy.Section `json:"sections"`
}

// ExplainPolicies prints policies in plain words.
func ExplainPolicies(ctx context.Context, locations []string, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	all := []explainedPolicy{}
	for _, location := range locations {
		var l linted // keys in services are not needed to say what a policy asks for
		if err := l.readPolicies(ctx, location); err != nil {
			return status(StatusUsage, err)
		}
		for _, p := range l.policies {
			e := explainedPolicy{p.Name(), p.File, p.Mode(), p.Description(), p.Explain(time.Now())}
			e.withoutFingerprints(l.unread)
			all = append(all, e)
		}
	}
	if output == outputJSON {
		return printJSON(streams.Out, all)
	}
	var b strings.Builder
	for i, p := range all {
		if i > 0 {
			b.WriteString("\n\n")
		}
		p.print(&b)
	}
	if len(all) == 0 {
		b.WriteString("no policy: nothing is promoted\n")
	}
	_, err := io.WriteString(streams.Out, b.String())
	return err
}

// withoutFingerprints takes away those of keys that were not looked up, in whose
// place there are others.
func (p explainedPolicy) withoutFingerprints(unread map[string]bool) {
	for uri := range unread {
		key := regexp.MustCompile(regexp.QuoteMeta(uri) + ` \(sha256:[0-9a-f]+\)`)
		for _, s := range p.Sections {
			for i := range s.Lines {
				s.Lines[i] = key.ReplaceAllLiteralString(s.Lines[i], uri)
			}
		}
	}
}

func (p explainedPolicy) print(b *strings.Builder) {
	fmt.Fprintf(b, "Policy %s (%s)", p.Policy, p.Mode)
	if p.Description != "" {
		b.WriteString(": " + p.Description)
	}
	b.WriteString("\n")
	for _, s := range p.Sections {
		fmt.Fprintf(b, "\n%s\n", s.Title)
		for _, line := range s.Lines {
			b.WriteString("  - " + strings.ReplaceAll(strings.TrimSpace(line), "\n", "\n    ") + "\n")
		}
	}
}
