//go:build failpoint

package main

import (
	"github.com/spf13/cobra"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

// testCommands lists the steps at which tests end the process.
func testCommands(streams app.Streams) []*cobra.Command {
	return []*cobra.Command{{
		Use: "failpoints", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return app.Failpoints(streams.Out) },
	}}
}
