package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"os"
	"testing"
)

// TestMain lets the test be its own worker, as the program is.
func TestMain(m *testing.M) {
	if status, asked := Worker(os.Args); asked {
		os.Exit(status)
	}
	os.Exit(m.Run())
}
