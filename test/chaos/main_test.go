package chaos_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		harness.Clean()
		os.Exit(code)
	}))
}
