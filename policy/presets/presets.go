// Package presets holds policies to start from. Each says in its comments where
// its thresholds come from; being written after a programme's rules is not being
// compliant with them.
package presets

import (
	"embed"
	"fmt"
	"strings"
)

// Preset is a policy to start from.
type Preset struct {
	Name    string `json:"name"`
	Summary string `json:"summary"` // what it is for: its first comment
	Text    string `json:"text"`    // the policy, with comments
}

//go:embed *.yaml
var files embed.FS

// Names lists the presets, the strictest first.
func Names() []string {
	return []string{"strict", "conforma-like", "fedramp-like", "ironbank-like", "audit"}
}

// Read returns a preset.
func Read(name string) (Preset, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return Preset{}, fmt.Errorf("no preset %q; there are %s", name, strings.Join(Names(), ", "))
	}
	summary, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n#\n")
	return Preset{Name: name, Summary: strings.ReplaceAll(summary, "\n# ", " "), Text: string(text)}, nil
}
