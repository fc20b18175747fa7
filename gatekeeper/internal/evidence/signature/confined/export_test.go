package confined

import (
	"io"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// Serve runs a worker that judges as a test says.
func Serve(stdin io.Reader, stdout io.Writer, j func(*verify.Trusted, verify.Item) (verify.Answer, error)) error {
	return serve(stdin, stdout, j)
}
