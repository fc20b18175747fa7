package app

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/golden-gatekeeper/gatekeeper/policy/presets"
)

// PrintPreset prints a policy to start from; without a name, what there are.
func PrintPreset(name, output string, streams Streams) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	if name == "" {
		return listPresets(output, streams)
	}
	p, err := presets.Read(name)
	if err != nil {
		return status(StatusUsage, err)
	}
	if output == outputJSON {
		return printJSON(streams.Out, p)
	}
	_, err = io.WriteString(streams.Out, p.Text)
	return err
}

func listPresets(output string, streams Streams) error {
	all := []presets.Preset{}
	for _, name := range presets.Names() {
		p, err := presets.Read(name)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	if output == outputJSON {
		return printJSON(streams.Out, all)
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range all {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", p.Name, p.Summary) // a strings.Builder takes everything
	}
	_ = table.Flush()
	_, err := io.WriteString(streams.Out, b.String())
	return err
}
