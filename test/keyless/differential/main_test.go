// Package differential_test compares the gatekeeper's verdicts with those of
// both cosigns about the same evidence, and runs what a Sigstore of one's own
// needs of it end to end: all of it on this machine, with the real clients and
// the gatekeeper as a process.
package differential_test

import (
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
