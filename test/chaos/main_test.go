package chaos_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Toxiproxy leaves these behind when it ends a connection.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.Cleanup(func(code int) {
			harness.Clean()
			os.Exit(code)
		}))
}
