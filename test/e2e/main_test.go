package e2e_test

import (
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
