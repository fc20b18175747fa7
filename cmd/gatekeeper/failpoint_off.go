//go:build !failpoint

package main

import (
	"github.com/spf13/cobra"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

// testCommands is empty.
func testCommands(app.Streams) []*cobra.Command { return nil }
